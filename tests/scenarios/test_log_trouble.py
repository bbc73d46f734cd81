"""What befalls the log of a running daemon: it is told by other ways, detection goes on, and it is over by itself."""

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support import again, filesystems, logs, whole
from support.daemon import Daemon
from support.filesystems import Mounts
from support.programs import Lacking

from replguard.drill.stage import Stage
from replguard.drill.watcher import Watcher
from replguard.log import reader

pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]

SECONDS = 30.0
RULES = """
title: A probe
id: 6d0b7a52-9f0e-4a27-9b6c-6f7a1a7c0011
name: a-probe
logsource: {category: process_creation, product: linux}
detection: {selection: {CommandLine|contains: 'probe-of-the-log-'}, condition: selection}
level: high
"""


@dataclass
class Host:
    """A running daemon, and the disk of its log."""

    daemon: Daemon
    disk: Path
    device: str

    @property
    def watcher(self) -> Watcher:
        return self.daemon.watcher

    @property
    def log(self) -> Path:
        return self.disk / "log"

    def mount_again(self) -> None:
        """Take the disk away from whoever holds it, and mount it as it is now."""
        filesystems.mount_again(self.disk, self.device)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A daemon whose log alone lies on a small filesystem of its own."""
    with Mounts(tmp_path) as mounts, Stage() as stage:
        try:
            disk, device = mounts.image("ext4", 16)
        except Lacking as reason:
            pytest.skip(str(reason))
        (stage.folder / "probe.yml").write_text(RULES)
        settings = {
            "rules": {"paths": [str(stage.folder / "probe.yml")]},
            "log": {"dir": str(disk / "log")},
            "alerts": {"fold": "100ms"},
        }
        watcher = Watcher(stage, stage.folder / "daemon", settings)
        watcher.log_dir = disk / "log"
        watcher.start()
        try:
            yield Host(Daemon(stage, watcher), disk, device)
        finally:
            watcher.stop()


def wait(true: Callable[[], Any]) -> Any:
    """Wait until something holds; it is the answer."""
    deadline = time.monotonic() + SECONDS
    while not (found := true()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return found


def probe(host: Host, name: str) -> None:
    """Do something that a rule tells, and wait for its alert."""
    command = f"probe-of-the-log-{name}"
    subprocess.run(["sh", "-c", f": {command}; sleep 0.3"], check=True)
    wait(lambda: any(command in json.dumps(one) for one in host.daemon.alerts()))


def told(host: Host, state: str, stream: str = "log.") -> list[str]:
    """Return what the raw log says of its own streams."""
    found = []
    for record in reader.records([host.log]):
        if isinstance(record, reader.Record) and b'"health"' in record.data:
            health = json.loads(record.data)["health"]
            if health["component"].startswith(stream) and health["state"] == state:
                found.append(health.get("reason", ""))
    return found


def fail(host: Host) -> None:
    """Have the filesystem find an error, and become read-only as is the usual for the disk of a host."""
    subprocess.run(["mount", "-o", "remount,errors=remount-ro", str(host.disk)], check=True)
    Path(f"/sys/fs/ext4/{Path(host.device).name}/trigger_fs_error").write_text("an error for the test")


def take_away(host: Host) -> None:
    """Put something else in the place of the folder."""
    host.log.rename(host.disk / "elsewhere")
    host.log.write_text("in the way")


TROUBLE: dict[str, tuple[Callable[[Host], object], Callable[[Host], object]]] = {
    "a full disk": (lambda host: filesystems.fill(host.disk), lambda host: (host.disk / "filler").unlink()),
    "a disk that became read-only": (fail, Host.mount_again),
    "a disk that died": (lambda host: filesystems.die(host.disk), Host.mount_again),
    "a folder that vanished": (take_away, lambda host: host.log.unlink()),
}


@pytest.mark.parametrize("name", TROUBLE)
def test_trouble_with_the_disk_is_told_elsewhere_and_is_over_by_itself(host: Host, name: str) -> None:
    """An alert of a sink on another disk says so, others come as before, and what was kept in memory is written."""
    begin, end = TROUBLE[name]
    probe(host, "before")
    begin(host)
    wait(lambda: any(one["rule"]["name"] == "log-failed" for one in host.daemon.alerts()))
    probe(host, "meanwhile")
    end(host)
    wait(lambda: told(host, "recovered"))
    probe(host, "after")
    wait(lambda: b"probe-of-the-log-after" in raw(host))
    assert b"probe-of-the-log-meanwhile" in raw(host)
    host.watcher.stop()
    if name == "a full disk":  # of the others the last seconds are lost, which verify tells
        again.assert_whole(host.log)
        again.assert_same(again.written(host.watcher.alerts_file), replayed(host))


def replayed(host: Host) -> list[dict[str, Any]]:
    """Return the alerts that the log makes again."""
    return again.replayed(host.log, host.watcher.config)


def raw(host: Host, stream: str = "raw") -> bytes:
    """Return the records of the raw log."""
    return b"\n".join(one.data for one in reader.records([host.log], stream) if isinstance(one, reader.Record))


def test_a_daemon_that_was_killed_says_for_how_long_it_was_blind(host: Host) -> None:
    """Both streams have it, signed by the new key, and the chain goes on."""
    probe(host, "before")
    assert host.watcher.process is not None
    whole.kill(host.watcher.process)
    time.sleep(2)
    host.watcher.start()
    wait(lambda: told(host, "degraded", "daemon"))
    (reason,) = told(host, "degraded", "daemon")
    assert reason.startswith("the run before ended without being stopped, as if it was killed: blind for ")
    assert 2 <= int(reason.partition("blind for ")[2].split()[0]) < 60

    def blind() -> list[dict[str, Any]]:
        found = [one.data for one in reader.records([host.log], "evidence") if isinstance(one, reader.Record)]
        return [json.loads(one) for one in found if b"ended without being stopped" in one and b"rule_text" not in one]

    wait(lambda: any(one.get("event", {}).get("kind") == "alert" for one in blind()))
    assert len({one["event"]["id"] for one in blind() if "health" in one}) == 1
    alerts = [one for one in blind() if one.get("event", {}).get("kind") == "alert"]
    assert {one["rule"]["name"] for one in alerts} == {"watcher-killed"}
    assert host.watcher.stop() == 0
    host.watcher.start()
    probe(host, "after")
    assert len(told(host, "degraded", "daemon")) == 1, "it was stopped this time"
    assert logs.found(host.log).findings == []


def test_a_daemon_that_was_held_up_says_for_how_long(host: Host) -> None:
    """SIGSTOP is a way to see nothing."""
    assert host.watcher.process is not None
    whole.send(host.watcher.process.pid, signal.SIGSTOP)
    time.sleep(8)
    whole.send(host.watcher.process.pid, signal.SIGCONT)
    wait(lambda: any("blind for" in reason for reason in told(host, "degraded", "daemon")))
