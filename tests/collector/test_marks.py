"""What happened counts as being in the log once the frames that told of it are written."""

from datetime import UTC, datetime, timedelta

from replguard.collector.marks import MOST, Marks

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def at(seconds: int) -> datetime:
    """Return a time."""
    return NOON + timedelta(seconds=seconds)


def test_time_goes_on_with_what_is_written() -> None:
    """Up to the last frame that is, and no further; where nothing waits at once."""
    noted: list[datetime] = []
    marks = Marks(noted.append)
    marks.sent(0, at(0))
    assert noted == [at(0)]
    marks.sent(1, at(1))
    marks.sent(1, at(2))
    marks.sent(3, at(3))
    assert noted == [at(0)]
    marks.written(2)
    assert noted == [at(0), at(2)]
    marks.written(3)
    marks.sent(3, at(4))
    assert noted == [at(0), at(2), at(3), at(4)]


def test_a_long_wait_is_remembered_by_its_end() -> None:
    """However long there is no analyser."""
    noted: list[datetime] = []
    marks = Marks(noted.append)
    for number in range(1, MOST + 100):
        marks.sent(number, at(number))
    marks.written(MOST + 99)
    assert noted == [at(MOST + 99)]
    assert len(marks._waiting) == 0
