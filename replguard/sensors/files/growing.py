"""Files that were created and not yet closed: how large they are by now, and when their writer is gone."""

import os
import stat
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from replguard.events import clock
from replguard.events.process import Process

FIRST, SECOND = 16 * 2**20, 64 * 2**20
"""Bytes at which a growing file is told first and second; from then on at each doubling."""
LATE = 0.3
"""Seconds after which the same is asked of a file that was there before we looked: it may be closed already."""
QUIET = 2.0
"""Seconds without growth after which a file that no one holds open counts as closed."""
MOST = 4096
"""Files that are followed; of more, the oldest are let go."""


@dataclass(slots=True)
class Growing:
    """One file. ``next`` is the size at which it is told; ``changed`` when it last grew (monotonic seconds)."""

    path: bytes
    device: int
    inode: int
    size: int
    changed: float
    writer: Process | None = None
    next: int = FIRST

    def step(self, size: int, now: float) -> bool:
        """Take a new size; True when it passed what is told next."""
        if size != self.size:
            self.size, self.changed = size, now
        if size < self.next:
            return False
        while self.next <= size:
            self.next = SECOND if self.next < SECOND else self.next * 2
        return True


class Table:
    """All files in the making, by path."""

    def __init__(self, limit: int = MOST) -> None:
        self._files: OrderedDict[bytes, Growing] = OrderedDict()
        self._limit = limit

    def __len__(self) -> int:
        return len(self._files)

    def __contains__(self, path: bytes) -> bool:
        return path in self._files

    def add(self, path: bytes, found: os.stat_result, writer: Process | None, *, late: bool = False) -> Growing | None:
        """Follow a file that was created; ``late``: that was found, so that its close may be over.

        Returns the oldest when there are too many: it is followed no more.
        """
        now = clock.monotonic()
        file = Growing(path, found.st_dev, found.st_ino, 0, now, writer)
        if late and writer is None:
            file.size, file.changed = found.st_size, now - QUIET + LATE
        self._files[path] = file
        return self._files.popitem(last=False)[1] if len(self._files) > self._limit else None

    def pop(self, path: bytes) -> Growing | None:
        """Stop to follow a file: it was closed or removed."""
        return self._files.pop(path, None)

    def below(self, folder: bytes) -> list[bytes]:
        """Return the files in the making in and below a folder."""
        return [path for path in self._files if path.startswith(folder + b"/")]

    def rename(self, old: bytes, new: bytes) -> None:
        """Follow a file under its new name."""
        file = self._files.pop(old, None)
        if file is not None:
            file.path = new
            self._files[new] = file

    def look(self) -> Iterator[tuple[Literal["grown", "quiet"], Growing, os.stat_result]]:
        """Yield the files that passed a size, and those that stopped growing ``QUIET`` seconds ago."""
        now = clock.monotonic()
        for file in list(self._files.values()):
            try:
                found = os.lstat(file.path)
            except OSError:
                self._files.pop(file.path, None)
                continue
            if found.st_ino != file.inode or not stat.S_ISREG(found.st_mode):
                self._files.pop(file.path, None)
                continue
            if file.step(found.st_size, now):
                yield "grown", file, found
            elif now - file.changed > QUIET:
                yield "quiet", file, found
