import errno
import json
import os
import resource
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support import logs

from replguard.config import Seconds, Stream
from replguard.events import wire
from replguard.events.event import Event, Meta
from replguard.events.file import File
from replguard.events.host import Host
from replguard.log import reader, segments
from replguard.log.keys import Keys
from replguard.log.reader import MAX_LINE
from replguard.log.segments import BACKLOG, REST, Writer

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def event(number, path="/x"):
    return Event(
        timestamp=NOW, event=Meta(action="file_create", id=f"b-{number}", sequence=number), file=File(path=path)
    )


@pytest.fixture
def make(tmp_path):
    """Return a function that makes a writer in tmp_path/log, with the list of its health reports."""
    made = []

    def build(limits=None, *, buffered=False):
        reports = []

        def report(health):
            if health.state != "started":  # the first key
                reports.append(health)

        writer = Writer(
            tmp_path / "log",
            "raw",
            limits or Stream(),
            keys=Keys(tmp_path / "log.key"),
            boot_id="boot",
            buffered=buffered,
            report=report,
            host=Host(name="gpu1"),
        )
        made.append(writer)
        return writer, reports

    yield build
    for writer in made:
        writer.close()


def wait_until(holds):
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def numbers(folder):
    return [
        item.event.sequence if isinstance(item, Event) else str(item) for item in reader.events([Path(folder) / "log"])
    ]


def test_unbuffered_records_are_on_disk_at_once(make, tmp_path):
    """The header is first, then a line for each record, readable before the writer closes."""
    writer, _ = make()
    writer.write(event(1), NOW)
    header, line = writer.path.read_text().splitlines()
    place = {"origin", "prev", "size", "edge", "oldest", "key", "by", "signature"}
    assert {name: value for name, value in json.loads(header).items() if name not in place} == {
        "log": "replguard",
        "schema": 1,
        "stream": "raw",
        "segment": 1,
        "boot_id": "boot",
        "host": {"name": "gpu1"},
    }
    assert json.loads(line)["event"]["sequence"] == 1
    assert writer.written == 1
    assert writer.path.stat().st_mode & 0o007 == 0


def test_buffered_records_wait_for_the_tick(make, tmp_path):
    """A buffered stream writes at the tick, or when its buffer is full."""
    writer, _ = make(buffered=True)
    writer.write(event(1), NOW)
    assert not (tmp_path / "log").exists()
    writer.tick(NOW)
    assert numbers(tmp_path) == [1]
    writer.write(event(2, "/" + "x" * 300_000), NOW)
    assert numbers(tmp_path) == [1, 2]


def test_rotation_by_size_and_cap(make, tmp_path):
    """Full segments are compressed, the oldest removed, and the rest reads in order."""
    writer, _ = make(Stream(max_size=16 * 4096))
    for number in range(3000):
        writer.write(event(number, "/" + os.urandom(40).hex()), NOW)
    writer.close()
    found = numbers(tmp_path)
    assert found == list(range(found[0], 3000))
    assert found[0] > 0
    assert sum(path.stat().st_size for path in (tmp_path / "log").iterdir()) <= 16 * 4096


def test_rotation_by_time(make, tmp_path):
    """An hour after its opening a segment is closed; nothing is opened while nothing comes."""
    writer, _ = make()
    writer.write(event(1), NOW)
    writer.tick(NOW + timedelta(minutes=61))
    writer.tick(NOW + timedelta(minutes=62))
    writer.write(event(2), NOW + timedelta(hours=3))
    writer.close()
    assert sorted(p.name for p in (tmp_path / "log").iterdir()) == ["raw-000001.jsonl.zst", "raw-000002.jsonl"]
    assert numbers(tmp_path) == [1, 2]


def test_a_new_run_opens_a_new_segment(make, tmp_path):
    """A restart never writes behind what may be a torn line, and compresses what the last run left."""
    writer, _ = make()
    writer.write(event(1), NOW)
    writer.close()
    with writer.path.open("ab") as file:
        file.write(b'{"torn":')
    again, _ = make()
    again.write(event(2), NOW)
    again.close()
    assert again.path.name == "raw-000002.jsonl"
    first, fault, second = numbers(tmp_path)
    assert (first, second) == (1, 2)
    assert "raw-000001.jsonl.zst:4: the last line has no end" in fault


def test_an_unwritable_place_is_told_and_recovered_from(make, tmp_path):
    """Records wait while the folder cannot be made, and are written when it can; trouble is told once."""
    (tmp_path / "log").write_text("in the way")
    writer, reports = make()
    for number in range(3):
        writer.write(event(number), NOW)
        writer.tick(NOW)
    assert [(r.component, r.state) for r in reports] == [("log.raw", "failed")]
    assert writer.trouble is not None
    (tmp_path / "log").unlink()
    writer.tick(NOW)
    assert [r.state for r in reports] == ["failed", "recovered"]
    assert numbers(tmp_path) == [0, 1, 2]
    assert not writer.dropped


