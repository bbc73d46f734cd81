"""When processes lived that ran while nobody read."""

from datetime import UTC, datetime, timedelta

from replguard.kernel.bpf import process as records
from replguard.kernel.bpf.process import EXEC, EXIT, FORK, Head
from replguard.sensors.processes import meanwhile
from replguard.sensors.processes.meanwhile import AFTER, Meanwhile

BOOT = datetime(2026, 1, 2, tzinfo=UTC)
SINCE, UNTIL = BOOT + timedelta(seconds=10), BOOT + timedelta(seconds=20)


def at(nanoseconds: int) -> datetime:
    return BOOT + timedelta(microseconds=nanoseconds // 1000)


def record(kind: int, pid: int, seconds: float, start: int = 5) -> bytes:
    return records.HEAD.pack(kind, pid, round(seconds * 1e9), start, 0, 0, 1, 0, 0, 0)


def head(kind: int, pid: int, seconds: float, start: int = 5) -> Head:
    return records.head(record(kind, pid, seconds, start))


def test_a_process_acts_between_its_begin_and_its_end() -> None:
    """What it did, it did after its last program was begun; another that has its number later is another."""
    lived = Meanwhile()
    lived.note([head(FORK, 7, 11), head(EXEC, 7, 12), head(EXIT, 7, 14), head(EXIT, 8, 15), head(FORK, 9, 16)], at)
    assert lived.within(7, SINCE, UNTIL) == (at(12 * 10**9) + AFTER, at(14 * 10**9))
    assert lived.within(8, SINCE, UNTIL) == (SINCE, at(15 * 10**9))
    assert lived.within(9, SINCE, UNTIL) == (at(16 * 10**9) + AFTER, UNTIL)
    assert lived.within(99, SINCE, UNTIL) == (SINCE, UNTIL)
    lived.note([head(EXIT, 7, 11), head(FORK, 7, 12)], at)
    assert lived.within(7, SINCE, UNTIL) == (at(12 * 10**9) + AFTER, UNTIL)
    assert lived.within(8, SINCE, UNTIL) == (SINCE, UNTIL)


def test_bounds_never_cross() -> None:
    """A process that ended within a millisecond of its begin."""
    lived = Meanwhile()
    lived.note([head(EXEC, 7, 12), head(EXIT, 7, 12.0001)], at)
    low, high = lived.within(7, SINCE, UNTIL)
    assert low == high == at(round(12.0001 * 1e9))


def test_an_end_is_told_once() -> None:
    """Two threads that end together may both be told as the last one."""
    lived = Meanwhile()
    assert [lived.ends(head(EXIT, 7, 12)), lived.ends(head(EXIT, 7, 12)), lived.ends(head(EXIT, 7, 13, start=6))] == [
        True,
        False,
        True,
    ]


def test_records_are_taken_as_they_would_have_been_read() -> None:
    """So many seconds at a time; one that is too short is passed on to who counts it."""
    taken = [record(EXEC, pid, seconds) for pid, seconds in ((1, 1.0), (2, 1.04), (3, 1.06), (4, 9.0))]
    parts = list(meanwhile.looks([*taken, b"short"], 0.05))
    assert parts == [taken[:2], taken[2:3], [taken[3], b"short"]]
    assert [one.pid for one in meanwhile.heads([taken[0], b"short", taken[3]])] == [1, 4]
    assert list(meanwhile.looks([], 0.05)) == []
