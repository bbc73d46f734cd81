"""Writes one stream of the log; trouble with the disk is counted and told, and never reaches who writes."""

from collections import Counter, deque
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from replguard import ownership
from replguard.config import Stream
from replguard.events import clock, wire
from replguard.events.evidence import Checkpoint
from replguard.events.health import Health
from replguard.events.host import Host
from replguard.log import names
from replguard.log.archive import Archive
from replguard.log.chain import BLOCK
from replguard.log.ground import Ground
from replguard.log.keys import Keys
from replguard.log.opened import Opened
from replguard.log.reader import MAX_LINE, SEGMENT
from replguard.log.sync import Sync

PERIOD = timedelta(hours=1)
"""A segment is closed after this time, so that what is quiet is compressed and sealed too."""
BACKLOG = 8 * 2**20
"""Bytes kept in memory while the disk is in trouble: some minutes of an ordinary host."""
FLUSH = 256 * 2**10
"""Bytes of a buffered stream that are written before the next tick comes."""
PATIENCE = 0.1
"""Seconds that who writes waits for the disk where a segment begins; then records wait, and who writes goes on."""
SLOW = 2.0
"""Seconds after which a disk that takes nothing is told."""
HALF_A_TICK = 0.5
REST = 64
"""Ticks between two tries at most, where the disk takes what is written and loses it."""

Report = Callable[[Health], None]


