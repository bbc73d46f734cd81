"""Writes one stream of the log; trouble with the disk is counted and told, and never reaches who writes."""

import bisect
import contextlib
import fcntl
import itertools
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from replguard import wholefile
from replguard.config import Stream
from replguard.events import wire
from replguard.events.evidence import Checkpoint
from replguard.events.health import Health
from replguard.events.host import Host
from replguard.log import names, walk
from replguard.log.archive import Archive
from replguard.log.chain import BLOCK, Chain, Place
from replguard.log.keys import Keys
from replguard.log.reader import MAX_LINE

SEGMENT = 64 * 2**20
"""Bytes of a segment at most; a sixteenth of the stream's limit where that is less, so that capping is fine-grained."""
PERIOD = timedelta(hours=1)
"""A segment is closed after this time, so that what is quiet is compressed and sealed too."""
BACKLOG = 8 * 2**20
"""Bytes kept in memory while the disk is in trouble: some minutes of an ordinary host."""
FLUSH = 256 * 2**10
"""Bytes of a buffered stream that are written before the next tick comes."""

Report = Callable[[Health], None]


class Writer:
    """One stream, written from one thread.

    ``buffered`` records reach the disk at the next tick, the others at once. ``dropped`` counts lost records by reason
    (``backlog``: the disk was in trouble for too long; ``encoding``; ``long``: no reader takes so long a line).
    ``report`` is told when trouble begins and ends, and what was lost.
    """

    def __init__(
        self,
        folder: Path,
        stream: str,
        limits: Stream,
        *,
        keys: Keys,
        boot_id: str,
        buffered: bool,
        report: Report,
        host: Host | None = None,
    ) -> None:
        self._folder, self._stream, self._boot, self._buffered = folder, stream, boot_id, buffered
        self._report_to, self._host = report, host
        self._limit = max(4096, min(SEGMENT, limits.max_size // 16))
        self._archive = Archive(folder, stream, limits, self._limit)
        self._keys, self._chain = keys, Chain(keys, Place(), None)
        self._pending: deque[bytes] = deque()
        self._pending_bytes = 0
        self._fd: int | None = None
        self._number = self._next = 0
        self._good, self._oldest = 0, 1
        self._header: bytes | None = None
        self._identity = (0, 0)
        self._opened: datetime | None = None
        self._trouble: str | None = None
        self._lost = self._refused = 0
        self._path = folder
        self.written = 0
        self.dropped: Counter[str] = Counter()

    @property
    def path(self) -> Path:
        """The open segment (the folder before the first record)."""
        return self._path

    @property
    def trouble(self) -> str | None:
        """Why nothing can be written at the moment, or None."""
        return self._trouble

    def write(self, record: Any, now: datetime) -> None:
        """Append a record. ``now`` is the time of feeding; it decides on rotation. Never raises for disk or content."""
        try:
            line = wire.encode(record) + b"\n"
        except (ValueError, TypeError, RecursionError):
            self._refuse("encoding")
            return
        if len(line) > MAX_LINE:
            self._refuse("long")
            return
        self._pending.append(line)
        self._pending_bytes += len(line)
        if self._trouble is None and (not self._buffered or self._pending_bytes >= FLUSH):
            self.flush(now)
        while self._pending_bytes > BACKLOG:
            self._pending_bytes -= len(self._pending.popleft())
            self._drop("backlog")

    def tick(self, now: datetime) -> None:
        """Once a second: write and seal what is buffered, notice that a segment was taken away, rotate, try again."""
        if self._fd is not None and not self._in_place():
            self._let_go()
            self._fail("the open segment was removed or replaced")
        if self._fd is not None and self._opened is not None and now - self._opened >= PERIOD:
            self.rotate()
        self.flush(now)
        self._seal()
        if self._refused:
            lost, self._refused = self._refused, 0
            self._tell("degraded", f"{lost} records cannot be written: longer than {MAX_LINE} bytes, or no JSON", lost)

    def flush(self, now: datetime) -> None:
        """Write what is pending."""
        if not self._pending and self._trouble is None:
            return
        try:
            self._write_out(now)
        except OSError as error:
            self._broke(error)
        else:
            self._recover()

    def rotate(self) -> None:
        """Seal and close the segment; the next record opens a new one."""
        self._seal()
        self._let_go()

    def checkpoint(self) -> Checkpoint | None:
        """Return what proves all that is sealed; None where there is nothing, or the disk is in trouble."""
        if self._fd is None or self._header is not None or self._trouble is not None:
            return None
        self._seal()
        if (made := self._chain.note()) is None or self._chain.is_open:
            return None
        size, key, note = made
        return Checkpoint(stream=self._stream, segment=self._number, size=size, key=key, note=note)

    def close(self, timeout: float = 10.0, now: datetime | None = None) -> None:
        """Write what is pending and end, waiting at most ``timeout`` seconds for a compression that is under way."""
        if now is not None:
            self.flush(now)
        self.rotate()
        self._archive.stop(timeout)

    def _write_out(self, now: datetime) -> None:
        while self._pending or (self._trouble is not None and self._fd is None):
            if self._fd is None:
                self._open(now)
            self._put(self._take())
            if self._good >= self._limit:
                self.rotate()

    def _put(self, batch: list[bytes], *, seal: bool = False) -> None:
        """Write records, before them what the segment begins with, and a seal if asked for.

        Records that do not stand there whole wait again. Raises OSError.
        """
        before = self._chain.place.copy()
        lines = [*self._opening(), *self._linked(batch)]
        if seal:
            lines.append(self._chain.seal() + b"\n")
        stand, error = self._append(lines)
        if error is not None:
            self._chain.place = before
            left = batch[self._chain.follow(lines[:stand]) :]
            self._pending.extendleft(reversed(left))
            self._pending_bytes += sum(map(len, left))
            batch = batch[: len(batch) - len(left)]
        self.written += len(batch)
        if self._header is not None and stand:
            self._begun()
        if error is not None:
            raise error

    def _opening(self) -> Iterator[bytes]:
        """Yield the header of a segment that has none yet: it is written with the first records, or not at all."""
        if self._header is not None:
            self._chain.begin(self._header)
            yield self._header + b"\n"

    def _linked(self, batch: list[bytes]) -> Iterator[bytes]:
        """Yield lines, with seals between them."""
        for line in batch:
            self._chain.place.take(line[:-1])
            yield line
            if self._chain.is_full:
                yield self._chain.seal() + b"\n"

    def _seal(self) -> None:
        """Seal the block that is open. Where that fails it stays open: the next segment follows it all the same."""
        if self._fd is None or self._header is not None or not self._chain.is_open:
            return
        try:
            self._put([], seal=True)
        except OSError as error:
            self._broke(error)

    def _take(self) -> list[bytes]:
        batch: list[bytes] = []
        size = 0
        # The key that seals is in use once the header is on the disk: no block ends in what is written with it.
        most = BLOCK - 1 if self._header is not None else len(self._pending)
        while self._pending and len(batch) < most and size < min(FLUSH, self._limit - self._good):
            batch.append(self._pending.popleft())
            size += len(batch[-1])
        self._pending_bytes -= size
        return batch

    def _append(self, lines: list[bytes]) -> tuple[int, OSError | None]:
        """Write lines; return how many of them stand whole in the segment now, and why not all of them do.

        What the kernel took stands there, also where it cannot be cut off again: it is gone on from, not written twice.
        """
        fd, data, done = self._fd or -1, memoryview(b"".join(lines)), 0
        try:
            while done < len(data):
                done += os.write(fd, data[done:])
        except OSError as error:
            stand = bisect.bisect_right([*itertools.accumulate(map(len, lines))], done)
            # A header alone is not kept: a full disk would fill with them.
            keep = 0 if self._header is not None and stand == 1 else stand
            return (keep if self._cut(fd, self._good + sum(map(len, lines[:keep]))) else stand), error
        self._good += len(data)
        return len(lines), None

    def _cut(self, fd: int, size: int) -> bool:
        """Leave no half a record at the end of a segment that is given up, and no empty one. False if it stays."""
        try:
            os.ftruncate(fd, size)
        except OSError:
            return False
        if not size:
            with contextlib.suppress(OSError):
                self._path.unlink()
        return True

    def _open(self, now: datetime) -> None:
        self._folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        last = max((s.number for s in names.segments(self._folder, self._stream)), default=0)
        number = max(last, self._number) + 1
        if self._number == 0:
            self._go_on()
        # What one header told stays true: while segments are being packed more of them would seem to fit.
        self._oldest = max(self._oldest, self._archive.oldest(number, now.timestamp()))
        header = names.Header(
            stream=self._stream, segment=number, boot_id=self._boot, host=self._host, oldest=self._oldest
        )
        self._header = self._chain.header(header)
        self._path = path = self._folder / names.name(self._stream, number)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        self._fd = os.open(path, flags, 0o640)
        fcntl.flock(self._fd, fcntl.LOCK_SH | fcntl.LOCK_NB)  # an archive of another process leaves it alone
        self._good = 0
        status = os.fstat(self._fd)
        self._identity = (status.st_dev, status.st_ino)
        self._next, self._opened = number, now

    def _begun(self) -> None:
        """Forget the key of the segment before, once the header that names the new one is on the disk."""
        self._header, self._number = None, self._next
        with contextlib.suppress(OSError):
            os.fsync(self._fd or -1)
            wholefile.settle(self._folder)
        self._chain.begun()
        if self._next > 1:
            self._archive.tidy(self._next, self._oldest)
        if self._keys.trouble is not None:
            self._tell("degraded", f"its key cannot be kept, and nobody vouches for the next: {self._keys.trouble}")

    def _go_on(self) -> None:
        """Take up the chain where the newest segment ends, before the first one of ours."""
        last = walk.newest(self._folder, self._stream)
        header = last.header if last is not None else None
        place = last.end if last is not None else Place()
        self._oldest = max(self._oldest, header.oldest if header is not None else 1)
        vouched = self._keys.open(header.key if header is not None else None)
        if header is None:
            told = f"its first key is {self._keys.public}: note it on another machine, for `replguard verify --trust`"
            self._tell("started", told)
        elif not vouched:
            self._tell("degraded", "the key that signed it last is lost: nobody vouches for what follows")
        self._chain = Chain(self._keys, place, header.origin if header is not None and vouched else None)

    def _in_place(self) -> bool:
        try:
            status = self._path.lstat()
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._identity

    def _let_go(self) -> None:
        self._header = None
        if self._fd is not None:
            with contextlib.suppress(OSError):
                os.close(self._fd)
            self._fd = None

    def _refuse(self, reason: str) -> None:
        self.dropped[reason] += 1
        self._refused += 1

    def _drop(self, reason: str) -> None:
        self.dropped[reason] += 1
        self._lost += 1

    def _broke(self, error: OSError) -> None:
        """Let go of a segment that cannot be written, and say why."""
        self._let_go()
        self._fail(f"{self._folder}: {error.strerror or error}")

    def _fail(self, reason: str) -> None:
        if self._trouble is None:
            self._report("failed", reason)
        self._trouble = reason

    def _recover(self) -> None:
        if self._trouble is not None:
            self._trouble = None
            self._report("recovered", None)

    def _report(self, state: Any, reason: str | None) -> None:
        lost, self._lost = self._lost or None, 0
        self._tell(state, reason, lost)

    def _tell(self, state: Any, reason: str | None, lost: int | None = None) -> None:
        component = f"log.{self._stream}"
        self._report_to(
            Health(component=component, state=state, reason=reason, stage="log" if lost else None, lost=lost)
        )
