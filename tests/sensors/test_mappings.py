"""A mapping is looked for where an open was told, and with everybody in turn."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.host import until

from replguard.config import Config
from replguard.errors import Unavailable
from replguard.events.event import Event
from replguard.events.hint import Hint
from replguard.kernel import fanotify
from replguard.kernel.mounts import Mount
from replguard.sensors import mappings
from replguard.sensors.mappings import MappingSensor

SIZE = 4 * 2**20
LATER = "import mmap, sys; f = open(sys.argv[1], 'rb'); sys.stdin.readline(); m = mmap.mmap(f.fileno(), 0, prot=1); "
HOLD = "f.close(); print(1, flush=True); sys.stdin.read()"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights.bin"
    path.write_bytes(b"w" * SIZE)
    return path


def hint(path: Path) -> Hint:
    found = path.stat()
    return Hint(kind="inode", path=str(path), device=found.st_dev, inode=found.st_ino, size=found.st_size)


@pytest.fixture
def sensor(weights: Path) -> MappingSensor:
    """Return a sensor that knows one file and has looked at everybody once."""
    made = MappingSensor()
    made.start()
    made.watch(hint(weights))
    list(made.poll())
    return made


@pytest.fixture
def server(weights: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Return a process that has the file open, and maps it when it is told to."""
    process = subprocess.Popen(
        [sys.executable, "-c", LATER + HOLD, weights], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        yield process
    finally:
        process.communicate()


def begin(server: subprocess.Popen[bytes]) -> None:
    """Have it map the file, and wait until it has."""
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(b"go\n")
    server.stdin.flush()
    server.stdout.readline()


def maps(events: list[Event], pid: int) -> list[Event]:
    return [e for e in events if e.action == "file_map" and e.process is not None and e.process.pid == pid]


def test_who_opened_a_file_is_looked_at_until_it_maps_it(
    sensor: MappingSensor, server: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a look at anybody else, and once."""
    monkeypatch.setattr(mappings, "ROUND", 1e9)
    sensor.watch(Hint(kind="opener", pid=server.pid))
    events = list(sensor.poll())
    assert not maps(events, server.pid)
    begin(server)
    assert until(lambda: bool(maps(events, server.pid) or events.extend(sensor.poll())))
    (told,) = maps(events, server.pid)
    assert told.file is not None
    assert told.file.size == SIZE
    for _ in range(3):
        events += sensor.poll()
    assert len(maps(events, server.pid)) == 1


def test_everybody_is_looked_at_in_turn(
    sensor: MappingSensor, server: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was inherited or handed over opened nothing: it is found within a round."""
    monkeypatch.setattr(mappings, "ROUND", 0.2)
    monkeypatch.setattr(mappings, "SLICE", 0.05)
    begin(server)
    events: list[Event] = []
    assert until(lambda: bool(maps(events, server.pid) or events.extend(sensor.poll())))


def test_a_new_file_is_looked_for_at_once(
    sensor: MappingSensor, server: subprocess.Popen[bytes], weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody may have held it for long."""
    monkeypatch.setattr(mappings, "ROUND", 1e9)
    begin(server)
    second = MappingSensor()
    second.start()
    second.watch(hint(weights))
    assert maps(list(second.poll()), server.pid)


def test_without_the_right_to_be_told_of_opens_the_portable_sensor_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks at everybody all the time; the reason says what to do."""

    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(fanotify, "Group", refused)
    with pytest.raises(Unavailable, match="run as root"):
        mappings.open(Config())


MEMORY = """
import os, sys
made = [os.memfd_create(name) for name in ("small", "large")]
os.write(made[0], b"x" * 1000)
os.write(made[1], b"x" * 2**21)
print(1, flush=True)
sys.stdin.readline()
os.write(made[1], b"x" * 2**20)
print(1, flush=True)
sys.stdin.readline()
os.write(made[1], b"x" * 2**20)
print(1, flush=True)
sys.stdin.read()
"""


def in_memory(sensor: MappingSensor, pid: int) -> list[tuple[str, str, int]]:
    """Look at everybody, and return what is told of files in memory that a process has."""
    sensor._all = True
    found = [e for e in sensor.poll() if e.process.pid == pid and e.file.path.startswith("/memfd:")]
    assert all(e.file.links == 0 and e.file.inode for e in found)
    return [(e.action, e.file.path, e.file.size) for e in found]


def test_a_large_file_in_memory_is_told_and_again_when_it_is_twice_as_large(sensor: MappingSensor) -> None:
    """Nothing tells that it is written; small ones are nobody's weights."""
    process = subprocess.Popen([sys.executable, "-c", MEMORY], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdout.readline()
        assert in_memory(sensor, process.pid) == [("file_close_write", "/memfd:large", 2 * 2**20)]
        assert in_memory(sensor, process.pid) == []
        for told in ([], [("file_close_write", "/memfd:large", 4 * 2**20)]):
            process.stdin.write(b"\n")
            process.stdin.flush()
            process.stdout.readline()
            assert in_memory(sensor, process.pid) == told
    finally:
        process.communicate()


def test_a_root_that_takes_no_mark_is_not_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container's lies on an overlay: another mount does, and where none does that is the reason."""
    tried: list[bytes] = []

    class Overlaid:
        def mark(self, path: bytes, *_: object) -> None:
            tried.append(path)
            if path != b"/models":
                raise OSError(95, "Operation not supported")

        def close(self) -> None:
            pass

    kinds = {b"/": "overlay", b"/proc": "proc", b"/net": "nfs4", b"/etc/hosts": "ext4", b"/models": "ext4"}
    listed = [Mount(1, "0:1", "/", path, kind, "x") for path, kind in kinds.items()]
    monkeypatch.setattr(fanotify, "Group", lambda _: Overlaid())
    monkeypatch.setattr(mappings, "mounts", lambda: listed)
    mappings.open(Config())
    assert tried == [b"/", b"/", b"/etc/hosts", b"/models"]
    listed.pop()
    with pytest.raises(Unavailable, match="Operation not supported"):
        mappings.open(Config())
