"""What becomes of closed segments: compressed in the background, the oldest removed beyond the limits."""

import contextlib
import fcntl
import os
import queue
import threading
from pathlib import Path

import structlog
import zstandard

from replguard import wholefile
from replguard.config import Stream
from replguard.log import names

LEVEL = 3
"""zstd level: 300 MB/s on one core, and JSON events shrink to about a fifteenth."""
MORE = 8 * 2**20
"""Bytes that a segment may have above its limit: what is written at once, and a longest record."""
BLOCK = 512
"""Bytes of what ``st_blocks`` counts."""
_PART = ".part"
_log = structlog.get_logger(__name__)


class Archive:
    """Compresses and caps one stream of a folder in a thread of its own.

    It loses a segment only by the limits; on disk trouble the plain segment stays and is tried again at the next
    rotation. ``room`` bytes are left for the open segment.
    """

    def __init__(self, folder: Path, stream: str, limits: Stream, room: int) -> None:
        self._folder, self._stream, self._limits, self._room = folder, stream, limits, room
        self._work: queue.SimpleQueue[tuple[int, int] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self.removed = 0

    def oldest(self, open_number: int, now: float) -> int:
        """Return the first segment that the limits let stand. ``now`` is the time in Unix seconds. Raises OSError.

        Whoever may write to the folder can put anything there: none counts for more than the disk holds of it, or
        than a segment may have, and its time speaks for itself alone, or one file could make all before it go.
        """
        total, kept, is_old = self._room, open_number, True
        segments: list[tuple[int, os.stat_result]] = []
        for segment in names.segments(self._folder, self._stream):
            if segment.number < open_number:
                with contextlib.suppress(FileNotFoundError):  # our thread packs it, or has removed it, just now
                    segments.append((segment.number, segment.path.stat()))
        for number, status in reversed(segments):
            total += min(status.st_size, status.st_blocks * BLOCK, self._room + MORE)
            if total > self._limits.max_size:
                break
            kept = number
        for number, status in segments:
            is_old = is_old and now - status.st_mtime > self._limits.max_age
            if is_old:
                kept = max(kept, number + 1)
        return kept

    def tidy(self, open_number: int, oldest: int) -> None:
        """Remove the segments below ``oldest``, and compress all others below ``open_number``, soon."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=f"archive-{self._stream}", daemon=True)
            self._thread.start()
        self._work.put((open_number, oldest))

    def stop(self, timeout: float) -> None:
        """End the thread after the work that is under way."""
        if self._thread is not None:
            self._work.put(None)
            self._thread.join(timeout)
            self._thread = None

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            try:
                self.run_once(*work)
            except OSError as error:
                _log.warning("log segments not tidied", stream=self._stream, reason=error.strerror)

    def run_once(self, open_number: int, oldest: int) -> None:
        """Do now what ``tidy`` does soon. Raises OSError when the folder cannot be listed."""
        for leftover in self._folder.glob(f"{self._stream}-*{names.ZSTD}{_PART}"):
            leftover.unlink(missing_ok=True)
        for segment in names.segments(self._folder, self._stream):
            if segment.number < oldest:
                segment.path.unlink(missing_ok=True)
                self.removed += 1
            elif segment.number < open_number and not segment.packed:
                try:
                    compress(segment.path)
                except OSError as error:
                    _log.warning("log segment not compressed", segment=segment.path.name, reason=error.strerror)


def compress(path: Path) -> None:
    """Replace a closed segment by its zstd form, keeping time and rights. Raises OSError; the segment then stays."""
    target = path.with_name(path.name + names.ZSTD)
    part = target.with_name(target.name + _PART)
    try:
        status = path.stat()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with path.open("rb") as source, contextlib.ExitStack() as stack:
            fcntl.flock(source, fcntl.LOCK_EX | fcntl.LOCK_NB)  # another process may still write it
            sink = stack.enter_context(os.fdopen(os.open(part, flags, status.st_mode & 0o777), "wb"))
            zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).copy_stream(source, sink, size=status.st_size)
            sink.flush()
            os.fsync(sink.fileno())
        os.utime(part, ns=(status.st_atime_ns, status.st_mtime_ns))
        part.replace(target)
        wholefile.settle(path.parent)  # the plain one goes when the other is there, whenever the power does
    except (OSError, zstandard.ZstdError) as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise error if isinstance(error, OSError) else OSError(0, str(error)) from error
    path.unlink(missing_ok=True)
