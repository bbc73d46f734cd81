"""Who planned it: an agent's acts by every way that breaks the line to it, and the same by people and services.

Where no service manager, container engine, runner or batch system is, a process of that name stands for it and puts
what it starts into a control group of the right form; cron, at, tmux, screen and sshd are the real ones.
"""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support import daemon
from support.corner import CONTAINER, SECONDS, Corner
from support.daemon import Daemon

from replguard.drill import dummy, stage

pytestmark = [pytest.mark.root, pytest.mark.timeout(280)]
MINUTE = 75.0
"""Cron acts at full minutes."""


class Case(NamedTuple):
    """What somebody does to have ``cp`` run: ``{cp}`` is the command, ``{at}`` a name of the case's own.

    ``then`` is what another starts afterwards: the broker, the control group, the words. ``needs`` are programs.
    """

    line: str
    needs: tuple[str, ...] = ()
    seconds: float = SECONDS
    then: tuple[str, str, str] | None = None


BY_AGENT = {
    "direct": Case("{cp}"),
    "setsid": Case("setsid {cp}"),
    "nohup": Case("nohup {cp} > /dev/null 2>&1 &"),
    "double-fork": Case("( ( sleep 0.3; setsid {cp} ) & ) &"),
    "tmux": Case("tmux -S {at}.tmux -f /dev/null new-session -d '{cp}'", ("tmux",)),
    "tmux-of-others": Case("tmux -S {folder}/theirs.tmux new-window -d '{cp}'", ("tmux",)),
    "screen": Case("mkdir -m 700 {at}; SCREENDIR={at} screen -dmS x {cp}", ("screen",)),
    "ssh": Case("{ssh} '{cp}'", ("sshd", "ssh")),
    "ssh-by-pipe": Case("echo '{cp}' | {ssh} sh", ("sshd", "ssh")),
    "container": Case("/opt/docker exec it {cp}"),
    "transient-unit": Case("/opt/systemd-run --unit=job {cp}"),
    "at": Case("echo '{cp}' | at now", ("atd", "at")),
    "cron-file": Case("echo '* * * * * root {cp}' > {tables[0]}", ("cron",), MINUTE),
    "crontab": Case("echo '* * * * * {cp}' > {tables[1]}", ("cron",), MINUTE),
    "script": Case("echo '{cp}' > {at}.sh", then=("manager", "system.slice/other.service", "sh {at}.sh")),
    "program": Case(
        "printf '#!/bin/sh\\n{cp}\\n' > {at}.tmp; chmod +x {at}.tmp; mv {at}.tmp {at}",
        then=("runner", "system.slice/ci", "{at}"),
    ),
    "unit": Case(
        "mkdir -p /etc/systemd/system; echo 'ExecStart={cp}' > {units[0]}",
        then=("manager", "system.slice/{name}.service", "{cp}"),
    ),
    "drop-in": Case(
        "mkdir -p {units[1]}; echo x > {units[1]}/x.conf",
        then=("manager", "system.slice/{name}w.service", "{cp}"),
    ),
}
"""The ways of an agent: each is his act, whoever started the process."""
BY_LINEAGE = {"direct", "setsid", "nohup", "double-fork", "tmux", "screen"}
"""Of those, what the parents tell; all others are guesses."""

BY_OTHERS = {
    "shell": ("session", Case("{cp}")),
    "asking": ("session", Case("{ask} > /dev/null; {ask} > /dev/null; sleep 0.2; {cp}")),
    "script-of-agent": ("session", Case("while [ ! -e {folder}/script.sh ]; do sleep 0.1; done; sh {folder}/hand.sh")),
    "their-cron": ("cron", Case("echo '* * * * * root {cp}' > {folder}/cron.d/theirs", ("cron",), MINUTE)),
    "their-at": ("at", Case("echo '{cp}' | at now", ("atd", "at"))),
    "their-ssh": ("session", Case("{ssh} -n '{cp}'", ("sshd", "ssh"))),
    "their-login": ("session", Case("{ssh} -tt '{cp}' < /dev/null", ("sshd", "ssh"))),
    "their-tmux": (None, Case("tmux -S {folder}/theirs.tmux new-window -d '{cp}'", ("tmux",))),
    "their-container": ("container", Case("/opt/docker exec it {cp}")),
    "service": ("service", Case(":", then=("manager", "system.slice/theirs.service", "{cp}"))),
    "runner-job": ("ci", Case(":", then=("runner", "system.slice/ci", "{cp}"))),
    "batch-step": ("scheduler", Case(":", then=("batch", "system.slice/slurmstepd.scope/job_77/step_0", "{cp}"))),
    "container-first": ("container", Case(":", then=("engine", CONTAINER.replace("5e", "6f"), "{cp}"))),
}
"""What others do, none of it the agent's; the kind of their entry point, None for what only logind would tell."""


