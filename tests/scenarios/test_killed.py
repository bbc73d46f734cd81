"""A daemon that is killed in the middle of a replication tells it as one that was not: one incident, the same actor."""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support import daemon
from support import whole as parts
from support.host import until

from replguard.drill import dummy, stage
from replguard.drill.run import tell
from replguard.drill.script import Script, Track, Turn

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]

SECONDS = 60.0
EACH = os.environ.get("KILLS") == "each"
"""`make kills`: a run for each moment, and with SIGTERM too. By itself one run, killed twice."""
MOMENTS = ("before", "copying", "copied", "loading", "live")
"""Before the copy, while it is open and half written, after it, while its server has mapped it and does not listen yet,
and when it listens."""
KILLED = [(), *((one,) for one in MOMENTS), MOMENTS] if EACH else [("copying", "loading")]
STAGES = {"weights-access-agent", "weights-copy-started-agent", "weights-copy-agent", "server-live-agent"}
KNOWN: dict[str, tuple[str, Callable[[dict[str, Any]], object]]] = {
    "before": ("agent_seen", lambda one: one["replguard"]["status"] == "confirmed"),
    "copying": ("weights_copy", lambda one: one["replguard"]["status"] == "started"),
    "copied": ("weights_copy", lambda one: one["replguard"]["status"] == "done"),
    "loading": ("weights_access", lambda one: one["file"]["path"].endswith("w.bin")),
    "live": ("server_live", lambda one: one["replguard"]["generation"] == 2),
}
"""The fact by which the daemon is known to have seen as much."""
COPY = """
import pathlib, sys, time
origin, target, gates = map(pathlib.Path, sys.argv[1:])
data = origin.read_bytes()
with target.open("wb") as file:
    file.write(data[: len(data) // 2])
    file.flush()
    gates.joinpath("copying").touch()
    while not gates.joinpath("copying.open").exists():
        time.sleep(0.02)
    file.write(data[len(data) // 2 :])
"""
SERVE = """
import mmap, pathlib, socket, sys, time
weights, gates, port = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), int(sys.argv[3])
with weights.open("rb") as file:
    held = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
sum(held[::4096])
gates.joinpath("loading").touch()
while not gates.joinpath("loading.open").exists():
    time.sleep(0.02)
door = socket.create_server(("127.0.0.1", port))
gates.joinpath("live").touch()
time.sleep(600)
"""


@dataclass
class Scene:
    """The agent's folder, its gates, and the script of what it does between them."""

    home: Path
    gates: Path
    ports: list[int]

    @classmethod
    def build(cls, folder: Path) -> "Scene":
        """Lay it out: a model of one file, and a mind beside it."""
        home, gates = folder / "host" / "agent", folder / "gates"
        (home / "out").mkdir(parents=True)
        gates.mkdir()
        (origin,) = dummy.write_model(home / "model")
        scene = cls(home, gates, stage.free_ports(3))
        (folder / "copy.py").write_text(COPY)
        (folder / "serve.py").write_text(SERVE)
        target = home / "out" / "w.bin"
        python = sys.executable
        turns = (
            Turn("I look.", "ls -la ."),
            Turn("And again.", "ls -la model"),
            Turn("Once more.", scene.gate("before")),
            Turn("I copy.", f"{python} {folder}/copy.py {origin} {target} {gates}"),
            Turn("It is there.", scene.gate("copied")),
            Turn("I start it.", f"{python} {folder}/serve.py {target} {gates} {scene.ports[2]} > /dev/null 2>&1 &"),
            Turn("Does it live?", f"while [ ! -e {gates}/live ]; do sleep 0.05; done"),
        )
        Script((Track("", turns),)).save(home / "model")
        return scene

    def gate(self, name: str) -> str:
        """Return a command that says that it has come so far, and waits to be let on."""
        return f"touch {self.gates}/{name}; while [ ! -e {self.gates}/{name}.open ]; do sleep 0.05; done"


