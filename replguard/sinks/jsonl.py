"""Alerts as lines of JSON in a file: one ECS object a line, on disk before the next thing happens.

What it can lose: nothing while the disk works. Half a line is cut off again when the disk is full. When the file is
rotated away, removed, or its folder appears later, it is opened anew. It does not rotate the file itself.
"""

import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from replguard.events import wire
from replguard.events.alert import Alert
from replguard.events.evidence import Kept
from replguard.sinks.base import Common, Sink


class Settings(Common, frozen=True, kw_only=True):
    """``path`` is the file; missing folders are made. ``checkpoints``: those of the log are written to it too.

    They are lines whose ``event.kind`` is ``state``: for a file that something ships to another machine.
    """

    path: str
    checkpoints: bool = False


def open(settings: Settings) -> Sequence[Sink]:  # noqa: A001 - the name that the registry asks for
    """Return the sink; the file is opened with the first alert."""
    if not settings.path:
        raise ValueError("'path' is empty")
    return (Jsonl(Path(settings.path), checkpoints=settings.checkpoints),)


class Jsonl(Sink):
    """One file, appended to."""

    longest = 5.0

    def __init__(self, path: Path, *, checkpoints: bool = False) -> None:
        self._path, self.checkpoints = path, checkpoints
        self._fd: int | None = None

    def send(self, alert: Alert) -> None:
        self._append(wire.encode(alert) + b"\n")

    def keep(self, checkpoint: Kept) -> None:
        self._append(wire.encode(checkpoint) + b"\n")

    def _append(self, line: bytes) -> None:
        fd = self._open()
        before = os.fstat(fd)
        if stat.S_ISREG(before.st_mode) and before.st_size and os.pread(fd, 1, before.st_size - 1) != b"\n":
            line = b"\n" + line  # whoever wrote last was cut off; their line stays theirs
        # One call: another writer's line can come before or after, never inside.
        written = os.write(fd, line)
        if written < len(line):
            if stat.S_ISREG(before.st_mode):
                os.ftruncate(fd, before.st_size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _open(self) -> int:
        if self._fd is not None and self._in_place(self._fd):
            return self._fd
        self.close()
        self._path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        _trust(self._path)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
        self._fd = os.open(self._path, flags, 0o640)
        return self._fd

    def _in_place(self, fd: int) -> bool:
        try:
            return os.path.samestat(os.fstat(fd), self._path.stat())
        except OSError:
            return False


def _trust(path: Path) -> None:
    """Refuse what somebody else may have put there: a link of theirs leads root's hand, a pipe swallows alerts."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if stat.S_ISLNK(found.st_mode) and found.st_uid not in {0, os.geteuid()}:
        raise OSError(errno.EPERM, f"is a link that belongs to user {found.st_uid}; remove it")
    if stat.S_ISFIFO(found.st_mode):
        raise OSError(errno.EPERM, "is a pipe: alerts would be lost in it; remove it")
