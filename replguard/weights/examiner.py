"""Examines content in a process of its own: the caller never blocks, and no file can bring the daemon down."""

import os
import select
import threading
from collections import Counter, deque
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog

from replguard.channel import Broken
from replguard.config import Config
from replguard.events import clock
from replguard.weights.child import Child
from replguard.weights.fingerprint import Target
from replguard.weights.messages import (
    Answer,
    Examination,
    Examine,
    Indexed,
    Order,
    Protect,
    Request,
    Retire,
    Settings,
)
from replguard.weights.reading import plain
from replguard.weights.shares import Shares, place

__all__ = ["Counts", "Examination", "Examiner", "Indexed", "Request", "settings_of"]

QUEUE = 8192
"""Requests of each rank that may wait, half of them for files of one owner; beyond that the newest is refused."""
DEADLINE = 20.0
"""Seconds for one request, and for a sign of life while fingerprints are made; then the process is killed.

A request that was under way is put last in the queue and asked once more.
"""
STRIKES = 2
"""Times that a file may take the process down before it is left alone."""
MOST_STUCK = 4
"""Killed processes that may hang in the kernel for a dead mount; with so many, no such mount is read any more."""
_SLOWEST = 30.0
_LAST = 0.3
_HOPELESS = 5
_BATCH = 256

log = structlog.get_logger()
Key = tuple[int, int]
Got = TypeVar("Got")


class Counts(msgspec.Struct, frozen=True):
    """What the examiner has done and has to do. ``unindexed`` counts protected files without a fingerprint.

    ``dropped`` counts files whose request was refused because the queue was full.
    """

    pending: int
    done: int
    failed: int
    dropped: int
    merged: int
    restarted: int
    unindexed: int


def settings_of(config: Config) -> Settings:
    """Return the examiner's part of the configuration; its process works in another folder than we do."""
    weights = config.weights
    state_dir, *index = (str(Path(each).absolute()) for each in (config.state_dir, *weights.index))
    return Settings(state_dir, tuple(index), int(weights.scan_rate), weights.scan_network)


