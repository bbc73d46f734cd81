"""After a loss: reads folders again, in slices, for files that changed since the last good moment.

Folders that matter come first; how many are read is bounded, so what lies deep in a large tree may stay unseen.
"""

import os
import stat
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice

from replguard.events import clock
from replguard.sensors.tree import listing

MARGIN = 1.0
"""Seconds before the last good moment that are looked at too: file times are coarse."""
MOST_FOLDERS, MOST_FILES, MOST_NAMES = 20_000, 20_000, 20_000
"""Folders that one rescan reads, files that it reports, and names that it looks at in one folder."""


class Missed:
    """The folders still to read, and since when changes count (seconds of the wall clock, as files have them)."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[bytes, bool]] = deque()
        self._seen: set[bytes] = set()
        self._good = self._since = clock.now().timestamp()
        self._files = 0
        self.skip: frozenset[bytes] = frozenset()
        """Mount points that are not entered."""

    @property
    def waiting(self) -> bool:
        """Whether there is something left to read."""
        return bool(self._waiting)

    def good(self) -> None:
        """Note that nothing was lost up to now."""
        if not self._waiting:
            self._good = clock.now().timestamp()

    def begin(self, folders: Iterable[tuple[bytes, bool]], since: float = 0.0) -> None:
        """Read these folders, and what is below where the second says so, from ``since`` seconds before the last good.

        What was not watched at all has had no good moment: it may have been there for as long as nobody looked.
        """
        if not self._waiting:
            self._since, self._files = self._good - MARGIN, 0
            self._seen.clear()
        self._since = min(self._since, self._good - MARGIN - since)
        for path, deep in folders:
            self._add(path, deep=deep)

    def step(self, seconds: float) -> Iterator[tuple[bytes, os.stat_result]]:
        """Yield changed files, for up to so many seconds of work."""
        end = clock.monotonic() + seconds
        while self._waiting and clock.monotonic() < end:
            folder, deep = self._waiting.popleft()
            for path, found in islice(listing(folder), MOST_NAMES):
                if stat.S_ISDIR(found.st_mode):
                    if deep:
                        self._add(path, deep=True)
                elif max(found.st_mtime, found.st_ctime) >= self._since and self._files < MOST_FILES:
                    self._files += 1
                    yield path, found

    def _add(self, path: bytes, *, deep: bool) -> None:
        if path not in self._seen and path not in self.skip and len(self._seen) < MOST_FOLDERS:
            self._seen.add(path)
            self._waiting.append((path, deep))
