"""What is protected, arranged for questions that come with every file event: a look-up instead of a walk."""

import math
import posixpath
from collections.abc import Callable, Iterable, Iterator

from replguard.weights.inventory import Protected

MAX_DEPTH = 64
"""Ancestors of one path that are noted; no sane path is deeper."""


def folders(path: str) -> Iterator[str]:
    """Yield the folders that a path lies in, nearest first, the root left out."""
    for _ in range(MAX_DEPTH):
        path = posixpath.dirname(path)
        if path in ("/", ""):
            return
        yield path


class Outline:
    """Derived from the list of protected files; derived anew, at the next question, after ``stale`` was called.

    ``part`` gives the least part of a file of some bytes that is worth telling, in bytes.
    """

    def __init__(self, files: Callable[[], Iterable[Protected]], part: Callable[[int], float]) -> None:
        self._files = files
        self._part = part
        self._fresh = False
        self._least = 0.0
        self._scaffolds: frozenset[int] = frozenset()
        self._at: dict[str, Protected] = {}
        self._below: dict[str, Protected] = {}

    def stale(self) -> None:
        """Note that the list may have changed."""
        self._fresh = False

    def worth(self, size: int) -> bool:
        """Whether a file of ``size`` bytes could be a reportable part of something protected; scaffolds count whole."""
        self._derive()
        return size >= self._least or size in self._scaffolds

    def at(self, path: str) -> Protected | None:
        """Return the protected file with this path, or where that is a link, with this target."""
        self._derive()
        return self._at.get(path)

    def below(self, folder: str) -> Protected | None:
        """Return a protected file in or below a folder."""
        self._derive()
        return self._below.get(folder)

    def _derive(self) -> None:
        if self._fresh:
            return
        files = [known for known in self._files() if known.size]
        self._least = min((self._part(f.size or 0) for f in files if not f.scaffold), default=math.inf)
        self._scaffolds = frozenset(known.size or 0 for known in files if known.scaffold)
        self._at, self._below = {}, {}
        for known in files:
            for path in filter(None, (known.path, known.target)):
                self._at.setdefault(path, known)
            for folder in folders(known.path):
                self._below.setdefault(folder, known)
        self._fresh = True
