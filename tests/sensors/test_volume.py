"""Volumes by real programs: who read how much of a watched file, who wrote how much of any large one."""

import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from support import keeping
from support.filesystems import Mounts
from support.host import python, until
from support.keeping import Between
from support.programs import Lacking

from replguard.config import Config, Sensors
from replguard.errors import Unavailable
from replguard.events.event import Event
from replguard.events.hint import Hint
from replguard.kernel.bpf import volume as records
from replguard.kernel.bpf.volume import Amount
from replguard.sensors import volume
from replguard.sensors.volume import VolumeSensor

pytestmark = pytest.mark.root
MIB = 2**20
SIZE = 24 * MIB


@pytest.fixture
def sensor() -> Iterator[VolumeSensor]:
    """Return a running sensor; skip where the kernel has no place for it."""
    try:
        made = volume.open(Config())
    except Unavailable as unavailable:
        pytest.skip(str(unavailable))
    made.start()
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return a file of 24 MiB whose pages are clean and cached, on the disk that tests write to."""
    path = tmp_path / "model.bin"
    path.write_bytes(os.urandom(MIB) * (SIZE // MIB))
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return path


def hint(path: Path) -> Hint:
    found = path.stat()
    return Hint(kind="inode", path=str(path), device=found.st_dev, inode=found.st_ino, size=found.st_size)


def needs(sensor: VolumeSensor, *programs: str) -> None:
    missing = set(programs) & sensor.programs.missing.keys()
    if missing:
        pytest.skip(f"this kernel has no place for {', '.join(sorted(missing))}")


def told(sensor: VolumeSensor, events: list[Event], action: str, pid: int, path: Path) -> list[Event]:
    """Take what the sensor tells and return what one process did to one file so far."""
    events += sensor.tick()
    mine = [e for e in events if e.action == action and e.process is not None and e.process.pid == pid]
    return [e for e in mine if e.file is not None and e.file.path == str(path)]


def run(*command: object) -> int:
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL)
    assert process.wait(30) == 0
    return process.pid


@pytest.mark.parametrize(
    "command", [("cat",), ("dd", "bs=64M", "status=none", "if="), ("dd", "bs=4k", "status=none", "if=")]
)
def test_what_is_read_is_told_once_for_each_mark(sensor: VolumeSensor, model: Path, command: tuple[str, ...]) -> None:
    """At a tenth, at half, at the whole, whatever the size of the requests; by its process, as the kernel saw it."""
    needs(sensor, "volume_read")
    sensor.watch(hint(model))
    list(sensor.tick())
    *words, last = command
    pid = run(*words, *([last, model] if last == "cat" else [f"{last}{model}"]))
    events: list[Event] = []
    assert until(lambda: len(told(sensor, events, "file_read", pid, model)) >= 1)
    read = told(sensor, events, "file_read", pid, model)
    abouts = [event.replguard for event in read if event.replguard]
    assert abouts[-1].bytes == SIZE
    assert abouts[-1].share == 1.0
    assert (abouts[0].mode, abouts[0].precision, abouts[0].attribution) == ("read", "bytes", "kernel")
    assert all(event.process and event.process.entity_id for event in read)
    found = model.stat()
    assert {(e.file.device, e.file.inode) for e in read if e.file} == {(found.st_dev, found.st_ino)}


def test_a_look_at_the_header_and_another_file_are_not_told(sensor: VolumeSensor, model: Path, tmp_path: Path) -> None:
    """Only watched files, and only from the touch on."""
    needs(sensor, "volume_read")
    sensor.watch(hint(model))
    list(sensor.tick())
    other = tmp_path / "other.bin"
    other.write_bytes(model.read_bytes())
    pids = {run("head", "-c", MIB, model), run("cat", other)}
    events = list(sensor.tick())
    assert not [e for e in events if e.action == "file_read" and e.process and e.process.pid in pids]


def test_parts_that_come_to_no_mark_are_told_though_their_readers_have_ended(sensor: VolumeSensor, model: Path) -> None:
    """A part each, by its process; what a head is stays silent, also when it is read again."""
    needs(sensor, "volume_read")
    sensor.watch(hint(model))
    list(sensor.tick())
    silent = [run("dd", f"if={model}", "bs=512K", "count=1", "status=none") for _ in range(2)]
    parts = {run("dd", f"if={model}", "bs=2M", "count=1", f"skip={at}", "status=none"): at for at in range(3)}
    parts[run("dd", f"if={model}", "bs=512K", "count=1", "skip=9", "status=none")] = 9
    events: list[Event] = []
    assert until(lambda: all(told(sensor, events, "file_read", pid, model) for pid in parts))
    for pid in parts:
        (part,) = told(sensor, events, "file_read", pid, model)
        assert part.replguard is not None
        assert part.replguard.bytes in (2 * MIB, MIB // 2)
        assert part.process is not None
        assert part.process.entity_id
    assert not [pid for pid in silent if told(sensor, events, "file_read", pid, model)]
    assert until(lambda: list(sensor.tick()) == [] and not sensor._rests._entries, 20)
    assert not sensor.counters.dropped


def test_a_file_that_is_no_longer_watched_is_not_told(sensor: VolumeSensor, model: Path) -> None:
    """Dropped, then watched anew, also across a restart of the sensor."""
    needs(sensor, "volume_read")
    known = hint(model)
    sensor.watch(known)
    list(sensor.tick())
    assert sensor.counts(known.device or 0, known.inode or 0)
    sensor.watch(Hint(kind="inode", drop=True, device=known.device, inode=known.inode))
    list(sensor.tick())
    assert not sensor.counts(known.device or 0, known.inode or 0)
    pid = run("cat", model)
    events: list[Event] = []
    assert not told(sensor, events, "file_read", pid, model)
    sensor.watch(known)
    list(sensor.tick())
    sensor.stop()
    sensor.start()
    again = run("cat", model)
    assert until(lambda: bool(told(sensor, events, "file_read", again, model)))


def test_a_path_of_another_namespace_is_not_taken_for_ours(sensor: VolumeSensor, model: Path, tmp_path: Path) -> None:
    """A copy in a container is counted by the way there; the host's file at the same path never is."""
    needs(sensor, "volume_read")
    (place := tmp_path / "place").mkdir()
    (here := place / "model.bin").write_bytes(os.urandom(MIB) * 20)
    code = f"mount --bind {tmp_path} {place} && echo && exec cat"
    with subprocess.Popen(["unshare", "-m", "sh", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as there:
        try:
            assert there.stdout is not None
            if there.stdout.readline() != b"\n":
                pytest.skip("no mount namespace can be made here")
            told_there = msgspec.structs.replace(hint(model), path=str(here))
            sensor.watch(told_there)
            list(sensor.tick())
            assert not sensor.counts(told_there.device or 0, told_there.inode or 0)
            wrong, events = run("cat", here), list[Event]()
            assert not told(sensor, events, "file_read", wrong, here)
            sensor.watch(msgspec.structs.replace(told_there, host_path=f"/proc/{there.pid}/root{here}"))
            list(sensor.tick())
            pid = run("cat", model)
            assert until(lambda: bool(told(sensor, events, "file_read", pid, here)))
            assert not told(sensor, events, "file_read", run("cat", here), here)
        finally:
            there.communicate()


WRITERS = {
    "write": "import os, sys; f = os.open(sys.argv[1], 65); [os.write(f, b'x' * 65536) for _ in range(320)]; {}",
    "mmap": "import mmap, os, sys; f = os.open(sys.argv[1], 66); os.ftruncate(f, 20 << 20); "
    "m = mmap.mmap(f, 20 << 20); os.close(f); m[:] = b'x' * (20 << 20); {}",
}


@pytest.mark.parametrize("way", WRITERS)
def test_a_file_is_told_while_it_is_written(sensor: VolumeSensor, tmp_path: Path, way: str) -> None:
    """By its writer, before it is closed, through a descriptor or a mapping."""
    if {"volume_dirty", "volume_dirty_page"} <= sensor.programs.missing.keys():
        pytest.skip("this kernel has no place for writes")
    path = tmp_path / "new.bin"
    code = WRITERS[way].format("print(1, flush=True); sys.stdin.read()")
    writer = subprocess.Popen([sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert writer.stdout is not None
        writer.stdout.readline()
        events: list[Event] = []
        assert until(lambda: bool(told(sensor, events, "file_grow", writer.pid, path)))
        grown = told(sensor, events, "file_grow", writer.pid, path)
        amounts = [e.replguard.bytes for e in grown if e.replguard]
        assert amounts == sorted(amounts)
        assert 8 * MIB <= (amounts[-1] or 0) <= 20 * MIB
        assert grown[-1].file is not None
        assert grown[-1].file.inode == path.stat().st_ino
    finally:
        writer.communicate()


def test_a_second_writer_is_told_by_itself(sensor: VolumeSensor, tmp_path: Path) -> None:
    """A copy that another process goes on with is that one's too."""
    if {"volume_dirty", "volume_dirty_page"} <= sensor.programs.missing.keys():
        pytest.skip("this kernel has no place for writes")
    path = tmp_path / "parts.bin"
    first = run("dd", "if=/dev/zero", f"of={path}", "bs=1M", "count=4", "status=none")
    second = run("dd", "if=/dev/zero", f"of={path}", "bs=1M", "count=4", "seek=4", "conv=notrunc", "status=none")
    events: list[Event] = []
    assert until(lambda: bool(told(sensor, events, "file_grow", second, path)))
    assert told(sensor, events, "file_grow", first, path)


AGAIN = """
import os, sys
def write(mib, how=os.O_TRUNC):
    file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | how)
    for _ in range(mib * 16): os.write(file, b'x' * 65536)
    os.close(file)
write(12)
print(flush=True)
sys.stdin.readline()
if sys.argv[2] == 'unlink':
    os.unlink(sys.argv[1])
write(3)
sys.stdin.read()
"""


@pytest.mark.parametrize("way", ["unlink", "truncate"])
def test_a_file_that_is_begun_anew_is_told_anew(sensor: VolumeSensor, tmp_path: Path, way: str) -> None:
    """Whatever the same process wrote before to the inode that it was, or whose number it has now."""
    if {"volume_dirty", "volume_dirty_page"} <= sensor.programs.missing.keys():
        pytest.skip("this kernel has no place for writes")
    path, events = tmp_path / "new.bin", list[Event]()
    with python(AGAIN, str(path), way) as writer:

        def amounts() -> list[int]:
            grown = told(sensor, events, "file_grow", writer.pid, path)
            return [event.replguard.bytes or 0 for event in grown if event.replguard]

        writer.stdout.readline()
        assert until(lambda: max(amounts(), default=0) >= 4 * MIB)
        writer.stdin.write("go on\n")
        writer.stdin.flush()
        assert until(lambda: any(later < earlier for earlier, later in pairwise(amounts())))


TURNS = "import os,sys;f=os.open(sys.argv[1],1|64|1024)\nfor _ in sys.stdin:os.write(f,b'x'*524288);print(flush=True)"


def test_writers_that_take_turns_are_told(sensor: VolumeSensor, tmp_path: Path) -> None:
    """Though none of them ever writes a MiB by itself before the other goes on."""
    if {"volume_dirty", "volume_dirty_page"} <= sensor.programs.missing.keys():
        pytest.skip("this kernel has no place for writes")
    path, events = tmp_path / "turns.bin", list[Event]()
    with python(TURNS, str(path)) as one, python(TURNS, str(path)) as two:
        for _ in range(12):
            for writer in (one, two):
                writer.stdin.write("go\n")
                writer.stdin.flush()
                assert writer.stdout.readline()
        assert until(lambda: sum(len(told(sensor, events, "file_grow", pid, path)) for pid in (one.pid, two.pid)) >= 3)


def test_an_overlay_is_told_by_its_merged_path(sensor: VolumeSensor, tmp_path: Path) -> None:
    """The path as the writer saw it, and where it lies for us."""
    (lower := tmp_path / "lower").mkdir()
    with Mounts(tmp_path) as made:
        try:
            merged = made.overlay(lower, tmp_path / "merged")
        except Lacking as lacking:
            pytest.skip(str(lacking))
        sensor._mounts_due = 0.0
        path = merged / "new.bin"
        pid = run("dd", "if=/dev/zero", f"of={path}", "bs=1M", "count=8", "status=none")
        events: list[Event] = []
        assert until(lambda: bool(told(sensor, events, "file_grow", pid, path)))
        (about, *_) = [e.replguard for e in events if e.file and e.file.path == str(path)]
        assert about is not None
        assert about.host_path == str(tmp_path / "merged-upper" / "new.bin")


def test_an_older_kernels_hooks_lose_the_reads(tmp_path: Path) -> None:
    """With those of 5.15 only writing is told; the sensor says what is lost."""
    config = Config(sensors=Sensors(hooks="5.15"))
    try:
        made = volume.open(config)
    except Unavailable as unavailable:
        pytest.skip(str(unavailable))
    made.start()
    try:
        assert set(made.programs.missing) >= {"volume_read", "volume_map", "volume_direct"}
        assert "an open counts as a read" in (made.why or "")
        assert not made.counts(1, 1)
        path = tmp_path / "new.bin"
        pid = run("dd", "if=/dev/zero", f"of={path}", "bs=1M", "count=8", "status=none")
        events: list[Event] = []
        assert until(lambda: bool(told(made, events, "file_grow", pid, path)))
    finally:
        made.stop()


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Iterator[Between]:
    """Descriptors are kept from one sensor to the next."""
    with keeping.between(monkeypatch) as one:
        yield one


def started(*hints: Hint) -> VolumeSensor:
    made = VolumeSensor(Config())
    for each in hints:
        made.watch(each)
    made.start()
    return made


def test_what_is_read_while_nobody_looks_is_told_once(between: Between, model: Path, tmp_path: Path) -> None:
    """A file has the number that it had, also where others are hinted before it; what was told is not told again."""
    other, third = tmp_path / "other", tmp_path / "third"
    for path in (other, third):
        path.write_bytes(bytes(2 * MIB))
    first = started(hint(other), hint(model))
    needs(first, "volume_read")
    events: list[Event] = []
    before = run("cat", model)
    assert until(lambda: len(told(first, events, "file_read", before, model)) >= 1)
    list(first.tick())
    first.stop()
    meanwhile, wrote = run("cat", model), run("cp", model, tmp_path / "copy")
    second = started(hint(model), hint(third))
    assert second.went_on is not None
    events = []
    assert told(second, events, "file_read", meanwhile, model)[-1].replguard.bytes == SIZE  # type: ignore[union-attr]
    assert told(second, events, "file_grow", wrote, tmp_path / "copy")
    second._checked = 0.0
    assert told(second, events, "file_read", before, model) == []
    watched = dict(second.programs.entries(second._watched, records.KEY.size, records.WATCHED.size))
    assert sorted(records.WATCHED.unpack(value)[1] for value in watched.values()) == [1, 2, 3]
    second._reconciles = second._checked = 0.0
    list(second.tick())
    assert len(dict(second.programs.entries(second._watched, records.KEY.size, records.WATCHED.size))) == 2
    second.stop()


def test_a_malformed_record_is_counted(sensor: VolumeSensor) -> None:
    """And the next one is told."""
    good = records.AMOUNT.pack(records.READ, 1, 0, 0, 0, 0, 99, 0, 0, 0, 0, 0)
    assert list(sensor.decoded([b"short", good])) == []
    assert sensor.counters.dropped["decode", "malformed"] == 1
    assert sensor.counters.filtered == 1  # no file has this number any more


def test_a_file_of_another_filesystem_is_not_taken_for_the_one_that_was_written(
    sensor: VolumeSensor, tmp_path: Path
) -> None:
    """Numbers of inodes are those of one filesystem; where the writer has it open its name is found."""
    path = tmp_path / "file"
    with path.open("wb") as file:
        found = os.fstat(file.fileno())
        device = os.major(found.st_dev) << 20 | os.minor(found.st_dev)
        told_of = Amount(records.WRITE, os.getpid(), 0, 0, found.st_ino, device, 0, MIB, MIB, 0, "/none/such")
        placed = sensor._placed(told_of)
        assert placed is not None
        assert placed[0].path == os.fsencode(path)
        assert sensor._placed(told_of._replace(device=0xFFFFF)) is None
