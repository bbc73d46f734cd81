"""A manifest's life beside a running daemon: learnt, put in place, broken, mended; and a baseline tampered with."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import daemon
from support.daemon import Daemon

from replguard.drill import dummy, stage
from replguard.events.alert import LEVELS
from replguard.provenance import manifest as manifests

pytestmark = [pytest.mark.root, pytest.mark.timeout(280)]

SECONDS = 30.0
Fact = dict[str, Any]


class Scene:
    """A daemon with a server that was there before it, and everything that the steps share."""

    def __init__(self, host: Daemon, served: int, ports: list[int]) -> None:
        self.host, self.served, self.ports = host, served, ports
        self.manifest = host.watcher.folder / "manifest.yaml"
        self.state = host.watcher.folder / "state"

    def serve(self, port: int) -> subprocess.Popen[bytes]:
        model = self.host.stage.folder / "models" / "chat"
        words = ("--weights", model, "--port", port)
        output = self.host.stage.folder / f"server-{port}.log"
        return self.host.stage.module("replguard.drill.server", *words, folder=self.host.stage.folder, output=output)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "replguard", *words, "-c", str(self.host.watcher.config)]
        return subprocess.run(
            command, env=self.host.stage.environment(), capture_output=True, text=True, timeout=60, check=False
        )

    def live(self, pid: int, fits: Callable[[Fact], object] = lambda _: True) -> Fact:
        """Wait for word of the instance of a process that fits."""
        return self.host.fact(
            "server_live", lambda f: pid in f["replguard"]["instance"]["pids"] and fits(f["replguard"]), SECONDS
        )

    def alert(self, fits: Callable[[Fact], object]) -> Fact:
        found = wait(lambda: [one for one in self.host.alerts() if fits(one)])
        assert found, [(one["rule"]["name"], one["message"]) for one in self.host.alerts()]
        return found[0]

    def health(self, word: str) -> Fact:
        return self.host.fact("sensor_health", lambda f: word in f["health"].get("reason", ""), SECONDS)


def wait(found: Callable[[], Any]) -> Any:
    end = time.monotonic() + SECONDS
    while not (answer := found()) and time.monotonic() < end:
        time.sleep(0.1)
    return answer


@pytest.fixture
def scene() -> Iterator[Scene]:
    ports = stage.free_ports(4)
    served: list[int] = []

    def settings(on: Any) -> Fact:
        model = on.folder / "models" / "chat"
        dummy.write_model(model, tensors=4)
        words = ("--weights", model, "--port", ports[0])
        served.append(on.module("replguard.drill.server", *words, folder=on.folder, output=on.folder / "s.log").pid)
        assert wait(lambda: stage.listening(ports[0]))
        return {"weights": {"paths": [str(model)]}, "watch": {"paths": [str(on.folder)]}}

    with daemon.running(settings) as host:
        yield Scene(host, served[0], ports)


def what_runs_is_learnt_and_passes_the_check(scene: Scene) -> None:
    """The daemon is asked; the entry names the server's user, program, port and weights."""
    scene.live(scene.served)
    text = wait(lambda: yaml.safe_load(scene.run("learn").stdout)["deployments"] and scene.run("learn").stdout)
    scene.manifest.with_name("learnt.yaml").write_text(text)
    found, problems = manifests.load(scene.manifest.with_name("learnt.yaml"))
    assert problems == []
    (entry,) = found.deployments
    assert (entry.ports, entry.max_instances) == ((scene.ports[0],), 1)
    assert entry.weights == (str(scene.host.stage.folder / "models" / "chat" / "model.safetensors"),)


def without_a_daemon_learn_looks_itself(scene: Scene, tmp_path: Path) -> None:
    """And finds the same: nothing is asked of a daemon that has another state folder."""
    settings = yaml.safe_load(scene.host.watcher.config.read_text()) | {"state_dir": str(tmp_path / "state")}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(settings))
    command = [sys.executable, "-m", "replguard", "learn", "-c", str(tmp_path / "c.yaml")]
    done = subprocess.run(
        command, env=scene.host.stage.environment(), capture_output=True, text=True, timeout=90, check=False
    )
    assert "looking ourselves" in done.stderr
    ours = yaml.safe_load(done.stdout)["deployments"]
    theirs = yaml.safe_load(scene.manifest.with_name("learnt.yaml").read_text())["deployments"]
    assert ours == theirs
    assert not (tmp_path / "state").exists()


def a_manifest_in_place_holds_for_what_runs(scene: Scene) -> None:
    """Within seconds, without a restart or a signal; the change is told by name, and checks well."""
    before = scene.live(scene.served)["replguard"].get("authorised") or {}
    assert before.get("by") != "manifest"
    scene.manifest.with_name("learnt.yaml").rename(scene.manifest)
    assert scene.run("check").returncode == 0
    change = scene.host.fact("authority_change", lambda f: "manifest:" in f["replguard"]["difference"], SECONDS)
    assert "deployment chat added" in change["replguard"]["difference"]
    scene.live(scene.served, lambda about: about.get("authorised", {}).get("by") == "manifest")


