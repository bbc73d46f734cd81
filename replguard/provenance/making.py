"""Files in the making: who began them, what is asked about them, and what was told, so that nothing is told twice."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from replguard.events.event import Event
from replguard.events.fact import Attribution
from replguard.events.file import File
from replguard.fair import Fair
from replguard.kernel.handles import open_holders
from replguard.provenance import entry
from replguard.provenance.ledger import Inode
from replguard.provenance.processes import Proc

TOLD_FOR = timedelta(seconds=60)
"""A file that is closed again this soon by the same writer is the same copy still being made."""
MOST = 20_000
"""Files that are remembered of those who touched weights, and as many of everybody else."""
CLOSING = ("file_close_write", "file_rename")
"""After these a file is what it was to be."""
LATE = timedelta(seconds=1)
"""How much later than its close a growth that was before it may seem: who tells one keeps another time than who tells
the other, and of a close that waited while nobody read it is known when its last write began.
"""
IDLE = timedelta(minutes=20)
"""How long a file is remembered of which nothing was told, and nobody heard: twice as long as it can become derived."""
SWEPT = 512
"""Files that are looked at once a second for that."""


class Told(NamedTuple):
    """What was told of a file: how much of the model, as whose act, how it was recognised, and when."""

    share: float
    maker: Proc | None
    confidence: str
    when: datetime


@dataclass(slots=True)
class Making:
    """A file being made: when it began, by whom (once seen), the event that said so last, and what was told of it.

    ``asked`` is since when the examiner owes an answer; ``grown`` the bytes that a source added up, None if none did;
    ``closer`` who closed it last.
    """

    began: datetime
    last: Event
    maker: Proc | None = None
    seen: Attribution | None = None
    is_new: bool = False
    writing: bool = False
    closer: Proc | None = None
    asked: datetime | None = None
    grown: int | None = None
    started: tuple[str, ...] = ()
    told: dict[str, Told] = field(default_factory=dict)

    @property
    def closed(self) -> bool:
        """Whether the last that was heard of it is no sign that it still grows."""
        return self.last.action in CLOSING

    def hear(self, event: Event) -> None:
        """Take what was heard last, but for a growth that is told after the close that it came before."""
        late = event.action == "file_grow" and self.closed and event.timestamp < self.last.timestamp + LATE
        self.last = self.last if late else event

    def written(self) -> int:
        """Return the bytes that were written: what a source added up, or the size of a file that was not there before.

        A source tells at each doubling, so that up to twice as much may be written. A new file is never more than it
        holds, and may be much less: one with a hole. What was written of a file that was there, and that nobody added
        up, is unknown where the kernel adds up; elsewhere its size is all that there is.
        """
        size = (self.last.file.size or 0) if self.last.file is not None else 0
        if self.grown is None:
            portable = self.last.replguard is None or self.last.replguard.tier != "kernel"
            return size if self.is_new or portable else 0
        return min(size, 2 * self.grown) if self.is_new and self.closed else self.grown

    def news(self, model: str, share: float, maker: Proc | None, confidence: str) -> bool:
        """Whether a finding is more than was told: surer, another writer's, twice the share, or written anew later.

        How much was derived becomes known bit by bit, and says no more.
        """
        told = self.told.get(model)
        if told is None:
            return True
        if confidence == "content" != told.confidence:
            return True
        another = self.maker is not None and maker is not told.maker  # a guess may be another one each time
        anew = self.last.action == "file_close_write" and self.last.timestamp - told.when > TOLD_FOR
        return anew or another or (confidence == "content" and share >= 2 * told.share)


class Makings:
    """All files in the making. A flood of one user or actor pushes out its own; those of touchers are kept apart."""

    def __init__(self) -> None:
        self._touchers: Fair[Inode, Making] = Fair(MOST)
        self._others: Fair[Inode, Making] = Fair(MOST)

    def __len__(self) -> int:
        return len(self._touchers) + len(self._others)

    def __iter__(self) -> Iterator[Making]:
        yield from self._touchers.values()
        yield from self._others.values()

    @property
    def evicted(self) -> int:
        """How many were forgotten before it was known what they hold."""
        return self._touchers.evicted + self._others.evicted

    def tick(self, now: datetime) -> None:
        """Once a second: forget files that came to nothing. A host makes thousands an hour that are nobody's copy."""
        for there in (self._touchers, self._others):
            for key, making in there.oldest(SWEPT):
                if now - making.last.timestamp < IDLE:
                    break
                if making.asked is None and not making.told and not making.started:
                    there.pop(key)

    def untold(self) -> list[tuple[Making, File]]:
        """Return the files of touchers of which nothing was told, but that they are being made."""
        found = ((making, making.last.file) for making in self._touchers.values() if not making.told)
        return [(making, file) for making, file in found if file is not None]

    def get(self, key: Inode) -> Making | None:
        """Return what is known of a file, None for one that nobody was heard to make."""
        return self._touchers.get(key) or self._others.get(key)

    def put(self, key: Inode, making: Making, *, toucher: bool) -> None:
        """Remember a file as the newest of its owner's: the user, or of root's files the actor."""
        there = self._touchers if toucher or key in self._touchers else self._others
        if there is self._touchers:
            self._others.pop(key)
        file = making.last.file
        uid = file.uid if file is not None else None
        owner = uid or _actor(making.maker)
        there.put(key, making, owner)


def writes(proc: Proc, file: File) -> bool:
    """Whether a process has a file open for writing: one that lives on may have closed it while nobody looked."""
    name = os.fsencode(os.path.basename(file.path))
    held = open_holders(file.device or 0, file.inode or 0, [proc.pid] if proc.alive else [], name=name)
    return any(writable for _, _, writable in held)


def _actor(proc: Proc | None) -> Proc | None:
    return entry.find(proc).proc if proc is not None else None
