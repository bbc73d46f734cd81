"""After a loss: reads the watched folders again, in slices, for what changed since the last good moment."""

import os
from collections import deque
from collections.abc import Iterable, Iterator

from replguard.events import clock
from replguard.sensors.files.tree import Folder, listing

MARGIN = 1.0
"""Seconds before the last good moment that are looked at too: file times are coarse."""
MOST = 20_000
"""Files that one rescan reports."""


class Rescan:
    """The folders still to read, and since when changes count (seconds of the wall clock, as files have them)."""

    def __init__(self) -> None:
        self._folders: deque[Folder] = deque()
        self._good = self._since = clock.now().timestamp()
        self._left = 0

    def good(self, when: float) -> None:
        """Note that nothing was lost up to this moment."""
        if not self._folders:
            self._good = when

    def begin(self, folders: Iterable[Folder]) -> None:
        """Start over with these folders."""
        if not self._folders:
            self._since, self._left = self._good - MARGIN, MOST
        known = {folder.path for folder in self._folders}
        self._folders.extend(folder for folder in folders if folder.path not in known)

    def step(self, seconds: float) -> Iterator[tuple[Folder, bytes, os.stat_result]]:
        """Yield changed entries with their folder, for up to so many seconds of work."""
        end = clock.monotonic() + seconds
        while self._folders and clock.monotonic() < end:
            folder = self._folders.popleft()
            for path, found in listing(folder.path):
                if max(found.st_mtime, found.st_ctime) >= self._since and self._left > 0:
                    self._left -= 1
                    yield folder, path, found