class Examiner:
    """Queue of requests, the child that answers them, and a thread that keeps both going."""

    def __init__(self, settings: Settings, *, deadline: float = DEADLINE, queue: int = QUEUE) -> None:
        self._settings = settings
        self._deadline = deadline
        self._lock = threading.Lock()
        self._queue = Shares(queue)
        self._orders: deque[Order] = deque()
        self._results: deque[Examination] = deque()
        self._indexed: deque[Indexed] = deque()
        self._targets: dict[Key, Target] = {}
        self._open: set[Key] = set()
        self._counts: Counter[str] = Counter()
        self._seen = self._told = 0
        self._refusing = False
        self._strikes: Counter[str] = Counter()
        self._banned: set[Target] = set()
        self._ready = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread: threading.Thread | None = None
        self._stopping = False
        # Below: the thread's own.
        self._child: Child | None = None
        self._asked: tuple[Request, float] | None = None
        self._put_off: set[object] = set()
        self._at_work: str | None = None
        self._heard = 0.0
        self._fails = 0
        self._not_before = 0.0
        self._stuck: list[Child] = []
        self.cache_error: str | None = None

    # -- the caller's side ----------------------------------------------------------------------------------------

    def start(self, files: Iterable[Target] = ()) -> None:
        """Start the process, which begins with the fingerprints of these files."""
        self.protect(files)
        self._thread = threading.Thread(target=self._run, name="examiner", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the process; requests that wait are dropped. Its cache is written first if it answers in time."""
        self._stopping = True
        self._rouse()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        for fd in (self._ready, self._wake):
            if fd >= 0:
                os.close(fd)
        self._ready = self._wake = -1

    def submit(self, request: Request) -> bool:
        """Ask for an examination; False if there is no room. One that waits for the same file is replaced."""
        if not (request.path.isascii() and request.reason.isascii()):
            request = msgspec.structs.replace(request, path=plain(request.path), reason=plain(request.reason))
        with self._lock:
            merged = request in self._queue
            if not self._queue.put(request):
                self._counts["dropped"] += not request.again
                return False
            self._counts["merged"] += merged
        self._rouse()
        return True

    def untold(self) -> int:
        """Return how many refused files to tell of now: when refusing begins, and the rest when it has ended.

        It has ended when nothing was refused between two calls; a flood is two reports and not one a call.
        """
        dropped = self.counts.dropped
        refusing, self._seen = dropped > self._seen, dropped
        if refusing == self._refusing:
            return 0
        self._refusing, told, self._told = refusing, self._told, dropped
        return dropped - told

    def protect(self, files: Iterable[Target]) -> None:
        """Tell of protected files; those known unchanged cost nothing."""
        with self._lock:
            fresh = [file for file in files if self._targets.get(file.key) != file]
            self._targets |= {file.key: file for file in fresh}
            self._open |= {file.key for file in fresh}
            self._orders += _batches(fresh)
        self._rouse()

    def retire(self, keys: Iterable[Key]) -> None:
        """Tell that protected files are gone; their content stays known for 30 days."""
        with self._lock:
            gone = tuple(key for key in keys if self._targets.pop(key, None) is not None)
            self._open.difference_update(gone)
            if gone:
                self._orders.append(Retire(gone))
        self._rouse()

    def results(self) -> list[Examination]:
        """Return the examinations that are done, without waiting."""
        if self._ready >= 0:
            try:
                os.eventfd_read(self._ready)
            except BlockingIOError:
                pass
        return _drain(self._results)

    def indexed(self) -> list[Indexed]:
        """Return what became of protected files' fingerprints since the last call, without waiting."""
        return _drain(self._indexed)

    def fileno(self) -> int:
        """Return a descriptor that is readable when ``results`` or ``indexed`` has something."""
        return self._ready

    @property
    def pid(self) -> int | None:
        """The process id of the child, None while there is none."""
        child = self._child
        return None if child is None else child.pid

    @property
    def counts(self) -> Counts:
        """The counters as of now."""
        with self._lock:
            number = self._counts
            pending = len(self._queue) + (self._asked is not None)
            return Counts(
                pending=pending,
                done=number["done"],
                failed=number["failed"],
                dropped=number["dropped"],
                merged=number["merged"],
                restarted=number["restarted"],
                unindexed=len(self._open),
            )

    def _rouse(self) -> None:
        if self._wake >= 0:
            os.eventfd_write(self._wake, 1)

    # -- the thread's side ----------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping:
            try:
                if self._child is None:
                    self._begin()
                self._wait()
                if self._child is not None:
                    self._talk(self._child)
            except (Broken, OSError, ValueError) as error:
                # Whatever the child or its messages did: this thread outlives it.
                self._lost(None if isinstance(error, Broken) else f"it could not be spoken to: {error}")
        if self._child is not None:
            self._child.close()
            self._child = None
        self._stuck = [child for child in self._stuck if not child.gone(_LAST)]

    def _begin(self) -> None:
        """Start a child, unless the last one failed a moment ago."""
        if clock.monotonic() < self._not_before:
            return
        try:
            self._child = Child()
        except OSError as error:
            self._lost(f"could not be started: {error.strerror}")
            return
        self._heard = clock.monotonic()
        self._at_work = None
        with self._lock:
            self._orders.clear()
            self._orders += _batches([target for target in self._targets.values() if target not in self._banned])
        settings = self._settings
        self._stuck = [child for child in self._stuck if not child.gone()]
        if len(self._stuck) >= MOST_STUCK:
            settings = msgspec.structs.replace(settings, scan_network=False)
        self._child.send(settings)

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        if self._child is not None:
            poll.register(
                self._child.channel.fileno(), select.POLLIN | (select.POLLOUT if self._child.channel.waiting else 0)
            )
        now = clock.monotonic()
        until = now + min(1.0, self._deadline / 4) if self._child is not None else max(now, self._not_before)
        poll.poll(max(0.0, until - now) * 1000 + 1)
        try:
            os.eventfd_read(self._wake)
        except BlockingIOError:
            pass

    def _talk(self, child: Child) -> None:
        for answer in child.receive():
            self._heard = clock.monotonic()
            self._take(answer)
        child.channel.flush()
        with self._lock:
            orders = list(self._orders)
            self._orders.clear()
            if self._asked is None and self._queue:
                request = self._queue.take()
                self._asked = request, clock.monotonic()
                orders.append(Examine(request))
        for order in orders:
            child.send(order)
        self._judge()

    def _take(self, answer: Answer) -> None:
        if isinstance(answer, Examination):
            self._fails = 0
            self._answer(answer)
        elif isinstance(answer, Indexed):
            self._settle(answer)
        else:
            self._at_work, self.cache_error = answer.path, answer.cache_error

    def _settle(self, indexed: Indexed) -> None:
        with self._lock:
            self._open.discard((indexed.device, indexed.inode))
        self._indexed.append(indexed)
        self._announce()

    def _answer(self, examination: Examination) -> None:
        self._put_off.discard(place(examination.request))
        with self._lock:
            self._asked = None
            self._counts["failed" if examination.error else "done"] += 1
        self._results.append(examination)
        self._announce()

    def _announce(self) -> None:
        if self._ready >= 0:
            os.eventfd_write(self._ready, 1)

    def _judge(self) -> None:
        """Kill a child that took too long over a request, or that has files to read and gives no sign of life."""
        now = clock.monotonic()
        if self._asked is None and not self._open:
            self._heard = now  # it has nothing to do and nothing to say: the next order finds it alive
        since = self._asked[1] if self._asked is not None else self._heard
        if now - since > self._deadline:
            self._lost("timeout")

    def _lost(self, why: str | None) -> None:
        """Account for a child that died or is killed now, and plan its successor."""
        child, self._child = self._child, None
        reason = why or f"the examiner {child.ended() if child else 'is not running'}"
        if child is not None and not child.close(kill=True):
            self._stuck.append(child)
        log.warning("examiner_lost", reason=reason, at_work=self._at_work)
        self._fails += 1
        self._not_before = clock.monotonic() + min(_SLOWEST, 0.1 * 2**self._fails)
        with self._lock:
            self._counts["restarted"] += 1
        if self._at_work is not None and self._asked is None:
            self._strike(self._at_work, reason)
        self._at_work = None
        if self._asked is not None:
            self._once_more(self._asked[0], reason)
        if self._fails >= _HOPELESS:
            with self._lock:
                waiting = self._queue.drain()
            for request in waiting:
                self._refuse(request, reason)

    def _once_more(self, request: Request, reason: str) -> None:
        """Put a request off that was under way: who ends the examiner while a copy is made must not hide the copy."""
        same = place(request)
        if same in self._put_off:
            self._refuse(request, reason)
            return
        self._put_off.add(same)
        with self._lock:
            self._asked = None
            self._queue.put_back(request)

    def _refuse(self, request: Request, reason: str) -> None:
        self._answer(Examination(request, clock.now(), request.path, error=reason))

    def _strike(self, path: str, reason: str) -> None:
        """After two times, leave a file alone that takes the process down while its fingerprint is made."""
        self._strikes[path] += 1
        if self._strikes[path] < STRIKES:
            return
        with self._lock:
            guilty = [target for target in self._targets.values() if target.path == path]
            self._banned.update(guilty)
        for target in guilty:
            text = f"reading it ended the examiner {STRIKES} times: {reason}"
            self._settle(Indexed(path, target.device, target.inode, target.size, "failed", text))


def _batches(files: list[Target]) -> list[Order]:
    return [Protect(tuple(files[at : at + _BATCH])) for at in range(0, len(files), _BATCH)]


def _drain(queue: deque[Got]) -> list[Got]:
    found = []
    while queue:
        found.append(queue.popleft())
    return found
