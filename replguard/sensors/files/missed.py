"""After a loss: reads folders again, in slices, for files that changed since the last good moment.

Folders that matter come first. How much is read for one reason is bounded, so what lies deep in a large tree may stay
unseen; that is said. A reason takes nothing from another: whoever mounts a large tree of his own hides nobody else's.
"""

import os
import stat
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from replguard.events import clock
from replguard.kernel import beneath
from replguard.sensors.files.places import Root
from replguard.sensors.files.tree import listing

MARGIN = 1.0
"""Seconds before the last good moment that are looked at too: file times are coarse."""
MOST_FOLDERS, MOST_FILES, MOST_NAMES = 20_000, 20_000, 20_000
"""Folders that are read for one reason, files that are reported, and names that are looked at in one folder."""
MOST_REASONS = 64
"""Reasons that wait: each may hold as many paths as above."""
TOO_MUCH = "more was to read again than is"
FIRST, SOON, LATER = 0, 1, 2
"""How soon a reason is dealt with: before all others, or after those."""


@dataclass(slots=True, eq=False)
class _Walk:
    """What is read for one reason: the folders still to read, those met, and since when changes count (Unix time)."""

    urgency: int
    since: float
    waiting: deque[tuple[bytes, bool]] = field(default_factory=deque)
    seen: set[bytes] = field(default_factory=set)
    files: int = 0
    cut: bool = False


class Missed:
    """The folders still to read."""

    def __init__(self, since: float | None = None) -> None:
        """Nothing was lost up to now, or up to ``since`` (Unix time)."""
        self._walks: list[_Walk] = []
        self._good = since if since is not None else clock.now().timestamp()
        self._cut = 0
        self.skip: frozenset[bytes] = frozenset()
        """Mount points that are not entered."""

    @property
    def waiting(self) -> bool:
        """Whether there is something left to read."""
        return bool(self._walks)

    def good(self) -> None:
        """Note that nothing was lost up to now."""
        if not self._walks:
            self._good = clock.now().timestamp()

    def cut(self) -> int:
        """Return for how many reasons more was to read than is, since the last time."""
        cut, self._cut = self._cut, 0
        return cut

    def begin(self, folders: Iterable[tuple[bytes, bool]], since: float = 0.0, urgency: int = SOON) -> None:
        """Read these folders, and what is below where the second says so, from ``since`` seconds before the last good.

        What was not watched at all has had no good moment: it may have been there for as long as nobody looked.
        """
        walk = _Walk(urgency, self._good - MARGIN - since)
        for path, deep in folders:
            self._add(walk, path, deep=deep)
        if not walk.waiting:
            return
        self._walks.append(walk)
        self._walks.sort(key=lambda each: each.urgency)
        if len(self._walks) > MOST_REASONS:
            self._cut += 1
            self._walks.pop()

    def after_loss(self, roots: Iterable[Root], recent: Iterable[bytes]) -> None:
        """Read what matters, then where something was going on, then the rest of what is watched."""
        roots = list(roots)
        self.begin([(root.path, root.recursive) for root in roots if root.important], urgency=FIRST)
        self.begin([(path, False) for path in recent])
        self.begin([(root.path, root.recursive) for root in roots if not root.important], urgency=LATER)

    def step(self, seconds: float) -> Iterator[tuple[bytes, os.stat_result]]:
        """Yield changed files, for up to so many seconds of work."""
        end = clock.monotonic() + seconds
        while self._walks and clock.monotonic() < end:
            walk = self._walks[0]
            yield from self._read(walk, *walk.waiting.popleft())
            if not walk.waiting:
                self._cut += walk.cut
                self._walks.remove(walk)

    def _read(self, walk: _Walk, folder: bytes, deep: bool) -> Iterator[tuple[bytes, os.stat_result]]:  # noqa: FBT001
        number = 0
        for path, found in islice(_listing(folder), MOST_NAMES):
            number += 1
            if stat.S_ISDIR(found.st_mode):
                if deep:
                    self._add(walk, path, deep=True)
            elif max(found.st_mtime, found.st_ctime) >= walk.since:
                if walk.files < MOST_FILES:
                    walk.files += 1
                    yield path, found
                else:
                    walk.cut = True
        walk.cut = walk.cut or number >= MOST_NAMES

    def _add(self, walk: _Walk, path: bytes, *, deep: bool) -> None:
        if path in walk.seen or path in self.skip:
            return
        if len(walk.seen) >= MOST_FOLDERS:
            walk.cut = True
            return
        walk.seen.add(path)
        walk.waiting.append((path, deep))


def _listing(folder: bytes) -> Iterator[tuple[bytes, os.stat_result]]:
    """Yield the entries of a folder; below another process's root without being led out of it."""
    there = beneath.parted(folder)
    if there is None:
        yield from listing(folder)
        return
    try:
        descriptor = beneath.entered(*there, None)
    except OSError:
        return
    try:
        with os.scandir(descriptor) as entries:
            for entry in entries:
                try:
                    yield folder + b"/" + os.fsencode(entry.name), entry.stat(follow_symlinks=False)
                except OSError:
                    continue
    except OSError:
        return
    finally:
        os.close(descriptor)
