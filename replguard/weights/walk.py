"""Every regular file under a folder, whatever links, loops and oddities it holds."""

# ruff: noqa: PTH116, PTH118, PTH208 - one system call a file: pathlib costs more than what it wraps

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

DEEPEST = 32
MOST_FILES = 100_000
"""Files listed under one configured path; a folder with more is a mistake that must not stop the daemon."""
THIRD_PARTY = frozenset(
    ".git .hg .svn __pycache__ .venv venv node_modules .tox .mypy_cache .ruff_cache .pytest_cache site-packages".split()
)
"""Folders of other people's files inside a scaffold: shared by strangers, so they tell nothing."""


@dataclass(frozen=True, slots=True)
class Found:
    """A regular file: the path it was found by, and what it is after following links."""

    path: str
    stat: os.stat_result

    @property
    def key(self) -> tuple[int, int]:
        """Its identity on this host: (device, inode)."""
        return self.stat.st_dev, self.stat.st_ino


def files(root: str, *, follow: bool = True, skip: frozenset[str] = frozenset()) -> Iterator[Found]:
    """Return the regular files at or under a path, sorted within their folder; what cannot be read is left out.

    A folder reached twice is walked once, so that loops of links end. At most 32 levels and 100,000 files.
    """
    top = _stat(root, follow=True)
    if top is None:
        return
    if stat.S_ISREG(top.st_mode):
        yield Found(root, top)
        return
    seen: set[tuple[int, int]] = set()
    count = 0
    stack = [(root, top, 0)]
    while stack:
        folder, status, depth = stack.pop()
        if not stat.S_ISDIR(status.st_mode) or (status.st_dev, status.st_ino) in seen or depth > DEEPEST:
            continue
        seen.add((status.st_dev, status.st_ino))
        below = []
        for name in _names(folder):
            path = os.path.join(folder, name)
            found = _stat(path, follow=follow)
            if found is None or name in skip:
                continue
            if stat.S_ISDIR(found.st_mode):
                below.append((path, found, depth + 1))
            elif stat.S_ISREG(found.st_mode):
                count += 1
                if count > MOST_FILES:
                    return
                yield Found(path, found)
        stack += reversed(below)


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _stat(path: str, *, follow: bool) -> os.stat_result | None:
    try:
        return os.stat(path, follow_symlinks=follow)
    except (OSError, ValueError):
        return None
