"""The examiner as the daemon uses it: answers come, whatever happens to its process."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from support import modelfiles
from support.examining import examined, indexed
from support.fingerprints import MIB, model, target

from replguard.config import Bytes, Config, Weights
from replguard.events import clock
from replguard.weights.examiner import Examiner, Request, settings_of
from replguard.weights.inventory import Inventory
from replguard.weights.messages import Settings

Made = Callable[..., Examiner]


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Made]:
    """Make examiners that are stopped at the end."""
    all_of_them = []

    def make(**keys: object) -> Examiner:
        all_of_them.append(Examiner(Settings(str(tmp_path / "state")), **keys))  # type: ignore[arg-type]
        return all_of_them[-1]

    yield make
    for examiner in all_of_them:
        examiner.stop()


def stopped(examiner: Examiner) -> int:
    """Stop the child as a hang would, and return its pid."""
    deadline = clock.monotonic() + 10
    while examiner.pid is None:
        assert clock.monotonic() < deadline
    pid = examiner.pid
    os.kill(pid, signal.SIGSTOP)
    return pid


def test_a_copy_is_told_from_a_stranger(made: Made, origin: Path, tmp_path: Path) -> None:
    """From start to match."""
    examiner = made()
    examiner.start([target(origin, "llama")])
    assert [done.state for done in indexed(examiner)] == ["fingerprinted"]
    copy = modelfiles.write(tmp_path / "copy", origin.read_bytes())
    stranger = modelfiles.write(tmp_path / "stranger", model(9))
    assert examiner.submit(Request(str(copy), reason="a"))
    assert examiner.submit(Request(str(stranger), reason="b"))
    found = {one.request.reason: [match.model for match in one.matches] for one in examined(examiner, 2)}
    assert found == {"a": ["llama"], "b": []}
    assert examiner.counts.done == 2
    assert examiner.counts.pending == examiner.counts.unindexed == 0


def test_a_copy_of_ninety_megabytes_is_told_quickly(made: Made, tmp_path: Path) -> None:
    """Well within the tenth of a second that a copy may take to be known; here with room for a busy machine."""
    data = model(1, 8 * MIB) + bytes(82 * MIB)
    origin = modelfiles.write(tmp_path / "origin", data)
    examiner = made()
    examiner.start([target(origin)])
    indexed(examiner)
    copy = modelfiles.write(tmp_path / "copy", data)
    started = clock.monotonic()
    examiner.submit(Request(str(copy)))
    (answer,) = examined(examiner)
    assert answer.matches[0].share == 1.0
    assert clock.monotonic() - started < 1.0


def test_the_same_file_waits_once(made: Made) -> None:
    """The newest request for an inode replaces the one that waits; other files wait beside it."""
    examiner = made(queue=4)
    assert examiner.submit(Request("/nowhere/1", 1, 7, "old"))
    assert examiner.submit(Request("/nowhere/2", 1, 7, "new"))
    assert examiner.submit(Request("/nowhere/3"))
    assert not examiner.submit(Request("/nowhere/4"))
    assert examiner.submit(Request("/nowhere/3"))
    counts = examiner.counts
    assert (counts.pending, counts.merged, counts.dropped) == (2, 2, 1)
    examiner.start()
    assert sorted(one.request.reason for one in examined(examiner, 2)) == ["", "new"]
    assert examiner.counts.failed == 2


def test_refusals_are_told_when_they_begin_and_when_they_end(made: Made) -> None:
    """However long they go on; once all is told there is nothing to tell."""
    examiner = made(queue=2)
    told = []
    for refused in (0, 2, 3, 1, 0, 0, 1, 0):
        for number in range(refused + 1):
            examiner.submit(Request(f"/nowhere/{number}"))
        told.append(examiner.untold())
    assert told == [0, 2, 0, 0, 4, 0, 1, 0]


def test_a_flood_of_one_user_hides_no_copy_of_another(made: Made, origin: Path, tmp_path: Path) -> None:
    """Large files without data fill half of the queue and are refused, once each; the copy is second in line."""
    examiner = made(queue=200)
    holes = [tmp_path / f"hole{number}" for number in range(150)]
    for hole in holes:
        hole.touch()
        os.truncate(hole, 2**33)
    taken = [examiner.submit(Request(str(hole), uid=1000)) for hole in holes]
    assert sum(taken) == 100
    assert not examiner.submit(Request(str(holes[-1]), uid=1000, again=True))
    assert examiner.counts.dropped == 50
    assert examiner.submit(Request(str(origin), reason="copy", uid=0))
    examiner.start([target(origin)])
    answers = examined(examiner, 101)
    assert [one.request.reason for one in answers[:3]] == ["", "copy", ""]
    assert not any(one.error for one in answers)


def test_after_long_idleness_the_first_order_finds_it_alive(made: Made, origin: Path) -> None:
    """It says nothing while it has nothing to do: that is no sign of a hang."""
    examiner = made(deadline=0.5)
    examiner.start([])
    time.sleep(1.5)
    first = examiner.pid
    examiner.protect([target(origin)])
    indexed(examiner)
    time.sleep(1.0)
    examiner.submit(Request(str(origin)))
    (answer,) = examined(examiner)
    assert answer.matches[0].share == 1.0
    assert (examiner.pid, examiner.counts.restarted) == (first, 0)


def test_relative_paths_are_those_of_the_daemons_folder(
    tmp_path: Path, origin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process works elsewhere; its cache lies where the configuration says."""
    monkeypatch.chdir(tmp_path)
    settings = settings_of(Config(state_dir="./var/state", weights=Weights(index=("exported.index",))))
    assert settings.index == (str(tmp_path / "exported.index"),)
    examiner = Examiner(msgspec.structs.replace(settings, index=()))
    try:
        examiner.start([target(origin)])
        indexed(examiner)
    finally:
        examiner.stop()
    assert (tmp_path / "var" / "state" / "weights.index").exists()


