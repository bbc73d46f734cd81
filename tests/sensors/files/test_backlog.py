"""What waited while nobody read gets a time that it can have had."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from replguard.events import clock
from replguard.kernel.bpf import process as records
from replguard.kernel.bpf.process import EXEC, EXIT
from replguard.sensors.files.backlog import COARSE, Backlog
from replguard.sensors.files.written import Act
from replguard.sensors.processes import meanwhile
from replguard.sensors.processes.meanwhile import Meanwhile

SECOND = timedelta(seconds=1)


@pytest.fixture
def lived(monkeypatch: pytest.MonkeyPatch) -> datetime:
    """Pid 7 lived from four to two seconds ago; return the time of now."""
    now, one = clock.now(), Meanwhile()
    heads = [records.Head(kind, 7, when, 0, 0, 0, 0, 0, 0, 0) for kind, when in ((EXEC, -4), (EXIT, -2))]
    one.note(heads, lambda seconds: now + seconds * SECOND)
    monkeypatch.setattr("replguard.sensors.files.backlog.MEANWHILE", one)
    return now


def act(path: Path, pid: int, changed: datetime | None = None) -> Act:
    if changed is None:
        return Act("file_delete", os.fsencode(path), os.fsencode(path), None, pid)
    path.touch()
    status = os.stat_result([*path.lstat()[:10], 0.0, 0.0, changed.timestamp()])
    return Act("file_close_write", os.fsencode(path), os.fsencode(path), status, pid)


def test_a_file_tells_by_when_it_was_changed_last(lived: datetime, tmp_path: Path) -> None:
    """Within the life of who wrote it; one that was changed long before, or is gone, follows what came before it."""
    backlog = Backlog(lived - 10 * SECOND)
    acts = [
        act(tmp_path / "a", 7, lived - 3 * SECOND),
        act(tmp_path / "b", 8, lived - 900 * SECOND),
        act(tmp_path / "c", 8),
        act(tmp_path / "d", 7, lived - 1 * SECOND),
        act(tmp_path / "e", 8, lived + 900 * SECOND),
    ]
    times = [when for _, when in backlog.of(acts)]
    written = lived - 3 * SECOND + COARSE
    assert abs(times[0] - written) < timedelta(milliseconds=1)
    assert times[1] == times[2] == times[0]
    assert times[3] == lived - 2 * SECOND  # it had ended before somebody else changed the file again
    assert lived <= times[4] <= clock.now()


def test_what_one_process_did_keeps_its_order(lived: datetime, tmp_path: Path) -> None:
    """A file that it had written before, and closed after another."""
    backlog = Backlog(lived - 10 * SECOND)
    acts = [act(tmp_path / "a", 8, lived - 3 * SECOND), act(tmp_path / "b", 8, lived - 5 * SECOND)]
    first, second = (when for _, when in backlog.of(acts))
    assert first == second


def test_an_open_comes_first(lived: datetime) -> None:
    """As soon as the program was begun; that of one that ran before, as soon as nobody read."""
    backlog = Backlog(lived - 10 * SECOND)
    assert backlog.opened(7) == lived - 4 * SECOND + meanwhile.AFTER
    assert backlog.opened(99) == lived - 10 * SECOND
    assert backlog.opened(99).tzinfo is UTC
