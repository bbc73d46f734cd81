"""Who holds or maps hinted files."""

import os
from pathlib import Path

import pytest
from support.host import one, python, running, until

from replguard.config import Config
from replguard.events import clock
from replguard.events.hint import Hint
from replguard.sensors import use as module
from replguard.sensors.use import UseSensor

SIZE = 4 * 2**20
MAP = """
import mmap, sys
with open(sys.argv[1], 'rb') as f:
    m = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
print(flush=True); sys.stdin.read()
"""
OPEN = "import sys; f=open(sys.argv[1], 'rb'); print(flush=True); sys.stdin.read()"
APPEND = "import sys; f=open(sys.argv[1], 'ab'); print(flush=True); sys.stdin.read()"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "w\n\udcff"
    path.write_bytes(b"")
    os.truncate(path, SIZE)
    return path


def hint(path: Path, *, drop: bool = False) -> Hint:
    found = path.stat()
    shown = os.fsencode(path).decode("utf-8", "backslashreplace")
    return Hint(kind="inode", drop=drop, path=shown, device=found.st_dev, inode=found.st_ino, size=found.st_size)


def test_a_mapping_is_found_after_the_file_was_closed(weights: Path) -> None:
    """What a loaded server leaves; once for the process and file."""
    sensor = UseSensor()
    sensor.watch(hint(weights))
    with running(sensor) as events, python(MAP, str(weights)) as child:
        child.stdout.readline()
        found = one(events, "file_map", lambda e: e.process.pid == child.pid)
        assert found.replguard.mode == "map"
        assert (found.file.device, found.file.inode, found.file.size) == (*hint_key(weights), SIZE)
        assert until(lambda: sensor._seen[child.pid].due > clock.monotonic() + 0.1)
        assert len([e for e in events if e.action == "file_map" and e.process.pid == child.pid]) == 1


def hint_key(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def test_an_open_by_another_name_is_found(weights: Path, tmp_path: Path) -> None:
    """Any name of the inode; also one that held it before we were asked to look."""
    os.link(weights, tmp_path / "alias")
    sensor = UseSensor()
    with python(OPEN, str(tmp_path / "alias")) as child, running(sensor) as events:
        child.stdout.readline()
        sensor.watch(hint(weights))
        found = one(events, "file_open", lambda e: e.process.pid == child.pid)
        assert found.replguard.mode == "read"
        assert found.file.path == str(tmp_path / "alias")


def test_a_writer_does_not_read(weights: Path) -> None:
    """A descriptor for writing only is no use of the content."""
    sensor = UseSensor()
    sensor.start()
    sensor.watch(hint(weights))
    with python(APPEND, str(weights)) as child:
        child.stdout.readline()
        assert [e for e in sensor.poll() if e.process is not None and e.process.pid == child.pid] == []


def test_a_dropped_file_is_looked_for_no_more(weights: Path) -> None:
    """And without any file nothing is looked at."""
    sensor = UseSensor()
    sensor.start()
    sensor.watch(hint(weights))
    sensor.watch(hint(weights, drop=True))
    with python(OPEN, str(weights)) as child:
        child.stdout.readline()
        assert list(sensor.poll()) == []
        assert not sensor._seen


def test_we_ourselves_do_not_count(weights: Path) -> None:
    """We open weights for a living."""
    sensor = UseSensor()
    sensor.start()
    sensor.watch(hint(weights))
    with weights.open("rb"):
        assert [e for e in sensor.poll() if e.process is not None and e.process.pid == os.getpid()] == []


def test_old_processes_are_looked_at_seldom(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pause doubles up to its most; a new file makes everyone due."""
    monkeypatch.setattr(module, "YOUNG", 0.0)
    sensor = UseSensor()
    sensor.start()
    sensor.watch(hint(weights))
    with python(OPEN, os.devnull) as child:
        child.stdout.readline()
        list(sensor.poll())
        for expected in (2.0, 4.0, 4.0):
            sensor._seen[child.pid].due = 0.0
            list(sensor.poll())
            assert sensor._seen[child.pid].pause == expected
        other = weights.with_name("other")
        other.write_bytes(b"x")
        sensor.watch(hint(other))
        sensor._take_hints()
        assert sensor._seen[child.pid].due == 0.0


def test_it_opens() -> None:
    """It belongs to the area of files."""
    assert module.open(Config()).area == "file"