class Stand:
    """The corner in which everything is played at once, and what the daemon says of each."""

    def __init__(self, host: Daemon, corner: Corner, source: Path) -> None:
        self.host, self.corner, self.source = host, corner, source
        self.lacking: dict[str, str] = {}
        self._until: dict[str, float] = {}

    def target(self, name: str) -> Path:
        return self.host.folder / "out" / name

    def words(self, name: str, text: str) -> str:
        at = self.corner.folder / name
        copy = f"cp {self.source} {self.target(name)}"
        ask = f"curl -s http://127.0.0.1:{self.corner.port}/"
        here = self.corner
        places = {"folder": here.folder, "tables": here.tables, "units": here.units, "name": here.name}
        return text.format(cp=copy, at=at, ssh=here.ssh(), ask=ask, **places)

    def play(self, who: str, name: str, case: Case) -> None:
        lacks = [program for program in case.needs if not self.corner.has[program]]
        if lacks:
            self.lacking[name] = f"no {lacks[0]} here"
            return
        self.corner.says(who, self.words(name, case.line))

    def follow(self, name: str, case: Case) -> None:
        if case.then is not None:
            broker, group, line = case.then
            self.corner.begin(broker, self.words(name, group), self.words(name, line))

    def actor(self, name: str, seconds: float) -> dict[str, Any]:
        """Wait until a case's copy is told and return who is said to have made it."""
        if name in self.lacking:
            pytest.skip(self.lacking[name])
        path = str(self.target(name))

        def fits(fact: dict[str, Any]) -> bool:
            return bool(fact["file"]["path"] == path and fact["replguard"]["status"] == "done")

        fact = self.host.fact("weights_copy", fits, seconds)
        return fact["replguard"]["actor"] | {"attribution": fact["replguard"]["attribution"]}

    @property
    def agent(self) -> int:
        found = self.host.fact("agent_seen", lambda fact: fact["replguard"]["status"] == "confirmed", SECONDS)
        return int(found["process"]["pid"])


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    if shutil.which("unshare") is None:
        pytest.skip("no unshare here")
    port, ssh_port = stage.free_ports(2)
    endpoint = f"{stage.LOOPBACK}:{port}"

    def settings(on: stage.Stage) -> dict[str, Any]:
        dummy.write_model(on.folder / "models" / "chat", tensors=2)
        (on.folder / "out").mkdir()
        words = ["--bind", stage.LOOPBACK, "--directory", on.folder / "out", port]
        on.module("http.server", *words, folder=on.folder, output=on.folder / "endpoint.log")
        return {
            "weights": {"paths": [str(on.folder / "models")], "discover": False, "scan_rate": "4GiB"},
            "agents": {"endpoints": [endpoint]},
        }

    with daemon.running(settings) as host:
        corner = Corner(host.folder / "corner", port, ssh_port)
        try:
            yield from _playing(host, corner)
        finally:
            corner.shut()
            host.stage.end_all()
            corner.end()


def _playing(host: Daemon, corner: Corner) -> Iterator[Stand]:
    words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", corner.script()]
    host.stage.start(words, folder=host.folder, output=host.folder / "corner.log")
    source = next((host.folder / "models" / "chat").glob("*.safetensors"))
    stand = Stand(host, corner, source)
    for name in ("first", "second"):
        corner.says("agent", f"touch {corner.folder}/{name}")
    _until((corner.folder / "second").exists)
    assert stand.agent
    hand = stand.words("script-of-agent", "echo '{cp}' > {folder}/hand.sh")
    corner.says("agent", hand)
    for name, case in BY_AGENT.items():
        stand.play("agent", name, case)
    for name, (_, case) in BY_OTHERS.items():
        stand.play("person", name, case)
    corner.says("agent", f"touch {corner.folder}/done")
    _until((corner.folder / "done").exists, 2 * SECONDS)
    corner.hand_over()
    for name, case in BY_AGENT.items():
        stand.follow(name, case)
    for name, (_, case) in BY_OTHERS.items():
        stand.follow(name, case)
    yield stand


def _until(done: Any, seconds: float = SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("name", BY_AGENT)
def test_an_agents_act_is_the_agents(stand: Stand, name: str) -> None:
    """By whatever way: it is said of the agent, and as a guess where another started the process."""
    actor = stand.actor(name, BY_AGENT[name].seconds)
    assert (actor["kind"], actor.get("agent"), actor.get("pid")) == ("agent", True, stand.agent)
    assert name in BY_LINEAGE or actor["attribution"] == "inferred"


@pytest.mark.parametrize("name", BY_OTHERS)
def test_what_others_do_is_not_the_agents(stand: Stand, name: str) -> None:
    """At the same time, by the same ways."""
    kind, case = BY_OTHERS[name]
    actor = stand.actor(name, case.seconds)
    assert not actor.get("agent"), actor
    assert kind in (None, actor["kind"]), actor


def test_a_person_who_asks_is_no_agent(stand: Stand) -> None:
    """One agent is seen, however often a person asks the model and then copies it."""
    confirmed = [fact for fact in stand.host.facts("agent_seen") if fact["replguard"]["status"] == "confirmed"]
    assert {fact["process"]["pid"] for fact in confirmed} == {stand.agent}
