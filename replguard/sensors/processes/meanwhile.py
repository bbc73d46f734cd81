"""When the processes lived that ran while nobody read: it bounds when they did what the kernel tells without a time."""

import contextlib
import struct
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta

from replguard.kernel.bpf import process as records
from replguard.kernel.bpf.process import EXEC, EXIT, FORK, Head

AFTER = timedelta(milliseconds=1)
"""From when a program was begun to the first that it did."""


class Meanwhile:
    """Written by the sensor of processes at its first look, before the others begin; read by these then."""

    def __init__(self) -> None:
        self._began: dict[int, datetime] = {}
        self._ended: dict[int, datetime] = {}
        self._ends: set[tuple[int, int]] = set()

    def note(self, heads: Iterable[Head], at: Callable[[int], datetime]) -> None:
        """Note when processes were made, began a program and ended, in place of what was noted before."""
        self._began, self._ended, self._ends = {}, {}, set()
        for head in heads:
            if head.kind in (FORK, EXEC):
                self._began[head.pid] = at(head.when)
                self._ended.pop(head.pid, None)
            elif head.kind == EXIT:
                self._ended[head.pid] = at(head.when)

    def ends(self, head: Head) -> bool:
        """Return whether this is the first record of the end of a process."""
        process = (head.pid, head.start)
        first = process not in self._ends
        self._ends.add(process)
        return first

    def within(self, pid: int, since: datetime, until: datetime) -> tuple[datetime, datetime]:
        """Return between when a process acted, of a time in which nobody read."""
        began, ended = self._began.get(pid), self._ended.get(pid, until)
        low = max(since, began + AFTER) if began is not None else since
        high = min(until, ended)
        return (low, high) if low <= high else (high, high)


MEANWHILE = Meanwhile()
"""For the sensors of one daemon."""


def heads(taken: Iterable[bytes]) -> Iterator[Head]:
    """Yield the heads of records; one that is too short is counted by who decodes it."""
    for data in taken:
        with contextlib.suppress(struct.error):
            yield records.head(data)


def looks(taken: Iterable[bytes], seconds: float) -> Iterator[list[bytes]]:
    """Yield records as they would have been read, of so many seconds at a time."""
    part: list[bytes] = []
    until = 0
    for data in taken:
        when = next((head.when for head in heads([data])), 0)
        if when > until:
            if part:
                yield part
            part, until = [], when + round(seconds * 1e9)
        part.append(data)
    if part:
        yield part
