"""What has to be on the disk before a segment begins."""

import os
import shutil
from pathlib import Path

import msgspec
import pytest
from support import logs

from replguard.config import Stream
from replguard.events import wire
from replguard.events.event import Event
from replguard.log import chain, names, reader
from replguard.log.archive import Archive
from replguard.log.ground import Ground
from replguard.log.keys import Keys
from replguard.log.names import Header


@pytest.fixture
def ground(tmp_path):
    """Return a function that makes the ground of a log in tmp_path, with the list of what it tells."""

    def build():
        told = []
        folder = tmp_path / "log"
        of = Archive(folder, "raw", Stream(), 4096)
        return Ground(
            folder, "raw", Keys(tmp_path / "state" / "log-raw.key"), of, lambda *words: told.append(words)
        ), told

    return build


def go_on(folder, state, numbers=range(200, 220)):
    """Write on, as after a restart, and return what was told."""
    told = []
    to = logs.writer(folder, state, limits=Stream(max_size=2**30), report=told.append)
    logs.fill(to, numbers)
    to.close(now=logs.NOW)
    return [(each.state, each.reason) for each in told]


def test_a_new_log_tells_its_first_key(ground, tmp_path):
    """The folder is made, the next key is on the disk, and nothing else is there."""
    made, told = ground()
    made.prepare(logs.NOW)
    assert (made.trouble, made.number, made.oldest) == (None, 0, 1)
    assert [state for state, _ in told] == ["started"]
    assert len(msgspec.json.decode((tmp_path / "state" / "log-raw.key").read_bytes())["held"]) == 2
    assert list((tmp_path / "log").iterdir()) == []


def test_a_start_goes_on_behind_the_newest(ground, tmp_path):
    """In its chain, with what it said is kept."""
    folder = logs.made(tmp_path / "log", tmp_path / "state", count=1500)
    last = logs.found(folder).parts[-1]
    made, told = ground()
    made.prepare(logs.NOW)
    assert (made.number, made.chain.place.chain) == (last.number, last.end.chain)
    assert told == [("started", f"it goes on behind {last.path.name}, block {last.end.tree.size}")]
    assert made.oldest >= last.header.oldest > 1


def test_what_is_followed_is_on_the_disk_first(ground, tmp_path, monkeypatch):
    """The last writer may have been killed with the end of its segment in memory alone; its key goes after that."""
    folder, state = tmp_path / "log", tmp_path / "state"
    to = logs.writer(folder, state)
    logs.fill(to, range(5))
    to.rotate()
    assert to._sync.wait(10)
    asked, real = [], os.fsync

    def noted(fd):
        asked.append(str(Path(f"/proc/self/fd/{fd}").readlink()))
        real(fd)

    monkeypatch.setattr(os, "fsync", noted)
    made, _ = ground()
    made.prepare(logs.NOW)
    assert asked[:2] == [str(folder / names.name("raw", 1)), str(folder)]
    assert "log-raw.key" in asked[2]


def plant(folder, number, text=b"x\n", *, packed=False):
    (folder / (names.name("raw", number) + names.ZSTD * packed)).write_bytes(text)


def forged(folder, state, number, **values):
    """Return a segment that claims the key in use, and all else as it wants: who signs it is somebody else."""
    header = msgspec.json.decode(next(iter((folder / names.name("raw", 1)).read_bytes().splitlines())), type=Header)
    other = Keys(folder.parent / "other.key")
    other.open(None)
    told = msgspec.structs.replace(header, segment=number, **{"by": other.public, **values})
    told = msgspec.structs.replace(told, signature=other.sign(chain.unsigned(told)))
    return wire.encode(told) + b"\n" + wire.encode(logs.event(7, "/forged")) + b"\n"


PLANTED = {
    "a number without end": lambda folder, _: plant(folder, 999_999_999_999),
    "the highest number that is looked at": lambda folder, _: plant(folder, names.MOST),
    "the next number": lambda folder, _: plant(folder, 2),
    "the next three": lambda folder, _: [plant(folder, number) for number in (2, 3, 4)],
    "the next number, packed": lambda folder, _: plant(folder, 2, packed=True),
    "a link": lambda folder, _: (folder / names.name("raw", 2)).symlink_to("/dev/null"),
    "a folder": lambda folder, _: (folder / names.name("raw", 2)).mkdir(),
    "a pipe": lambda folder, _: os.mkfifo(folder / names.name("raw", 2)),
    "a copy": lambda folder, _: shutil.copy(folder / names.name("raw", 1), folder / names.name("raw", 77)),
    "a header of its own": lambda folder, state: plant(folder, 500, forged(folder, state, 500, oldest=400)),
    "a header that claims our key": lambda folder, state: plant(
        folder, 500, forged(folder, state, 500, oldest=400, by=claimed(folder).by)
    ),
}


