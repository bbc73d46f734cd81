"""The folders that are watched, by watchdog's inotify reader, within a quarter of what the kernel grants.

watchdog's emitters hold every rename back for half a second and log an overflow instead of telling it. Its reader,
``InotifyFD``, has neither fault: it calls back at once, per kernel event. So this stands on the reader.
"""

import errno
import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from watchdog.observers.inotify_c import CallbackId, InotifyConstants, InotifyEvent, InotifyFD, Mask, WatchDescriptor

from replguard.errors import Unavailable
from replguard.events import clock
from replguard.kernel import machine
from replguard.kernel.mounts import PSEUDO, mounts

I = InotifyConstants  # noqa: E741 - the names below are the kernel's
_FOLDER = Mask(
    I.IN_CREATE | I.IN_CLOSE_WRITE | I.IN_MOVED_FROM | I.IN_MOVED_TO | I.IN_DELETE | I.IN_ONLYDIR | I.IN_DONT_FOLLOW
)
"""No IN_MODIFY and no IN_OPEN: each read and write of a build would wake us."""
_FILE = Mask(I.IN_OPEN | I.IN_DONT_FOLLOW)
GONE = I.IN_IGNORED
OVERFLOW = I.IN_Q_OVERFLOW
SHARE = 4
"""We take at most one in so many of the user's watches."""
BUFFER = 200_000
"""Kernel events that may wait for the sensor's thread; the kernel itself keeps only 16,384."""


@dataclass(slots=True)
class Folder:
    """One watched folder (or, with ``file``, one watched file)."""

    path: bytes
    recursive: bool = True
    important: bool = False
    file: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """One kernel event: which watch, what, and the name in the folder."""

    wd: int
    mask: int
    cookie: int
    name: bytes