def test_the_backlog_is_bounded_and_its_loss_counted(make, tmp_path):
    """When the trouble lasts too long the oldest records are lost, counted, and told at the end."""
    (tmp_path / "log").write_text("in the way")
    writer, reports = make()
    size = BACKLOG // 8
    for number in range(12):
        writer.write(event(number, "/" + "x" * size), NOW)
    lost = writer.dropped["backlog"]
    assert 4 <= lost <= 6
    (tmp_path / "log").unlink()
    writer.tick(NOW)
    assert numbers(tmp_path) == list(range(lost, 12))
    assert (reports[-1].state, reports[-1].lost, reports[-1].stage) == ("recovered", lost, "log")


def test_a_removed_segment_is_noticed(make, tmp_path):
    """Someone who deletes the open segment is told of, and a new one is begun."""
    writer, reports = make()
    writer.write(event(1), NOW)
    writer.path.unlink()
    writer.tick(NOW)
    writer.write(event(2), NOW)
    assert [r.state for r in reports] == ["failed", "recovered"]
    assert "removed" in reports[0].reason
    assert numbers(tmp_path) == [2]


def test_a_removed_folder_comes_back(make, tmp_path):
    """The folder is made anew when it vanished with everything in it."""
    writer, _ = make()
    writer.write(event(1), NOW)
    writer.path.unlink()
    (tmp_path / "log").rmdir()
    writer.tick(NOW)
    writer.write(event(2), NOW)
    assert numbers(tmp_path) == [2]


@pytest.mark.parametrize("half", [0, 30])
def test_a_full_disk_tears_no_line(make, tmp_path, monkeypatch, half):
    """When only a part of a record fits, it is cut off, kept, and written in a new segment later."""
    writer, reports = make()
    writer.write(event(1), NOW)
    header, _ = writer.path.read_bytes().splitlines()
    real, room = os.write, [half]

    def full(fd, data):
        if room[0]:
            part, room[0] = bytes(data)[: room[0]], 0
            return real(fd, part)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        for _ in range(5):
            writer.write(event(2), NOW)
            writer.tick(NOW)
        room[0] = len(header) + 40  # enough for the header of a new segment, and half a record
        writer.tick(NOW)
    writer.tick(NOW)
    writer.close()
    assert numbers(tmp_path) == [1, 2, 2, 2, 2, 2]
    assert len(list((tmp_path / "log").iterdir())) == 2
    assert [r.state for r in reports] == ["failed", "recovered"]
    assert "No space left" in reports[0].reason


def test_a_size_limit_of_the_process_is_disk_trouble(make, tmp_path):
    """A write that the kernel refuses for real (RLIMIT_FSIZE) leaves whole lines only."""
    writer, reports = make()
    writer.write(event(1), NOW)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (writer.path.stat().st_size + 50, before[1]))
    try:
        writer.write(event(2), NOW)
        assert [r.state for r in reports] == ["failed"]
        assert numbers(tmp_path) == [1]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    writer.tick(NOW)
    assert numbers(tmp_path) == [1, 2]


def test_what_cannot_be_encoded_is_counted(make, tmp_path):
    """A record that is no record is lost, counted, and stops nothing."""
    writer, _ = make()
    writer.write(object(), NOW)
    writer.write(event(1, "/a\udcffb\n"), NOW)
    assert writer.dropped == {"encoding": 1}
    assert numbers(tmp_path) == [1]


@pytest.mark.parametrize("room", [0, 300, 700, 800, 1500])
def test_a_disk_that_is_full_when_a_segment_opens_breaks_no_chain(make, tmp_path, monkeypatch, room):
    """Whether its header fits or not: what was not written whole is not followed, and its key not used."""
    writer, _ = make(Stream(max_size=16 * 4096))
    for number in range(40):
        writer.write(event(number), NOW)
    real, left = os.write, [room]

    def full(fd, data):
        part, left[0] = bytes(data)[: left[0]], max(0, left[0] - len(data))
        if not part:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(fd, part)

    for number in range(40, 60):
        writer.rotate()
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            for _ in range(3):
                left[0] = room
                writer.write(event(number), NOW)
                writer.tick(NOW)
        writer.tick(NOW)
    writer.close(now=NOW)
    found = logs.found(tmp_path / "log")
    assert found.findings == []
    assert set(numbers(tmp_path)) == set(range(60))


