"""The segment that is being written: whole lines alone stay in it."""

import bisect
import contextlib
import fcntl
import itertools
import os
from pathlib import Path


class Opened:
    """The file of a new segment; ``size`` are the bytes of its whole lines. Raises OSError, also where there is one."""

    def __init__(self, path: Path, number: int) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        self._fd = os.open(path, flags, 0o640)
        self.path, self.number = path, number
        self.size = 0
        status = os.fstat(self._fd)
        self._identity = (status.st_dev, status.st_ino)
        with contextlib.suppress(OSError):
            fcntl.flock(self._fd, fcntl.LOCK_SH | fcntl.LOCK_NB)  # an archive of another process leaves it alone

    @property
    def is_in_place(self) -> bool:
        """Whether its name still leads to it."""
        try:
            status = self.path.lstat()
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._identity

    def append(self, lines: list[bytes]) -> tuple[int, OSError | None]:
        """Write lines; return how many of them stand whole in the segment now, and why not all of them do.

        What the kernel took stands there, also where it cannot be cut off again: it is gone on from, not written twice.
        """
        data, done = memoryview(b"".join(lines)), 0
        try:
            while done < len(data):
                done += os.write(self._fd, data[done:])
        except OSError as error:
            stand = bisect.bisect_right([*itertools.accumulate(map(len, lines))], done)
            # A header alone is not kept: a full disk would fill with them.
            keep = 0 if not self.size and stand == 1 else stand
            return (keep if self._cut(self.size + sum(map(len, lines[:keep]))) else stand), error
        self.size += len(data)
        return len(lines), None

    def sync(self) -> None:
        """Wait until all of it is on the disk. Raises OSError."""
        os.fdatasync(self._fd)

    def finish(self) -> None:
        """Wait until all of it is on the disk, and close it. Raises OSError."""
        try:
            self.sync()
        finally:
            os.close(self._fd)

    def _cut(self, size: int) -> bool:
        """Leave no half a record at the end of a segment that is given up, and no empty one. False if it stays."""
        try:
            os.ftruncate(self._fd, size)
        except OSError:
            return False
        if not size:
            with contextlib.suppress(OSError):
                self.path.unlink()
        return True
