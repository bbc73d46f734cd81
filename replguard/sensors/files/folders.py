"""How a folder's handle becomes a path: as the acting process saw it, and as we reach it.

A handle is opened by way of its mount and closed at once, some hundredths of a millisecond later: no descriptor keeps a
mount busy. Paths are remembered until a folder above is renamed or a mount changes.

What it cannot tell: a file that somebody else's overlay shows has the path of the folder that the overlay writes to.
"""

# ruff: noqa: PTH112, PTH115, PTH116 - paths are bytes here: names need not be text

import contextlib
import errno
import os
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from replguard.events import clock
from replguard.kernel import beneath, fanotify
from replguard.sensors.files.superblocks import Seat, Superblock, Superblocks, below, join

REMEMBERED = 8192
_MOST_SEATS = 64
"""Mount points of one filesystem by which a handle is tried; all of ours come first."""
_OUR_TROUBLE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EPERM)
_MANY_RENAMES, _SOON = 16, 0.1
"""Folders renamed within so many seconds, after which all paths are forgotten: to look through them costs more."""


@dataclass(slots=True)
class View:
    """A folder seen from one namespace. ``path`` is as seen there; ``access`` leads there from ours.

    ``told``: what happens in it is told; ``layered``: our way there leads through an overlay, which has numbers of its
    own.
    """

    path: bytes
    access: bytes
    told: bool = True
    layered: bool = False

    def at(self, name: bytes) -> bytes:
        """Return our way to a name in it."""
        return self.access + b"/" + name if self.access != b"/" else b"/" + name

    def shown(self, name: bytes) -> bytes:
        """Return the path of a name in it, as seen there."""
        return self.path + b"/" + name if self.path != b"/" else b"/" + name


@dataclass(slots=True, eq=False)
class Folder:
    """One folder: its filesystem, its path from the root of that, and how it looks from namespaces (None: gone).

    ``alone``: everybody sees it under one path; ``layered``: an overlay shows what is in it, with other numbers;
    ``way``: the mount by which it was found, when others may be gone.
    """

    superblock: Superblock
    path: bytes
    work: bool
    views: dict[int | None, View] = field(default_factory=dict)
    alone: bool = True
    layered: bool = False
    way: Seat | None = None


