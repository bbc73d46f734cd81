"""The sections that file events carry, from lstat: of the name itself, never of what a symlink leads to."""

# ruff: noqa: PTH119 - paths are bytes here: names need not be text

import os
import stat
from collections.abc import Callable

from replguard.events.file import File
from replguard.kernel import beneath
from replguard.kernel.procfs import text

_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISREG, "file"),
    (stat.S_ISDIR, "dir"),
    (stat.S_ISLNK, "symlink"),
    (stat.S_ISFIFO, "fifo"),
    (stat.S_ISSOCK, "socket"),
)


def lstat(path: bytes) -> os.stat_result | None:
    """Return the lstat of a path, None if it is gone or closed to us, or led out of another process's root."""
    return beneath.lstat(path)


def file_section(path: bytes, found: os.stat_result | None, previous: bytes | None = None) -> File:
    """Return the ``file`` section of a path; of one that is gone, only its name is known."""
    before = None if previous is None else text(previous)
    name = text(os.path.basename(path))
    if found is None:
        return File(path=text(path), name=name, previous=before)
    kind = next((name for test, name in _KINDS if test(found.st_mode)), "device")
    return File(
        path=text(path),
        previous=before,
        name=name,
        device=found.st_dev,
        inode=found.st_ino,
        size=found.st_size,
        links=found.st_nlink,
        uid=found.st_uid,
        type=kind,
        target_path=_target(path) if kind == "symlink" else None,
    )


def _target(path: bytes) -> str | None:
    """Return where a symlink leads in the end, as an absolute path; the file there need not exist.

    None for one in another namespace: followed from ours it leads elsewhere.
    """
    if beneath.parted(path) is not None:
        return None
    try:
        return text(os.path.realpath(path))
    except (OSError, ValueError):
        return None