def a_hint_that_is_pasted_allows_that_server_and_no_other(scene: Scene) -> None:
    """The same model at another port is told; with its hint it is allowed and the alert is over; a third is told."""
    second = scene.serve(scene.ports[1])
    told = scene.alert(lambda one: _instance(one, second.pid))
    assert LEVELS.index(told["rule"]["level"]) >= LEVELS.index("medium")
    folder = scene.manifest.parent / "manifest.d"
    folder.mkdir()
    (folder / "second.yaml").write_text(told["replguard"]["allow"])
    assert scene.host.watcher.process is not None
    os.kill(scene.host.watcher.process.pid, signal.SIGHUP)
    scene.live(second.pid, lambda about: about["status"] == "changed" and about.get("authorised"))
    over = scene.alert(
        lambda one: one["event"]["id"] == told["event"]["id"] and one["replguard"]["state"] == "resolved"
    )
    assert over["rule"]["name"] == told["rule"]["name"]
    third = scene.serve(scene.ports[2])
    assert scene.alert(lambda one: _instance(one, third.pid))["rule"]["name"] == told["rule"]["name"]
    for server in (second, third):
        scene.host.stage.end(server, 10)
        scene.live(server.pid, lambda about: about["status"] == "ended")


def _instance(alert: Fact, pid: int) -> bool:
    return alert["rule"]["name"].startswith("server-live") and pid in alert["replguard"].get("instance", {}).get(
        "pids", []
    )


def a_broken_manifest_leaves_the_last_good_one_in_force(scene: Scene) -> None:
    """It is said with file and line; what was allowed is allowed still, and mending it is told too."""
    good = scene.manifest.read_text()
    scene.manifest.write_text("deployments:\n  - {name: chat, unti: x}\n")
    reason = scene.health("did you mean 'unit'?")["health"]["reason"]
    assert reason.startswith("the last good one stays in force")
    assert f"{scene.manifest}:2" in reason
    second = scene.serve(scene.ports[1])
    scene.live(second.pid, lambda about: about["status"] == "live" and about.get("authorised"))
    scene.host.stage.end(second, 10)
    scene.manifest.write_text(good + "jobs: [{name: backup, unit: b.service, may: [copy]}]\n")
    scene.host.fact("authority_change", lambda f: "job backup added" in f["replguard"]["difference"], SECONDS)


def accept_closes_the_baseline(scene: Scene) -> None:
    """It is on record, and the daemon took the note."""
    wait(lambda: "chat" in (scene.state / "baseline.json").read_text())
    shutil.copyfile(scene.state / "baseline.json", scene.state.parent / "older.json")
    done = scene.run("learn", "--accept")
    assert (done.returncode, "closed" in done.stdout) == (0, True), done
    scene.host.fact("authority_change", lambda f: "learn --accept" in f["replguard"]["difference"], SECONDS)
    assert yaml.safe_load((scene.state / "baseline.json").read_text())["closed"]


def a_baseline_that_was_tampered_with_is_told(scene: Scene, how: str) -> None:
    """While the daemon was down: an alert at the next start, and it stays as it is, no new one is begun."""
    watcher, path = scene.host.watcher, scene.state / "baseline.json"
    kept = path.read_bytes()
    watcher.stop()
    {
        "an older one": lambda: shutil.copyfile(scene.state.parent / "older.json", path),
        "a changed byte": lambda: path.write_bytes(kept.replace(b"chat", b"chut")),
        "cut off": lambda: path.write_bytes(kept[:-10]),
        "deleted": path.unlink,
    }[how]()
    left = path.read_bytes() if path.exists() else None
    known = len(scene.host.alerts())
    watcher.start()
    told = wait(lambda: [one for one in scene.host.alerts()[known:] if one["rule"]["name"] == "authority-change"])
    assert told, how
    assert "the baseline" in told[0]["message"]
    assert (path.read_bytes() if path.exists() else None) == left
    path.write_bytes(kept)  # and with the true one there is nothing to tell


def test_a_manifest_is_learnt_put_in_place_broken_and_mended(scene: Scene, tmp_path: Path) -> None:
    """Step by step, as an operator takes them."""
    what_runs_is_learnt_and_passes_the_check(scene)
    without_a_daemon_learn_looks_itself(scene, tmp_path)
    a_manifest_in_place_holds_for_what_runs(scene)
    a_hint_that_is_pasted_allows_that_server_and_no_other(scene)
    a_broken_manifest_leaves_the_last_good_one_in_force(scene)


def test_a_baseline_is_closed_and_nobody_can_put_another_in_its_place(scene: Scene) -> None:
    """Whatever became of its file while nobody looked."""
    accept_closes_the_baseline(scene)
    for how in ("an older one", "a changed byte", "cut off", "deleted"):
        a_baseline_that_was_tampered_with_is_told(scene, how)