def test_who_stops_the_process_while_a_copy_is_made_does_not_hide_the_copy(made: Made, origin: Path) -> None:
    """It is killed at the deadline, and a new one is asked once more."""
    examiner = made(deadline=0.5)
    examiner.start([target(origin)])
    indexed(examiner)
    first = stopped(examiner)
    examiner.submit(Request(str(origin), reason="hangs"))
    (answer,) = examined(examiner)
    assert (answer.error, answer.request.reason) == (None, "hangs")
    assert answer.matches[0].share == 1.0
    assert examiner.pid != first
    assert examiner.counts.restarted == 1


def test_a_file_that_hangs_twice_costs_one_request_and_no_more(made: Made, origin: Path) -> None:
    """It is answered with an error, and the next request works."""
    examiner = made(deadline=0.5)
    examiner.start([target(origin)])
    indexed(examiner)
    first = stopped(examiner)
    examiner.submit(Request(str(origin), reason="hangs"))
    deadline = clock.monotonic() + 10
    while examiner.pid in (None, first):
        assert clock.monotonic() < deadline
    stopped(examiner)
    (answer,) = examined(examiner)
    assert (answer.error, answer.request.reason) == ("timeout", "hangs")
    examiner.submit(Request(str(origin), reason="works"))
    (answer,) = examined(examiner)
    assert answer.error is None
    assert examiner.counts.restarted == 2


def test_a_process_that_dies_is_replaced(made: Made, origin: Path) -> None:
    """It finds its cache and knows what it knew."""
    examiner = made()
    examiner.start([target(origin)])
    indexed(examiner)
    assert examiner.pid is not None
    os.kill(examiner.pid, signal.SIGKILL)
    deadline = clock.monotonic() + 10
    while examiner.counts.restarted == 0:
        assert clock.monotonic() < deadline
    examiner.submit(Request(str(origin)))
    (answer,) = examined(examiner)
    assert answer.matches[0].share == 1.0


def test_a_file_whose_reading_hangs_twice_is_left_alone(
    made: Made, origin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its fingerprint has failed, and the others are made."""
    examiner = made(deadline=3.0)
    examiner._settings = Settings(None, rate=1)
    examiner.start([target(origin)])
    for _ in range(2):
        deadline = clock.monotonic() + 40
        while examiner._at_work is None:
            assert clock.monotonic() < deadline
            time.sleep(0.01)
        before = examiner.counts.restarted
        stopped(examiner)
        while examiner.counts.restarted == before:
            assert clock.monotonic() < deadline
            time.sleep(0.01)
    (done,) = indexed(examiner)
    assert done.state == "failed"
    assert "2 times" in (done.reason or "")
    assert examiner.counts.unindexed == 0
    examiner.submit(Request(str(origin)))
    (answer,) = examined(examiner)
    assert answer.error is None
    assert answer.index_ready


def test_a_process_that_cannot_be_started_is_an_error_and_no_hang(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """After five tries what waits is answered, and trying goes on."""
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    monkeypatch.setattr("replguard.weights.examiner._SLOWEST", 0.01)
    examiner = made()
    examiner.submit(Request("/x"))
    examiner.start()
    (answer,) = examined(examiner)
    assert "could not be started" in (answer.error or "")
    monkeypatch.undo()
    examiner.submit(Request("/nowhere"))
    (answer,) = examined(examiner)
    assert "No such file" in (answer.error or "")


def test_files_come_and_go_while_it_runs(made: Made, origin: Path, tmp_path: Path) -> None:
    """Protecting the same file again costs nothing; a file that is gone is still known."""
    examiner = made()
    examiner.start()
    examiner.protect([target(origin)])
    indexed(examiner)
    examiner.protect([target(origin)])
    examiner.retire([target(origin).key, (1, 2)])
    examiner.submit(Request(str(origin)))
    (answer,) = examined(examiner)
    assert [match.current for match in answer.matches] == [False]
    assert examiner.indexed() == []


def test_stopping_keeps_what_is_known(made: Made, origin: Path, tmp_path: Path) -> None:
    """The cache is written, the process is gone, and stopping twice is once."""
    examiner = made()
    examiner.start([target(origin)])
    indexed(examiner)
    pid = examiner.pid
    examiner.stop()
    examiner.stop()
    assert examiner.pid is None
    assert not Path(f"/proc/{pid}").exists()
    assert (tmp_path / "state" / "weights.index").stat().st_size > 1000
    assert examiner.results() == []


def test_the_settings_are_those_of_the_configuration() -> None:
    """Sizes as plain numbers."""
    config = Config(state_dir="/s", weights=Weights(index=("/i",), scan_rate=Bytes(5), scan_network=True))
    assert settings_of(config) == Settings("/s", ("/i",), 5, scan_network=True)


def test_names_of_other_bytes_are_examined(made: Made, origin: Path) -> None:
    """Raw from the system or as events show them; half a surrogate pair ends nothing."""
    odd = origin.rename(origin.parent / os.fsdecode(b"m\xff\n.bin"))
    examiner = made()
    stock = Inventory(Weights(paths=(str(odd.parent),), discover=False), homes=[])
    examiner.start(stock.refresh().targets)
    assert [done.state for done in indexed(examiner)] == ["fingerprinted"]
    for name in (str(odd), f"{odd.parent}/m\\xff\n.bin"):
        examiner.submit(Request(name, reason="\ud800"))
        (answer,) = examined(examiner)
        assert answer.matches[0].path == f"{odd.parent}/m\\xff\n.bin"
    examiner.submit(Request("/nowhere\ud800"))
    (answer,) = examined(examiner)
    assert answer.error is not None