class Folders:
    """The folders that events name. ``told`` says whether what happens in a folder, by our way to it, is told."""

    def __init__(self, superblocks: Superblocks, own: int, told: Callable[[bytes, bytes], bool]) -> None:
        self._superblocks, self._own, self._told = superblocks, own, told
        self._known: OrderedDict[bytes, Folder] = OrderedDict()
        self._at: dict[tuple[str, bytes], bytes] = {}
        self.trouble: str | None = None
        """Why a folder could not be asked for that may well be there, such as a want of descriptors."""
        self._renames: deque[float] = deque(maxlen=_MANY_RENAMES)
        self.stale = False
        """Whether a process is gone by which a namespace was reached, so that what lies there was not found."""

    def forget(self) -> None:
        """Forget every path: what is mounted has changed."""
        self._known.clear()
        self._at.clear()

    def of(self, handle: bytes) -> Folder | None:
        """Return the folder of a handle, None for one that is gone."""
        known = self._known.get(handle)
        if known is None:
            known = self._find(handle)
            if known is None:
                return None
            self._known[handle] = known
            self._at[known.superblock.device, known.path] = handle
            while len(self._known) > REMEMBERED:
                _, old = self._known.popitem(last=False)
                self._at.pop((old.superblock.device, old.path), None)
        return known

    def known(self, handle: bytes | None) -> Folder | None:
        """Return the folder of a handle that everybody sees the same way, if its path is known already."""
        found = self._known.get(handle) if handle is not None else None
        return found if found is not None and found.alone else None

    def recent(self) -> list[View]:
        """Return the folders that something happened in, the latest first."""
        return [view for folder in reversed(self._known.values()) for view in list(folder.views.values())[:1]]

    def view(self, folder: Folder, space: int | None) -> View:
        """Return a folder as seen from a namespace; from any that shows it if that one does not, or is not known."""
        known = folder.views.get(space)
        if known is None:
            known = folder.views[space] = self._see(folder.superblock, folder.path, space, folder.way)
        return known

    def renamed(self, folder: Folder, name: bytes) -> None:
        """Forget a folder with this former name, and all below."""
        now = clock.monotonic()
        self._renames.append(now)
        if len(self._renames) == _MANY_RENAMES and now - self._renames[0] < _SOON:
            self.forget()
            return
        old = join(folder.path, b"/" + name)
        for handle, known in list(self._known.items()):
            if known.superblock is folder.superblock and below(known.path, old) is not None:
                self._drop(handle)

    def gone(self, folder: Folder, name: bytes) -> None:
        """Forget a folder that was removed: it was empty."""
        handle = self._at.get((folder.superblock.device, join(folder.path, b"/" + name)))
        if handle is not None:
            self._drop(handle)

    @contextlib.contextmanager
    def opened(self, handle: bytes) -> Iterator[tuple[int, View | None] | None]:
        """Open a file by its handle and yield its descriptor (O_PATH) and whole path; None for one that is gone."""
        for superblock, seat, descriptor in self._ways(handle):
            path = _path(descriptor, seat)
            yield descriptor, None if path is None else self._see(superblock, path, None, seat)
            return
        yield None

    def _drop(self, handle: bytes) -> None:
        known = self._known.pop(handle, None)
        if known is not None:
            self._at.pop((known.superblock.device, known.path), None)

    def _find(self, handle: bytes) -> Folder | None:
        """Ask the kernel for the path of a handle, by way of each mount that might show it."""
        for superblock, seat, descriptor in self._ways(handle):
            path = _path(descriptor, seat)
            if path is not None:
                work, layered = superblock.works(path), bool(superblock.over(path))
                return Folder(superblock, path, work, alone=superblock.alone(path), layered=layered, way=seat)
        return None

    def _ways(self, handle: bytes) -> Iterator[tuple[Superblock, Seat, int]]:
        """Open a handle by way of one mount after another; each descriptor (O_PATH) is closed with the next."""
        for superblock in self._superblocks.by_fsid.get(handle[:8], ()):
            for seat in superblock.seats[:_MOST_SEATS]:
                try:
                    mount = beneath.entered(seat.prefix, seat.path, superblock.number)
                except OSError as error:
                    self._note(error, seat)
                    continue
                try:
                    descriptor = fanotify.opened(mount, handle)
                except OSError as error:
                    self._note(error, None)
                    if error.errno == errno.ESTALE:  # gone, whichever way we come
                        break
                    continue
                finally:
                    os.close(mount)
                try:
                    yield superblock, seat, descriptor
                finally:
                    os.close(descriptor)

    def _note(self, error: OSError, seat: Seat | None) -> None:
        if error.errno in _OUR_TROUBLE:
            self.trouble = os.strerror(error.errno or 0)
        elif seat is not None and seat.prefix and not os.path.isdir(seat.prefix):
            self.stale = True

    def _see(self, superblock: Superblock, path: bytes, space: int | None, way: Seat | None = None) -> View:
        """Return a path as seen from a namespace, through an overlay where one lies over it.

        What another user's namespace shows may name a path, but leads us there only if nothing else does.
        """
        layers = [moved for layer in superblock.over(path) if (moved := _shown(layer.seat, path, layer.upper))]
        near = superblock.seats_in(self._own) + (superblock.seats_in(space) if space != self._own else [])
        near = [way, *near] if way is not None else near
        seats = _shown_in(near, path) or _shown_in(superblock.seats[:_MOST_SEATS], path)
        both = layers + seats
        if not both:
            return View(path, path, told=self._told(path, path))
        theirs = next((seat for seat in both if seat.space == space), None)
        believed = [seat for seat in layers if seat.trusted]
        if theirs is None:  # of an overlay's upper folder only those inside write, and they are gone by now
            theirs = next((seat for seat in believed if space is None and seat.space != self._own), None)
            theirs = theirs or (believed + seats or both)[0]
        ours = next((seat for seat in believed + seats if seat.space == self._own), None)
        if ours is None or (believed and ours not in believed):
            ours = theirs if theirs in believed else next(iter(believed), theirs)
        access = ours.prefix + ours.path if ours.path != b"/" else ours.prefix or b"/"
        return View(theirs.path, access, told=self._told(theirs.path, access), layered=ours in believed)


def _shown(seat: Seat, path: bytes, upper: bytes) -> Seat | None:
    """Return where an overlay shows a path of its upper folder, None if it is mounted in part only."""
    rest = below(path, upper)
    return seat._replace(path=join(seat.path, rest)) if rest is not None and seat.top == b"/" else None


def _shown_in(seats: list[Seat], path: bytes) -> list[Seat]:
    """Return where mounts show a path of their filesystem."""
    shown = ((seat, below(path, seat.top)) for seat in seats)
    return [seat._replace(path=join(seat.path, rest)) for seat, rest in shown if rest is not None]


def _path(descriptor: int, seat: Seat) -> bytes | None:
    """Return the path of an open file from the root of its filesystem, None if the mount does not show it.

    Outside of what a mount shows the kernel calls everything ``/``.
    """
    try:
        path = os.readlink(b"/proc/self/fd/%d" % descriptor)
        found = os.fstat(descriptor)
        if path == b"/" and seat.path == b"/":
            top = os.stat(seat.prefix + b"/")
            if (top.st_dev, top.st_ino) != (found.st_dev, found.st_ino):
                return None
    except OSError:
        return None
    if found.st_nlink == 0:
        path = path.removesuffix(b" (deleted)")
    rest = below(path, seat.path)
    return None if rest is None else join(seat.top, rest)