class Tree:
    """Watches folders breadth-first, so that when watches run out the shallow ones are watched."""

    def __init__(self, own: frozenset[bytes] = frozenset(), limit: int | None = None) -> None:
        granted = machine.sysctl("fs/inotify/max_user_watches") or 8192
        self.limit = granted // SHARE if limit is None else limit
        self.folders: dict[int, Folder] = {}
        self.unwatched = 0
        self.examples: deque[bytes] = deque(maxlen=3)
        self.refused = 0
        self.overrun = 0
        self._own = own
        self._pending: tuple[deque[Folder], deque[Folder]] = (deque(), deque())
        self._records: deque[Record] = deque()
        self._waiting = threading.Event()
        self._skip: frozenset[bytes] = frozenset()
        self._next = 0
        self._wds: dict[int, int] = {}
        self._reader: InotifyFD | None = None
        self.eventfd = -1

    def start(self) -> None:
        """Begin to read. Raises Unavailable when no inotify instance is left or the quarter is none."""
        if (machine.sysctl("fs/inotify/max_user_instances") or 128) < SHARE:
            raise Unavailable("fs.inotify.max_user_instances is too small: we take at most a quarter of it.")
        self._skip = frozenset(mount.path for mount in mounts() or () if mount.kind in PSEUDO or mount.remote)
        self.eventfd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        try:
            self._reader = InotifyFD()
        except OSError as error:
            raise Unavailable(f"the kernel gives no inotify instance: {error.strerror}.") from error
        self._reader.start()

    def stop(self) -> None:
        """Give all watches back."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.stop()
            reader.join()
        if self.eventfd >= 0:
            os.close(self.eventfd)
            self.eventfd = -1
        self.folders.clear()
        for waiting in self._pending:
            waiting.clear()
        self._records.clear()

    # What InotifyFD calls, from its own thread.

    def on_event(self, event: InotifyEvent) -> None:
        """Take a kernel event."""
        self._put(Record(event.wd, event.mask, event.cookie, event.name))

    def on_watch_deleted(self, wd: WatchDescriptor) -> None:
        """Take the end of a watch: its folder is gone, or its filesystem was unmounted."""
        self._put(Record(wd, GONE, 0, b""))

    def on_queue_overflow(self) -> None:
        """Take the news that the kernel dropped events."""
        self._put(Record(-1, OVERFLOW, 0, b""))

    def _put(self, record: Record) -> None:
        if len(self._records) >= BUFFER and not record.mask & (GONE | OVERFLOW):
            self.overrun += 1
            return
        self._records.append(record)
        if not self._waiting.is_set():
            self._waiting.set()
            os.eventfd_write(self.eventfd, 1)

    # What the sensor calls, from its thread.

    def poke(self) -> None:
        """Make the descriptor readable."""
        if self.eventfd >= 0:
            os.eventfd_write(self.eventfd, 1)

    def drain(self) -> Iterator[Record]:
        """Yield the events that came in."""
        try:
            os.eventfd_read(self.eventfd)
        except BlockingIOError:
            pass
        self._waiting.clear()  # after the read, so that no write that is announced can have been consumed
        while self._records:
            yield self._records.popleft()

    def plan(self, folders: Iterable[Folder]) -> None:
        """Put folders on the list of those to watch, important ones before all others; ``grow`` does it."""
        for folder in folders:
            self._pending[not folder.important].append(folder)

    def grow(self, seconds: float) -> bool:
        """Watch planned folders and what is below them for up to so many seconds; True when all is done."""
        end = clock.monotonic() + seconds
        while any(self._pending):
            folder = (self._pending[0] or self._pending[1]).popleft()
            if self.add(folder) and folder.recursive:
                self.plan(Folder(path, important=folder.important) for path in self.below(folder.path))
            if clock.monotonic() > end:
                break
        return not any(self._pending)

    def add(self, folder: Folder) -> bool:
        """Watch one folder; False if that is not possible, not wanted, or was done before."""
        wd = self._add(folder)
        if wd is None:
            return False
        known = self.folders[wd]
        return known is folder or self._widen(known, folder)

    def mark(self, folder: Folder) -> int | None:
        """Watch one file and return the watch, None if that is not possible."""
        wd = self._add(folder)
        return wd if wd is not None and self.folders[wd] is folder else None

    def _add(self, folder: Folder) -> int | None:
        """Return the watch, which may be one that we had under another path; None if it was refused."""
        if self._reader is None or self._excluded(folder.path):
            return None
        if len(self.folders) >= self.limit:
            self._left_out(folder.path)
            return None
        self._next += 1
        number = CallbackId(self._next)
        try:
            wd = self._reader.add_callback(folder.path, _FILE if folder.file else _FOLDER, self, number)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                self._left_out(folder.path)
            return None
        if wd < 0 or wd in self.folders:
            self._reader.remove_callbacks([(wd, number)])
            self.refused += wd < 0  # watchdog's reader keeps quiet when we may not read the folder
            return wd if wd >= 0 else None
        self.folders[wd] = folder
        self._wds[wd] = number
        return wd

    def _widen(self, known: Folder, folder: Folder) -> bool:
        """Note that a folder watched flat is now wanted with all below; True if there is more to do."""
        known.important |= folder.important
        wider = folder.recursive and not known.recursive
        known.recursive |= folder.recursive
        return wider

    def remove(self, wd: int) -> None:
        """Stop watching."""
        if self.folders.pop(wd, None) is not None and self._reader is not None:
            number = CallbackId(self._wds.pop(wd))
            self._reader.remove_callbacks([(WatchDescriptor(wd), number)])

    def forget(self, wd: int) -> None:
        """Take note that the kernel ended a watch."""
        self.folders.pop(wd, None)
        self._wds.pop(wd, None)

    def below(self, path: bytes) -> list[bytes]:
        """Return the folders directly below one that are worth watching."""
        try:
            with os.scandir(path) as entries:
                found = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError:
            return []
        return [path for path in found if not self._excluded(path)]

    def moved(self, old: bytes, new: bytes) -> None:
        """Rename a watched folder and all below it."""
        prefix = old + b"/"
        for folder in self.folders.values():
            if folder.path == old or folder.path.startswith(prefix):
                folder.path = new + folder.path[len(old) :]

    def under(self, path: bytes) -> list[int]:
        """Return the watches of a folder and all below it."""
        prefix = path + b"/"
        return [wd for wd, folder in self.folders.items() if folder.path == path or folder.path.startswith(prefix)]

    def is_own(self, path: bytes) -> bool:
        """Tell whether a file is one that we write."""
        return path in self._own

    def _excluded(self, path: bytes) -> bool:
        return path in self._own or path in self._skip

    def _left_out(self, path: bytes) -> None:
        self.unwatched += 1
        if len(self.examples) < (self.examples.maxlen or 0):
            self.examples.append(path)


def listing(path: bytes) -> Iterator[tuple[bytes, os.stat_result]]:
    """Yield the entries of a folder with their lstat; none if it is gone or closed to us."""
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                try:
                    yield entry.path, entry.stat(follow_symlinks=False)
                except OSError:
                    continue
    except OSError:
        return