def claimed(folder):
    return msgspec.json.decode((folder / names.name("raw", 1)).read_bytes().splitlines()[0], type=Header)


@pytest.mark.parametrize("name", PLANTED)
def test_what_was_put_there_stops_and_hides_nothing(tmp_path, name):
    """The log goes on in its own chain and numbers, nothing of it goes, and verify finds what is no part of it."""
    folder, state = tmp_path / "log", tmp_path / "state"
    logs.made(folder, state, count=20)
    before = set(folder.iterdir())
    PLANTED[name](folder, state)
    planted = set(folder.iterdir()) - before
    go_on(folder, state)
    assert logs.found(folder).findings
    for path in planted:  # some of it was packed with the rest
        for each in (path, path.with_name(path.name + names.ZSTD)):
            shutil.rmtree(each) if each.is_dir() else each.unlink(missing_ok=True)
    found = logs.found(folder)
    assert all("missing" in str(each) for each in found.findings), found.findings
    assert [part.number for part in found.parts][-1] <= 5
    there = {event.event.sequence for event in reader.events([folder]) if isinstance(event, Event)}
    assert there == {*range(20), *range(200, 220)}


def test_a_log_whose_newest_segment_is_gone_says_so(tmp_path):
    """The key of it is held, and nothing tells of it any more."""
    folder, state = tmp_path / "log", tmp_path / "state"
    logs.made(folder, state)
    *_, last = logs.segments(folder)
    last.unlink()
    (told, *_) = go_on(folder, state)
    assert told[0] == "degraded"
    assert "it was removed or changed" in told[1]


def test_a_lost_key_is_told(tmp_path):
    """And nobody vouches for what follows."""
    folder, state = tmp_path / "log", tmp_path / "state"
    logs.made(folder, state)
    (state / "log-raw.key").unlink()
    (told, *_) = go_on(folder, state)
    assert told == ("degraded", "the key that signed it last is lost: nobody vouches for what follows")


TAILS = {
    "half a line": lambda data: data[:-20],
    "nothing behind the header": lambda data: data[: data.index(b"\n") + 1],
    "half a header": lambda data: data[:100],
    "nothing": lambda data: b"",
    "zeros alone": lambda data: bytes(len(data)),
    "zeros from somewhere on": lambda data: data[:-300] + bytes(300),
    "zeros from a line's end on": lambda data: data[: data[:-300].rindex(b"\n") + 1] + bytes(300),
    "zeros for longer than a line": lambda data: data[:-300] + bytes(reader.MAX_LINE + 300),
    "zeros for longer than a line alone": lambda data: bytes(reader.MAX_LINE + 300),
}


@pytest.mark.parametrize("name", TAILS)
@pytest.mark.parametrize("again", [1, 2])
def test_what_a_power_cut_leaves_of_the_newest_segment_is_gone_on_from(tmp_path, name, again):
    """Nothing is told as changed, nothing is followed that is not there, and the key of the newest header is held."""
    folder, state = tmp_path / "log", tmp_path / "state"
    logs.fill(to := logs.writer(folder, state), range(20))
    to.close(now=logs.NOW)
    before = (state / "log-raw.key").read_bytes()
    if again == 2:
        go_on(folder, state, range(20, 40))
    path = folder / names.name("raw", again)
    left = TAILS[name](path.read_bytes())
    path.write_bytes(left)
    if b"\n" not in left:  # its header never got there, so the key of the one before was still held
        (state / "log-raw.key").write_bytes(before) if again == 2 else (state / "log-raw.key").unlink()
    ((state, reason),) = go_on(folder, state)
    assert state == "started"
    if name == "half a line":
        assert reason.endswith("; its last line is torn")
    found = logs.found(folder)
    assert found.findings == []
    there = {event.event.sequence for event in reader.events([folder]) if isinstance(event, Event)}
    assert there >= set(range(200, 220))
