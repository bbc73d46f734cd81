"""Opens of watched files and of device nodes, by marks on single inodes: under every name, in every container.

What it cannot tell: reading from writing, and how much. Filesystems without file handles (some FUSE, old overlays)
and subvolumes of btrfs take no mark: opens there are left to the sensor ``use``; renames and ends are told. Opens that
the kernel's queue had no room for, and files beyond 65,536, are told as a loss.
"""

import contextlib
import errno
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from replguard.events import clock
from replguard.events.hint import Hint
from replguard.kernel import fanotify
from replguard.kernel.fanotify import Group
from replguard.sensors.files import disks
from replguard.sensors.files.sections import lstat
from replguard.sensors.losses import Losses

OPEN_AGAIN = 60.0
"""Seconds after which the same process opening the same file is told again."""
MOMENT = 1.0
"""Seconds in which a pid that opens it again is not even looked at."""
_REMEMBERED = 8192
_MOST_HINTS = 65_536

Key = tuple[int, int]
"""Device and inode."""


@dataclass(slots=True)
class Watched:
    """One marked inode: its path as it was told, our way there, what it is, and its handle (None: not marked).

    ``holds`` is the st_dev of the filesystem that lies on a disk, None for any other device and for files. ``refused``:
    the kernel took no mark on it, which is told once.
    """

    path: bytes
    access: bytes
    key: Key | None
    handle: bytes | None = None
    holds: int | None = None
    refused: bool = False


class Opened(NamedTuple):
    """One open: of what, and by which process."""

    watched: Watched
    pid: int


class Opens:
    """The marked inodes. ``files`` outlive a restart of the sensor; ``group`` is made anew by ``start``.

    ``why`` says why it does not work, None if it does.
    """

    def __init__(self, losses: Losses) -> None:
        self._losses = losses
        self.why: str | None = None
        self.files: dict[Key, Watched] = {}
        self.by_handle: dict[bytes, Watched] = {}
        self._nodes: dict[bytes, Watched] = {}
        self._group: Group | None = None
        self._last: OrderedDict[tuple[int, bytes], tuple[float, float, str | None]] = OrderedDict()

    def start(self, kept: int | None = None) -> None:
        """Begin anew or with a kept group, with marks on what is known, or say ``why`` not."""
        self.why = None
        try:
            self._group = Group(fanotify.REPORT_FID, kept)
        except OSError as error:
            self.why = f"opens are not told: {fanotify.sentence(error)}"
        self.by_handle.clear()
        for watched in (*self.files.values(), *self._nodes.values()):
            watched.handle = None
        self.again()

    def stop(self) -> None:
        """End all marks; what is watched stays known."""
        if self._group is not None:
            self._group.close()
        self._group = None

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._group.fd if self._group is not None else -1

    def take(self, hint: Hint, access: bytes) -> None:
        """Watch, or stop watching, the file of a hint, to which ``access`` leads us."""
        if hint.device is None or hint.inode is None:
            return
        key = (hint.device, hint.inode)
        if hint.drop:
            self._drop(key)
        elif hint.path is not None and (key in self.files or len(self.files) < _MOST_HINTS):
            known = self.files.get(key)
            if known is not None and known.handle is not None and _leads(known.access, key):
                return
            handle = known.handle if known is not None else None
            self.files[key] = Watched(os.fsencode(hint.path), access, key, handle)
            self._mark(self.files[key])
        elif hint.path is not None:
            self._losses.add("watch", "too many files for a watch on their opens")

    def nodes(self, paths: list[bytes], holds: int | None = None) -> None:
        """Watch these device nodes too, the disks of a filesystem or others."""
        for path in paths:
            if path not in self._nodes:
                self._nodes[path] = Watched(path, path, None, holds=holds)
                self._mark(self._nodes[path])

    def disks(self, device: int) -> None:
        """Watch the disks that hold a filesystem, by its st_dev."""
        with contextlib.suppress(OSError):
            self.nodes(disks.nodes(device), device)

    def again(self) -> None:
        """Set every mark anew: a filesystem that was mounted again has lost its own, and a node may be new.

        A file to which our way is gone, as with the container that it led through, keeps the mark that it has.
        """
        for watched in (*self.files.values(), *self._nodes.values()):
            self._mark(watched)

    def at(self, path: bytes) -> Watched | None:
        """Return the watched file that was last seen at a path."""
        return next((watched for watched in self.files.values() if watched.path == path), None)

    def renamed(self, old: bytes, new: bytes, old_access: bytes, access: bytes) -> None:
        """Follow watched files to a new name, or below a renamed folder."""
        for watched in self.files.values():
            if watched.path == old or watched.path.startswith(old + b"/"):
                watched.path = new + watched.path[len(old) :]
            if watched.access == old_access or watched.access.startswith(old_access + b"/"):
                watched.access = access + watched.access[len(old_access) :]

    def read(self, entity: Callable[[int], str | None]) -> Iterator[Opened]:
        """Yield what was opened, each (process, file) once in a while; ``entity`` names a process by its pid."""
        if self._group is None:
            return
        told: set[tuple[int, bytes]] = set()
        data = self._group.read()
        self._losses.add("kernel", "an open could not be read", self._group.unreadable)
        self._group.unreadable = 0
        for record in fanotify.parse(data):
            if record.mask & fanotify.OVERFLOW:
                self._losses.add("kernel", "opens: fanotify overflow")
            watched = self.by_handle.get(record.target or b"")
            if watched is None or record.target is None or (record.pid, record.target) in told:
                continue
            told.add((record.pid, record.target))
            if self._news(record.pid, record.target, entity):
                yield Opened(watched, record.pid)

    def _news(self, pid: int, handle: bytes, entity: Callable[[int], str | None]) -> bool:
        now, key = clock.monotonic(), (pid, handle)
        said, looked, who = self._last.get(key, (-OPEN_AGAIN, -OPEN_AGAIN, None))
        if now - looked < MOMENT and now - said < OPEN_AGAIN:
            return False
        found = entity(pid)
        news = found != who or now - said >= OPEN_AGAIN
        self._last[key] = (now if news else said, now, found)
        self._last.move_to_end(key)
        while len(self._last) > _REMEMBERED:
            self._last.popitem(last=False)
        return news

    def _drop(self, key: Key) -> None:
        watched = self.files.pop(key, None)
        if watched is None or watched.handle is None:
            return
        self.by_handle.pop(watched.handle, None)
        with contextlib.suppress(OSError):  # one that was moved keeps its mark; its opens are not told any more
            if self._group is not None and fanotify.handle_of(watched.access) == watched.handle:
                self._group.unmark(watched.access, fanotify.OPEN)

    def _mark(self, watched: Watched) -> None:
        """Mark an inode; one to which our way does not lead any more keeps its mark and its handle."""
        if self._group is None or not _leads(watched.access, watched.key):
            if watched.handle is not None:
                self.by_handle[watched.handle] = watched
            return
        self.by_handle.pop(watched.handle or b"", None)
        watched.handle = fanotify.handle_of(watched.access)
        if watched.handle is not None:
            self.by_handle[watched.handle] = watched
        try:
            self._group.mark(watched.access, fanotify.OPEN)
        except OSError as error:
            if not watched.refused and error.errno != errno.ENOENT:
                self._losses.add("watch", f"a file takes no mark on its opens: {error.strerror}")
            watched.refused = True
        else:
            watched.refused = False


def _leads(access: bytes, key: Key | None) -> bool:
    """Tell whether a path leads to something, and to this inode if one is given."""
    found = lstat(access)
    return found is not None and (key is None or (found.st_dev, found.st_ino) == key)
