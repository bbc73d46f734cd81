"""Whom to watch: hints become keys of a map, and go when the process does."""

import errno
from pathlib import Path

import pytest

from replguard.events.hint import Hint
from replguard.kernel.bpf.process import FIRST_PIDS, watch_key
from replguard.sensors.processes.watched import Watched
from tests.support.host import FakeHost


class Map:
    """The part of Programs that is used here: one map, with room for so many."""

    def __init__(self, room: int = 100) -> None:
        self.kept: dict[bytes, bytes] = {}
        self.room = room
        self.error = errno.E2BIG

    def map(self, name: str) -> int:
        assert name == "watched"
        return 5

    def put(self, descriptor: int, key: bytes, value: bytes) -> None:
        assert descriptor == 5
        if len(self.kept) >= self.room:
            raise OSError(self.error, "full")
        self.kept[key] = value

    def entries(self, descriptor: int, key: int, value: int) -> list[tuple[bytes, bytes]]:
        assert (descriptor, key, value) == (5, 8, 4)
        return list(self.kept.items())

    def remove(self, descriptor: int, key: bytes) -> None:
        assert descriptor == 5
        self.kept.pop(key, None)


def host(folder: Path, *pids: int) -> FakeHost:
    """Return a host with processes, each in a pid namespace of its own where it is 1."""
    made = FakeHost(folder)
    for pid in pids:
        made.process(pid)
        (folder / str(pid) / "ns").mkdir(exist_ok=True)
        (folder / str(pid) / "ns" / "pid").symlink_to("pid:[4026532999]")
    return made


def watching(folder: Path, programs: Map, *, threads: bool = False) -> Watched:
    made = Watched(lambda pid: f"entity {pid}", str(folder), threads=threads)
    made.begin(programs)  # type: ignore[arg-type]
    return made


def test_a_hint_enters_a_process_under_each_of_its_numbers(tmp_path: Path) -> None:
    """The host's pid, and that in its own namespace; dropped, both go."""
    programs = Map()
    host(tmp_path, 70)
    watched = watching(tmp_path, programs)
    watched.hint(Hint(kind="process", pid=70, entity_id="entity 70"))
    assert not programs.kept
    watched.follow()
    pid = (70).to_bytes(4, "little")
    assert programs.kept == {watch_key(FIRST_PIDS, 70): pid, watch_key(4026532999, 1): pid}
    assert 70 in watched
    watched.hint(Hint(kind="process", pid=70, drop=True))
    watched.follow()
    assert not programs.kept
    assert 70 not in watched


def test_a_hint_of_another_process_with_the_pid_is_passed_over(tmp_path: Path) -> None:
    """And so is one about something else."""
    programs = Map()
    host(tmp_path, 70)
    watched = watching(tmp_path, programs)
    watched.hint(Hint(kind="process", pid=70, entity_id="an earlier one"))
    watched.hint(Hint(kind="inode", inode=1))
    watched.follow()
    assert not programs.kept


def test_a_new_map_is_filled_with_who_was_watched(tmp_path: Path) -> None:
    """A sensor that began again has lost nobody; between, hints wait."""
    host(tmp_path, 70, 71)
    watched = watching(tmp_path, Map())
    watched.hint(Hint(kind="process", pid=70))
    watched.follow()
    watched.end()
    watched.hint(Hint(kind="process", pid=71))
    programs = Map()
    watched.begin(programs)  # type: ignore[arg-type]
    watched.follow()
    assert {value[0] for value in programs.kept.values()} == {70, 71}


def test_whom_an_earlier_run_watched_is_taken_out(tmp_path: Path) -> None:
    """Unless somebody asked for him by then."""
    programs = Map()
    host(tmp_path, 70)
    watched = watching(tmp_path, programs)
    programs.kept |= {watch_key(FIRST_PIDS, 71): b"", watch_key(1, 1): b""}
    watched.hint(Hint(kind="process", pid=70, entity_id="entity 70"))
    watched.follow()
    watched.reconcile()
    assert set(programs.kept) == {watch_key(FIRST_PIDS, 70), watch_key(4026532999, 1)}
    watched.end()
    watched.reconcile()


def test_threads_are_entered_where_they_matter(tmp_path: Path) -> None:
    """Also those that came since, at the next look."""
    programs = Map()
    made = host(tmp_path, 70)
    for thread in (70, 75):
        made.write(f"70/task/{thread}/status", b"Tgid:\t70\nUid:\t0\t0\t0\t0\nNSpid:\t%d\n" % thread)
    watched = watching(tmp_path, programs, threads=True)
    watched.hint(Hint(kind="process", pid=70))
    watched.follow()
    made.write("70/task/76/status", b"Tgid:\t70\nUid:\t0\t0\t0\t0\nNSpid:\t76\n")
    watched.look()
    assert {watch_key(FIRST_PIDS, number) for number in (70, 75, 76)} <= programs.kept.keys()


def test_what_finds_no_room_is_counted(tmp_path: Path) -> None:
    """Anything else that goes wrong is not."""
    programs = Map(room=1)
    host(tmp_path, 70)
    watched = watching(tmp_path, programs)
    watched.hint(Hint(kind="process", pid=70))
    watched.follow()
    assert (len(programs.kept), watched.full) == (1, 1)
    programs.error = errno.EBADF
    watched.hint(Hint(kind="process", pid=70))
    with pytest.raises(OSError, match="full"):
        watched.follow()