class Writer:
    """One stream, written from one thread, which never waits for the disk: a thread of the stream does.

    ``buffered`` records reach the kernel at the next tick, the others at once, and all of them the disk within
    ``limits.sync`` (a second or so more, for the tick). ``dropped`` counts lost records by reason (``backlog``: the
    disk was in trouble for too long; ``encoding``; ``long``: no reader takes so long a line). ``report`` is told when
    trouble begins and ends, and what was lost. ``doubt`` says why others could change what lies in a folder: no segment
    is begun in such a one.
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
        doubt: Callable[[Path], str | None] = ownership.doubt,
    ) -> None:
        self._folder, self._stream, self._boot, self._buffered = folder, stream, boot_id, buffered
        self._report_to, self._host, self._every = report, host, limits.sync
        self._limit = max(4096, min(SEGMENT, limits.max_size // 16))
        self._archive = Archive(folder, stream, limits, self._limit)
        self._ground = Ground(folder, stream, keys, self._archive, self._tell, doubt)
        self._sync = Sync(f"sync-{stream}")
        self._proven: deque[Checkpoint] = deque()
        self._pending: deque[bytes] = deque()
        self._pending_bytes = 0
        self._open: Opened | None = None
        self._header: bytes | None = None
        self._began: datetime | None = None
        self._asked = self._is_dirty = self._is_slow = False
        self._due = 0.0
        self._rest = self._resting = 0
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

    @property
    def waiting(self) -> int:
        """Bytes of records that were not written yet."""
        return self._pending_bytes

    @property
    def sync_seconds(self) -> float:
        """How long the disk took to take what was written last, or takes so far."""
        return self._sync.seconds

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
        if not self._buffered or self._pending_bytes >= FLUSH:
            self.flush(now)
        while self._pending_bytes > BACKLOG:
            self._pending_bytes -= len(self._pending.popleft())
            self.dropped["backlog"] += 1
            self._lost += 1

    def tick(self, now: datetime) -> None:
        """Once a second: write, seal, see to it that the disk takes it; notice what is wrong, rotate, try again."""
        if self._open is not None and not self._open.is_in_place:
            self._let_go()
            self._fail("the open segment was removed or replaced")
        if self._open is not None and self._began is not None and now - self._began >= PERIOD:
            self.rotate()
        self._try(now)
        self._seal()
        self._keep()
        self._tell_slow()
        if self._refused:
            lost, self._refused = self._refused, 0
            self._tell("degraded", f"{lost} records cannot be written: longer than {MAX_LINE} bytes, or no JSON", lost)

    def flush(self, now: datetime) -> None:
        """Write what is pending; in trouble only a tick tries."""
        if self._pending and self._trouble is None:
            self._try(now)

    def rotate(self) -> None:
        """Seal and close the segment; the next record opens a new one."""
        self._seal()
        self._let_go()

    def checkpoint(self) -> bool:
        """Ask for what proves all that is sealed; False where there is nothing, or the disk is in trouble.

        ``checkpoints`` has it once the disk keeps what it proves: a power cut that took some of it would look like a
        log that somebody cut.
        """
        chain = self._ground.chain
        if self._open is None or self._header is not None or self._trouble is not None:
            return False
        self._seal()
        if chain.is_open or (made := chain.note()) is None:
            return False
        size, key, note = made
        told = Checkpoint(stream=self._stream, segment=self._ground.number, size=size, key=key, note=note)
        self._sync.soon(partial(self._prove, self._open, told))
        return True

    def checkpoints(self, timeout: float = 0.0) -> Iterator[Checkpoint]:
        """Yield those that hold by now, or after waiting so many seconds for the disk at the most."""
        if timeout:
            self._sync.wait(timeout)
        while self._proven:
            yield self._proven.popleft()

    def _prove(self, opened: Opened, told: Checkpoint) -> None:
        opened.sync()
        self._proven.append(told)

    def close(self, timeout: float = 10.0, now: datetime | None = None) -> None:
        """Write what is pending and end, waiting at most ``timeout`` seconds for the disk and for a compression."""
        end = clock.monotonic() + timeout
        if now is not None:
            self._resting = 0
            self._try(now)
            if self._pending and self._sync.wait(timeout):
                self._try(now)
        self.rotate()
        self._sync.wait(end - clock.monotonic())
        self._archive.stop(max(0.0, end - clock.monotonic()))

    # -- what is written -------------------------------------------------------------------------------------------

    def _try(self, now: datetime) -> None:
        """Write what is pending; in trouble also a header alone, to see whether it is over."""
        if self._resting:
            self._resting -= 1
            return
        if not self._pending and self._trouble is None:
            return
        try:
            if self._write_out(now):
                self._recover()
        except OSError as error:
            self._broke(error)

    def _write_out(self, now: datetime) -> bool:
        """Write all that is pending; False where it has to wait for the disk. Raises OSError."""
        while self._pending or (self._trouble is not None and self._open is None):
            if self._open is None:
                if not self._is_ready(now):
                    return False
                self._begin(now)
            self._put(self._take())
            if self._open is not None and self._open.size >= self._limit:
                self.rotate()
        return True

    def _take(self) -> list[bytes]:
        batch: list[bytes] = []
        size, room = 0, self._limit - (self._open.size if self._open is not None else 0)
        # The key that seals is in use once its header is written: no block ends in what is written with it.
        most = BLOCK - 1 if self._header is not None else len(self._pending)
        while self._pending and len(batch) < most and size < min(FLUSH, room):
            batch.append(self._pending.popleft())
            size += len(batch[-1])
        self._pending_bytes -= size
        return batch

    def _put(self, batch: list[bytes], *, seal: bool = False) -> None:
        """Write records, before them what the segment begins with, and a seal if asked for.

        Records that do not stand there whole wait again. Raises OSError.
        """
        chain, opened = self._ground.chain, self._open
        if opened is None:
            return
        before = chain.place.copy()
        lines = [*self._opening(), *self._linked(batch)]
        if seal:
            lines.append(chain.seal() + b"\n")
        stand, error = opened.append(lines)
        if error is not None:
            chain.place = before
            left = batch[chain.follow(lines[:stand]) :]
            self._pending.extendleft(reversed(left))
            self._pending_bytes += sum(map(len, left))
            batch = batch[: len(batch) - len(left)]
        self.written += len(batch)
        self._is_dirty |= bool(stand)
        if self._header is not None and stand:
            self._begun(opened)
        if error is not None:
            raise error

    def _opening(self) -> Iterator[bytes]:
        """Yield the header of a segment that has none yet: it is written with the first records, or not at all."""
        if self._header is not None:
            self._ground.chain.begin(self._header)
            yield self._header + b"\n"

    def _linked(self, batch: list[bytes]) -> Iterator[bytes]:
        """Yield lines, with seals between them."""
        chain = self._ground.chain
        for line in batch:
            chain.place.take(line[:-1])
            yield line
            if chain.is_full:
                yield chain.seal() + b"\n"

    def _seal(self) -> None:
        """Seal the block that is open. Where that fails it stays open: the next segment follows it all the same."""
        if self._open is None or self._header is not None or not self._ground.chain.is_open:
            return
        try:
            self._put([], seal=True)
        except OSError as error:
            self._broke(error)

    # -- segments --------------------------------------------------------------------------------------------------

    def _is_ready(self, now: datetime) -> bool:
        """Whether a segment may begin: once the end of the one before it is on the disk, and its own key.

        Else a header could follow what a power cut took, as it does in a log that was changed. Raises OSError.
        """
        if not self._asked:
            self._asked = True
            self._sync.soon(partial(self._ground.prepare, now))
            self._sync.wait(PATIENCE)
        if self._sync.is_busy:
            return False
        if (error := self._sync.take_trouble()) is not None:
            self._rest_awhile()
            raise error
        if self._ground.trouble is not None:
            raise self._ground.trouble
        return True

    def _begin(self, now: datetime) -> None:
        """Open the next segment. Raises OSError."""
        ground = self._ground
        self._open, self._began = ground.open(), now
        self._path = self._open.path
        header = names.Header(
            stream=self._stream,
            segment=self._open.number,
            boot_id=self._boot,
            host=self._host,
            oldest=ground.oldest,
        )
        self._header = ground.chain.header(header)

    def _begun(self, opened: Opened) -> None:
        """Sign by the new key, now that its header is written."""
        self._header = None
        self._ground.begun(opened)
        self._sync.soon(partial(self._ground.settle, opened))

    def _let_go(self) -> None:
        self._header, self._asked, self._is_dirty = None, False, False
        if self._open is not None:
            self._sync.soon(self._open.finish)
            self._open = None

    def _keep(self) -> None:
        """See to it that what was written gets onto the disk; one wait for it at a time."""
        if self._open is None or self._sync.is_busy:
            return
        now = clock.monotonic()
        if (error := self._sync.take_trouble()) is not None:
            self._rest_awhile()
            self._broke(error)
        elif self._is_dirty and now + HALF_A_TICK >= self._due:
            self._is_dirty, self._due = False, now + self._every
            self._sync.soon(self._open.sync)
        elif not self._is_dirty:
            self._rest = 0

    def _rest_awhile(self) -> None:
        """Try more and more seldom where the disk takes what is written and loses it: each try is a segment."""
        self._resting, self._rest = self._rest, min(REST, 2 * self._rest + 1)

    # -- trouble ---------------------------------------------------------------------------------------------------

    def _refuse(self, reason: str) -> None:
        self.dropped[reason] += 1
        self._refused += 1

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

    def _tell_slow(self) -> None:
        """Say that the disk takes nothing, or takes it slowly; and that it does again."""
        seconds = self._sync.seconds
        if seconds >= SLOW and self._open is None and self._pending:
            self._fail(f"{self._folder}: the disk has taken nothing for {seconds:.0f} s")
        elif seconds >= SLOW and not self._is_slow:
            self._is_slow = True
            self._tell("degraded", f"the disk takes {seconds:.0f} s and more to keep what is written")
        elif seconds < SLOW and self._is_slow and not self._sync.is_busy:
            self._is_slow = False
            self._tell("recovered", f"the disk keeps what is written within {seconds:.1f} s")

    def _report(self, state: Any, reason: str | None) -> None:
        lost, self._lost = self._lost or None, 0
        self._tell(state, reason, lost)

    def _tell(self, state: Any, reason: str | None, lost: int | None = None) -> None:
        component = f"log.{self._stream}"
        self._report_to(
            Health(component=component, state=state, reason=reason, stage="log" if lost else None, lost=lost)
        )