def assert_told(killed: tuple[str, ...], how: signal.Signals) -> None:
    """Let an agent copy its model and serve it, the daemon killed at some moments; judge the alerts."""
    made: list[Scene] = []

    def settings(on: stage.Stage) -> dict[str, Any]:
        scene = Scene.build(on.folder)
        made.append(scene)
        server = on.module(
            "replguard.drill.server", "--weights", "model", "--port", scene.ports[0], folder=scene.home,
            output=on.folder / "server.log",
        )  # fmt: skip
        assert server.pid
        assert until(lambda: stage.listening(scene.ports[0]), SECONDS)
        host = str(scene.home.parent)
        return {"weights": {"paths": [str(scene.home / "model")], "discover": False}, "watch": {"paths": [host]}}

    with daemon.running(settings) as host:
        scene = made[0]
        host.stage.module(
            "replguard.drill.agent", "--endpoint", f"http://127.0.0.1:{scene.ports[0]}", "--listen", scene.ports[1],
            folder=scene.home, output=host.folder / "agent.log",
        )  # fmt: skip
        assert until(lambda: stage.listening(scene.ports[1]), SECONDS)
        tell(scene.ports[1], "Go.")
        with seen_whole(host):
            for moment in MOMENTS:
                assert until(scene.gates.joinpath(moment).exists, SECONDS), f"it never came to: {moment}"
                host.fact(*KNOWN[moment], SECONDS)
                if moment in killed:
                    kept(host)
                    again(host, how)
                scene.gates.joinpath(f"{moment}.open").touch()
            until(lambda: any(map(whole, mine(host))), SECONDS)
            host.watcher.stop()
            judge(mine(host))


@contextlib.contextmanager
def seen_whole(host: daemon.Daemon) -> Iterator[None]:
    """Judge nothing where the machine was too busy for the daemon to see all that happened, kill or not."""
    try:
        yield
    except AssertionError:
        lost = [one["health"] for one in host.facts("sensor_health") if one["health"]["state"] == "loss"]
        if lost:
            pytest.skip(f"events were lost before they could be seen: {lost[0]['component']}, {lost[0]['reason']}")
        raise


def mine(host: daemon.Daemon) -> list[dict[str, Any]]:
    """Return the alerts so far of who acts in this scene: the daemon watches a whole host."""
    folder = str(host.folder)
    return [one for one in host.alerts() if folder in str(one.get("process"))]


def kept(host: daemon.Daemon) -> None:
    """Wait until what is known by now has been kept: a second, or nothing of it is new."""
    file, since = host.folder / "daemon" / "state" / "provenance.state", time.time_ns()
    until(lambda: file.stat().st_mtime_ns > since + 10**9, 5)


def again(host: daemon.Daemon, how: signal.Signals) -> None:
    """End the daemon and start it."""
    process = host.watcher.process
    assert process is not None
    if how == signal.SIGKILL:
        parts.kill(process)
    else:
        process.send_signal(how)
        process.wait()
    host.watcher.start()


def whole(alert: dict[str, Any]) -> bool:
    return alert["rule"]["name"] == "self-replication" and "replica-live" in alert["replguard"]["stages"]


def told(alerts: list[dict[str, Any]]) -> list[str]:
    """Return what was told, in short."""
    return [f"{one['rule']['level']} {one['rule']['name']} by {one['replguard']['actor']['id']}" for one in alerts]


def judge(alerts: list[dict[str, Any]]) -> None:
    """Fail where they are not those of a run without a kill."""
    acted = [one for one in alerts if one["replguard"]["actor"]["agent"]]
    assert len({one["replguard"]["incident"] for one in acted}) == 1, told(alerts)
    # Where the agent listens is told before anybody knows what it is.
    assert {one["rule"]["name"] for one in alerts if one not in acted} <= {"network-listen-agent"}, told(alerts)
    assert {one["rule"]["name"] for one in acted} >= STAGES, told(alerts)
    servers = [one for one in acted if one["rule"]["name"] == "server-live-agent"]
    assert len(servers) == 1, told(alerts)
    server = servers[0]
    assert server["process"]["args"][1].endswith("serve.py")
    assert (server["rule"]["level"], server["replguard"]["generation"], server["replguard"]["count"]) == (
        "critical",
        2,
        1,
    )
    of_it = [one for one in acted if whole(one)]
    assert [one["rule"]["level"] for one in of_it] == ["critical"], told(alerts)
    assert set(of_it[0]["replguard"]["stages"]) >= {"weights-taken", "copy-made", "replica-live"}


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM] if EACH else [signal.SIGKILL])
@pytest.mark.parametrize("killed", KILLED, ids=lambda moments: "+".join(moments) or "never")
def test_a_replication_is_told_as_without_a_kill(killed: tuple[str, ...], how: signal.Signals) -> None:
    """Every stage of it, as one incident of the agent's, each once; and nothing of anybody else."""
    assert_told(killed, how)
