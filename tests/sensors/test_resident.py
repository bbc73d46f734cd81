"""A reader that keeps what it read is found by its memory; one that let go of it is not."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from replguard.events.event import Event
from replguard.events.hint import Hint
from replguard.kernel import procfs
from replguard.sensors.processes.describe import Describer
from replguard.sensors.resident import ResidentSensor

SIZE = 48 * 2**20
KEEPS = "import sys; data = open(sys.argv[1], 'rb').read(); print('read', flush=True); sys.stdin.read()"
LETS_GO = """
import sys
with open(sys.argv[1], "rb") as file:
    while file.read(65536): pass
print("read", flush=True)
sys.stdin.read()
"""


@contextmanager
def reader(script: str, path: Path) -> Iterator[Hint]:
    """Run a process that reads the file, and give the hint that provenance would."""
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"read\n"
        stat, found = procfs.stat(process.pid), path.stat()
        assert stat is not None
        yield Hint(
            kind="reader",
            pid=process.pid,
            entity_id=Describer().entity(process.pid, stat.start_ticks),
            path=str(path),
            device=found.st_dev,
            inode=found.st_ino,
            size=found.st_size,
        )
        process.kill()


def looks(sensor: ResidentSensor, seconds: float) -> list[Event]:
    """Poll for a while."""
    events, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        events += sensor.poll()
        time.sleep(0.05)
    return events


def test_a_server_that_read_its_weights_holds_them(tmp_path: Path) -> None:
    """The file is closed and nothing is mapped, yet the process is told, once."""
    path = tmp_path / "weights"
    path.write_bytes(b"w" * SIZE)
    sensor = ResidentSensor()
    with reader(KEEPS, path) as hint:
        sensor.watch(hint)
        (event,) = looks(sensor, 1.2)
    assert event.action == "file_map"
    assert event.replguard is not None
    assert event.replguard.mode == "memory"
    assert event.process is not None
    assert event.process.entity_id == hint.entity_id


def test_a_reader_that_passes_it_on_holds_nothing(tmp_path: Path) -> None:
    """A backup reads as many bytes and keeps none."""
    path = tmp_path / "weights"
    path.write_bytes(b"w" * SIZE)
    sensor = ResidentSensor()
    with reader(LETS_GO, path) as hint:
        sensor.watch(hint)
        assert looks(sensor, 1.2) == []


def test_a_reader_that_is_gone_is_forgotten(tmp_path: Path) -> None:
    """Its pid may be another's tomorrow."""
    path = tmp_path / "weights"
    path.write_bytes(b"w" * SIZE)
    sensor = ResidentSensor()
    with reader(KEEPS, path) as hint:
        pass
    sensor.watch(hint)
    assert looks(sensor, 0.2) == []
    assert not sensor._readers


def test_other_hints_are_not_its_matter() -> None:
    """A hint without a size cannot be judged."""
    sensor = ResidentSensor()
    sensor.watch(Hint(kind="inode", device=1, inode=2))
    sensor.watch(Hint(kind="reader", pid=1))
    assert list(sensor.poll()) == []
