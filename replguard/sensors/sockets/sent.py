"""Bytes that open connections have sent, by looking at the kernel's own count of each: where no probe adds them up.

What a connection sends between the last look and its end is not seen, nor one that lives between two looks.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from replguard.events.process import Process
from replguard.kernel.sockdiag import Socket
from replguard.sensors.sockets.flows import LARGE
from replguard.sensors.sockets.tables import Pair

MOST = 16_384
TRIES = 5
"""Looks in which the owner of a connection that sends is searched."""


class Amount(NamedTuple):
    """Bytes of one connection since it was last told, and altogether; ``accepted``: the other end opened it."""

    row: Socket
    process: Process | None
    new: int
    total: int
    accepted: bool


@dataclass(slots=True)
class _Line:
    """``told`` bytes were told of it, ``seen`` were there at the last look."""

    row: Socket
    told: int
    seen: int
    process: Process | None = None
    tries: int = TRIES


class Sent:
    """Tells a large amount at once, the rest when a connection sends no more or is gone."""

    def __init__(self, owners: Callable[[set[int]], dict[int, Process]]) -> None:
        """``owners`` finds the processes that hold sockets."""
        self._owners = owners
        self._lines: OrderedDict[Pair, _Line] = OrderedDict()

    def look(self, rows: Iterable[Socket], ports: set[int | None], *, first: bool) -> Iterator[Amount]:
        """Take all connections as they are; ``ports`` are those of listeners. What was there at first is not told."""
        found = {(row.source, row.destination): row for row in rows if row.sent is not None}
        due = [self._lines.pop(pair) for pair in self._lines.keys() - found.keys()]
        due = [line for line in due if line.seen > line.told]
        for pair, row in found.items():
            line = self._lines.get(pair)
            sent = row.sent or 0
            if line is None or sent < line.seen:
                line = self._lines[pair] = _Line(row, sent if first else 0, 0)
            rests, line.seen = sent == line.seen, sent
            line.row = row if row.inode else line.row
            if sent > line.told and (rests or sent - line.told >= LARGE or not row.inode):
                due.append(line)
        while len(self._lines) > MOST:
            self._lines.popitem(last=False)
        self._search(line for line in self._lines.values() if line.seen > line.told)
        yield from self._told(due, ports)

    def _search(self, lines: Iterable[_Line]) -> None:
        """Look for the owners of what sends: it may be gone before there is enough to tell."""
        searched = [line for line in lines if line.process is None and line.tries > 0 and line.row.inode > 0]
        owners = self._owners({line.row.inode for line in searched}) if searched else {}
        for line in searched:
            line.process, line.tries = owners.get(line.row.inode), line.tries - 1

    def _told(self, due: list[_Line], ports: set[int | None]) -> Iterator[Amount]:
        for line in due:
            gone = (line.row.source, line.row.destination) not in self._lines
            if line.process is None and line.tries > 0 and not gone:
                continue  # the next look may find who it is
            new, line.told = line.seen - line.told, line.seen
            yield Amount(line.row, line.process, new, line.seen, line.row.source[1] in ports)