def test_what_is_kept_never_goes_back(tmp_path):
    """While segments are packed more of them seem to fit: what one header told is removed all the same."""
    folder = logs.made(tmp_path / "log", tmp_path / "state", count=1500)
    told = [part.header.oldest for part in logs.found(folder).parts]
    assert told[-1] > 1
    again = logs.writer(folder, tmp_path / "state", limits=Stream())
    again.write(logs.event(1), NOW)
    again.close(now=NOW)
    found = logs.found(folder)
    assert (found.parts[-1].header.oldest, found.findings) == (told[-1], [])


@pytest.mark.parametrize("at", [0, 1, 2, 3, 7])
@pytest.mark.parametrize("truncates", [True, False])
def test_what_the_kernel_took_is_not_written_twice(make, tmp_path, monkeypatch, at, truncates):
    """Also where it cannot be cut off again: the next segment says that it follows what stands there."""
    writer, reports = make(Stream(max_size=16 * 4096), buffered=True)
    writer.write(event(0), NOW)
    writer.tick(NOW)
    if at == 7:
        writer.rotate()  # the header of a new segment stands in front of the first record
    lines = [len(line) + 1 for line in writer.path.read_bytes().splitlines()]
    real, room = os.write, [0]

    def full(fd, data):
        part, room[0] = bytes(data)[: room[0]], max(0, room[0] - len(data))
        if not part:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(fd, part)

    def refused(*_, **__):
        raise OSError(errno.EIO, "Input/output error")

    for number in range(1, 9):
        writer.write(event(number), NOW)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        if not truncates:
            patch.setattr(os, "ftruncate", refused)
        room[0] = (lines[0] if at == 7 else 0) + (at % 7) * lines[1] + 20
        writer.tick(NOW)
    writer.tick(NOW)
    writer.close(now=NOW)
    assert [number for number in numbers(tmp_path) if isinstance(number, int)] == list(range(9))
    assert logs.found(tmp_path / "log").findings == []
    assert [r.state for r in reports if r.state != "degraded"] == ["failed", "recovered"]


def test_a_record_that_no_reader_takes_is_refused(make, tmp_path):
    """It is counted and told; a longest one is read and verified."""
    writer, reports = make()
    room = MAX_LINE - len(wire.encode(event(1, "/")))
    writer.write(event(1, "/" + "x" * (room - 1)), NOW)
    writer.write(event(2, "/" + "x" * (room + 1)), NOW)
    writer.write(event(3), NOW)
    writer.tick(NOW)
    writer.close(now=NOW)
    assert (writer.dropped, numbers(tmp_path)) == ({"long": 1}, [1, 3])
    assert [(report.state, report.lost) for report in reports] == [("degraded", 1)]
    assert logs.found(tmp_path / "log").findings == []


@pytest.fixture
def hung(monkeypatch):
    """Give a disk that takes nothing until it is let go: an event to set."""
    go, real = threading.Event(), os.fdatasync

    def waits(fd):
        go.wait(30)
        real(fd)

    monkeypatch.setattr(os, "fdatasync", waits)
    yield go
    go.set()


def test_a_disk_that_takes_nothing_holds_up_nobody(make, tmp_path, monkeypatch, hung):
    """The open segment is written on, records of the next wait, bounded; it is told, and over when the disk is back."""
    monkeypatch.setattr(segments, "PATIENCE", 0.01)
    monkeypatch.setattr(segments, "SLOW", 0.2)
    hung.set()
    writer, reports = make()
    for number in range(3):
        writer.write(event(number), NOW)
        wait_until(lambda: writer.flush(NOW) or writer.waiting == 0)
    hung.clear()
    writer.tick(NOW)
    began = time.monotonic()
    writer.write(event(3), NOW)
    assert numbers(tmp_path) == [0, 1, 2, 3]
    wait_until(lambda: writer.sync_seconds > 0.2)
    writer.tick(NOW)
    assert [(report.state, report.component) for report in reports] == [("degraded", "log.raw")]
    writer.rotate()
    for number in range(4, 12):
        writer.write(event(number, "/" + "x" * (BACKLOG // 4)), NOW)
    writer.tick(NOW)
    assert time.monotonic() - began < 5
    assert writer.waiting <= BACKLOG
    assert (writer.trouble is not None, writer.dropped["backlog"]) == (True, 5)
    hung.set()
    wait_until(lambda: writer.tick(NOW) or writer.trouble is None)
    writer.close(now=NOW)
    assert numbers(tmp_path) == [0, 1, 2, 3, 9, 10, 11]
    assert [report.state for report in reports[:3]] == ["degraded", "failed", "recovered"]
    assert sum(report.lost or 0 for report in reports) == 5
    assert logs.found(tmp_path / "log").findings == []


def test_what_was_written_is_kept_in_time(make, tmp_path, monkeypatch):
    """The disk is asked once in the time of the limits, and only where something was written."""
    asked, real = [], os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda fd: (asked.append(fd), real(fd)))
    writer, _ = make(Stream(sync=Seconds(3600)))
    writer.write(event(1), NOW)
    for _ in range(5):
        writer.tick(NOW)
        writer.write(event(2), NOW)
        assert writer._sync.wait(10)
    assert len(asked) == 2  # the header, and what came with it
    quick, _ = make(Stream(sync=Seconds(0)))
    quick.write(event(1), NOW)
    assert quick._sync.wait(10)
    asked.clear()
    for _ in range(5):
        quick.tick(NOW)
        assert quick._sync.wait(10)
    assert len(asked) == 1
    quick.write(event(2), NOW)
    quick.tick(NOW)
    assert quick._sync.wait(10)
    assert len(asked) == 2


def test_a_disk_that_loses_what_it_took_is_told(make, tmp_path, monkeypatch):
    """An error of fdatasync gives up the segment; while it goes on there are ever fewer tries, not a segment each."""
    real, bad = os.fdatasync, []

    def fails(fd):
        if bad:
            raise OSError(errno.EIO, "Input/output error")
        real(fd)

    monkeypatch.setattr(os, "fdatasync", fails)
    writer, reports = make(Stream(sync=Seconds(0)))
    writer.write(event(0), NOW)
    bad.append(True)
    for number in range(1, 100):
        writer.write(event(number), NOW)
        writer.tick(NOW)
        assert writer._sync.wait(10)
    assert len(list((tmp_path / "log").iterdir())) < 10
    assert (reports[0].state, "Input/output" in reports[0].reason) == ("failed", True)
    bad.clear()
    for _ in range(2 * REST):
        writer.tick(NOW)
        assert writer._sync.wait(10)
    writer.close(now=NOW)
    assert (reports[-1].state, writer.trouble) == ("recovered", None)
    assert numbers(tmp_path) == list(range(100))
    assert logs.found(tmp_path / "log").findings == []


def test_a_checkpoint_is_told_when_the_disk_keeps_what_it_is_of(make, monkeypatch):
    """At once, and no sooner: a power cut that takes it would look like a log that was cut."""
    asked, real = [], os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda fd: (asked.append(fd), real(fd)))
    writer, _ = make(Stream(sync=Seconds(3600)))
    writer.write(event(1), NOW)
    writer.tick(NOW)
    assert writer._sync.wait(10)
    writer.tick(NOW)
    assert writer._sync.wait(10)
    asked.clear()
    writer.write(event(2), NOW)
    gate = threading.Event()
    monkeypatch.setattr(os, "fdatasync", lambda fd: (gate.wait(10), asked.append(fd), real(fd)))
    assert writer.checkpoint()
    assert list(writer.checkpoints()) == []
    gate.set()
    (made,) = writer.checkpoints(10)
    assert made.size >= 2
    assert len(asked) == 1


def test_what_the_disk_did_not_take_is_no_checkpoint(make, monkeypatch):
    """It fails, and the next one that holds is told."""
    writer, reports = make()
    writer.write(event(1), NOW)
    writer.tick(NOW)
    assert writer._sync.wait(10)
    real = os.fdatasync

    def fails(_):
        raise OSError(errno.EIO, "no")

    monkeypatch.setattr(os, "fdatasync", fails)
    assert writer.checkpoint()
    assert list(writer.checkpoints(10)) == []
    monkeypatch.setattr(os, "fdatasync", real)
    for _ in range(5):
        writer.tick(NOW)
        assert writer._sync.wait(10)
    assert {report.state for report in reports} >= {"failed", "recovered"}
    assert writer.checkpoint()
    (made,) = writer.checkpoints(10)
    assert made.stream == "raw"


def test_no_segment_is_begun_where_others_can_write(make, tmp_path):
    """They could replace it. It is told why and tried again: what was kept is written once the folder is ours."""
    (tmp_path / "log").mkdir()
    (tmp_path / "log").chmod(0o777)
    writer, reports = make()
    writer.write(event(1), NOW)
    assert list((tmp_path / "log").iterdir()) == []
    (told,) = reports
    assert (told.state, told.component) == ("failed", "log.raw")
    assert "can be written to by everybody" in told.reason
    (tmp_path / "log").chmod(0o750)
    writer.tick(NOW)
    assert reports[-1].state == "recovered"
    assert numbers(tmp_path) == [1]
