"""Which filesystems are watched for names: all that hold files, wherever they are mounted.

Each filesystem has one mark, however often it is mounted. An overlay cannot be marked: what is written through it
appears on the filesystem of its upper folder, so it is a layer of that one. Where that is stands in an option, free
text by whoever mounted: it is believed only of an overlay that a namespace of our own user namespace shows, where
mounting takes root. What is written through any other is told under the path of its upper folder.

Not watched, and said so: filesystems that refuse the mark, those served over a network or by FUSE, whose server may
hang us, and what is mounted below such a one.
"""

import os
import stat
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from replguard.kernel import beneath, fanotify
from replguard.kernel.fanotify import Group
from replguard.kernel.mounts import PSEUDO, Mount
from replguard.kernel.procfs import text
from replguard.sensors.files.spaces import Space

_SKIPPED = PSEUDO | frozenset("overlay squashfs iso9660 erofs cramfs romfs ramfs tracefs binder".split())
_MOST_TRIES = 8
"""Mount points of one filesystem that are tried."""
MOST_SEATS, MOST_OWN_SEATS = 8, 64
"""Mount points of one filesystem that are kept, in each other namespace and in our own."""
_NUMBERED_ANEW = frozenset(["btrfs"])
"""Filesystems whose files have another st_dev than mountinfo gives."""
_BTRFS_ROOT = struct.pack("=QQI", 256, 5, 0)
"""BTRFS_FIRST_FREE_OBJECTID in BTRFS_FS_TREE_OBJECTID, of any generation: the folder above all subvolumes."""
_BTRFS_HANDLE = 0x4D


class Seat(NamedTuple):
    """Where a filesystem is mounted: in which namespace, what leads there from us, the point, and the part shown.

    ``trusted``: only root could mount it there.
    """

    space: int
    prefix: bytes
    path: bytes
    top: bytes
    trusted: bool = True


class Layer(NamedTuple):
    """An overlay that writes to a filesystem: its upper and work folders there, and where it is mounted."""

    upper: bytes
    work: bytes | None
    seat: Seat


@dataclass(slots=True, eq=False)
class Superblock:
    """One filesystem. ``refused`` says why it is not watched; ``fsid`` begins the handles of its files."""

    device: str
    kind: str
    seats: list[Seat] = field(default_factory=list)
    layers: list[Layer] = field(default_factory=list)
    fsid: bytes = b""
    refused: str | None = None
    elsewhere: frozenset[bytes] = frozenset()
    """Parts that some namespace shows under another path than ours."""
    number: int | None = field(init=False)
    """The st_dev of its files, None where that is not known beforehand."""
    _by_space: dict[int, list[Seat]] = field(default_factory=dict)
    _over: dict[bytes, list[Layer]] = field(default_factory=dict)
    _works: frozenset[bytes] = frozenset()
    _indexed: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        """Work out what is compared with every file."""
        major, _, minor = self.device.partition(":")
        self.number = None if self.kind in _NUMBERED_ANEW else os.makedev(int(major), int(minor))

    @property
    def name(self) -> str:
        """What to call it: its first mount point."""
        return text(self.seats[0].path)

    def seats_in(self, space: int | None) -> list[Seat]:
        """Return where it is mounted in a namespace."""
        self._index()
        return self._by_space.get(space, []) if space is not None else []

    def over(self, path: bytes) -> list[Layer]:
        """Return the overlays that write to a folder."""
        self._index()
        return [layer for up in above(path) for layer in self._over.get(up, ())] if self._over else []

    def works(self, path: bytes) -> bool:
        """Tell whether an overlay prepares its copies in a folder."""
        self._index()
        return any(up in self._works for up in above(path)) if self._works else False

    def alone(self, path: bytes) -> bool:
        """Tell whether a folder is seen the same way by everybody: no overlay upon it, and no other path to it."""
        shown_elsewhere = self.elsewhere and any(up in self.elsewhere for up in above(path))
        return not shown_elsewhere and not self.over(path) and not self.works(path)

    def _index(self) -> None:
        if self._indexed == (size := (len(self.seats), len(self.layers))):
            return
        self._indexed, self._by_space, self._over = size, {}, {}
        for seat in self.seats:
            self._by_space.setdefault(seat.space, []).append(seat)
        for layer in self.layers:
            self._over.setdefault(layer.upper, []).append(layer)
        self._works = frozenset(layer.work for layer in self.layers if layer.work is not None)


class Superblocks:
    """The filesystems of all namespaces, by their number and by the identity that events carry."""

    def __init__(self, group: Group, mask: int) -> None:
        self._group, self._mask = group, mask
        self.by_device: dict[str, Superblock] = {}
        self.by_fsid: dict[bytes, list[Superblock]] = {}
        self.remote: set[str] = set()

    def arrange(self, spaces: Iterable[Space]) -> list[Superblock]:
        """Take in what is mounted, mark it all, and return the filesystems that were not watched before.

        The mark is set anew each time: a filesystem that went and another that came may have the same numbers.
        """
        tables = [(space, _visible(space.mounts)) for space in spaces]
        before, self.by_device, self.remote = self.by_device, {}, set()
        for number, (space, mounted) in enumerate(tables):
            self._seats(space, mounted, MOST_SEATS if number else MOST_OWN_SEATS)
        own = tables[0][0].id if tables else 0
        for superblock in self.by_device.values():
            superblock.seats.sort(key=lambda seat: (bool(seat.prefix), not seat.trusted, seat.top != b"/"))
            superblock.elsewhere = frozenset(_elsewhere(superblock, own))
            self._mark(superblock)
        self._overlays(tables)
        self.by_fsid = {}
        for superblock in self.by_device.values():
            if superblock.refused is None:
                self.by_fsid.setdefault(superblock.fsid, []).append(superblock)
        old = {(known.device, known.fsid) for known in before.values() if known.refused is None}
        return [s for s in self.by_device.values() if s.refused is None and (s.device, s.fsid) not in old]

    def refused(self) -> list[str]:
        """Return a few words on each filesystem that is not watched."""
        told = [f"{s.name} ({s.kind}: {s.refused})" for s in self.by_device.values() if s.refused is not None]
        return told + sorted(self.remote)

    def watches_root(self, own: Space) -> bool:
        """Tell whether what lies at our own ``/`` is watched, itself or by the upper folder of an overlay."""
        held = [s for s in self.by_device.values() if s.refused is None]
        seats = [seat for s in held for seat in (*s.seats, *(layer.seat for layer in s.layers))]
        return any(seat.space == own.id and seat.path == b"/" for seat in seats)

    def _seats(self, space: Space, mounted: dict[bytes, Mount], most: int) -> None:
        """Note where a namespace has filesystems, in few places of each: whoever mounts one often makes us no work."""
        remote = {path for path, mount in mounted.items() if mount.remote}
        kept: dict[str, int] = {}
        for path, mount in sorted(mounted.items(), key=lambda item: len(item[1].top)):
            if mount.remote:
                self.remote.add(f"{text(path)} ({mount.kind})")
            elif mount.kind not in _SKIPPED and kept.get(mount.device, 0) < most:
                if remote and any(up in remote for up in above(path)):
                    self.remote.add(f"{text(path)} ({mount.kind}, below a remote mount)")
                    continue
                kept[mount.device] = kept.get(mount.device, 0) + 1
                known = self.by_device.setdefault(mount.device, Superblock(mount.device, mount.kind))
                known.seats.append(_seat(space, mount))

    def _mark(self, superblock: Superblock) -> None:
        reason = "its mount points cannot be reached"
        for seat in superblock.seats[:_MOST_TRIES]:
            try:
                descriptor = beneath.entered(seat.prefix, seat.path, superblock.number)
            except OSError as error:
                reason = error.strerror or reason
                continue
            try:
                self._mark_at(descriptor, superblock)
            except OSError as error:
                reason = os.strerror(error.errno or 0)
            else:
                return
            finally:
                os.close(descriptor)
        superblock.refused = reason

    def _mark_at(self, descriptor: int, superblock: Superblock) -> None:
        """Mark the filesystem that a descriptor lies on; btrfs takes the mark only above its subvolumes."""
        top = descriptor
        if superblock.kind == "btrfs":
            above_all = fanotify.handle(bytes(8), _BTRFS_HANDLE, _BTRFS_ROOT)
            top = fanotify.opened(descriptor, above_all, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._group.mark(top, self._mask, fanotify.FILESYSTEM)
            superblock.fsid = fanotify.filesystem_id(top)
        finally:
            if top != descriptor:
                os.close(top)

    def _overlays(self, tables: list[tuple[Space, dict[bytes, Mount]]]) -> None:
        """Find where the overlays that root mounted write to, and from where that is seen.

        The same overlay may be mounted in several namespaces, and its folders are named as one of them saw them.
        """
        lies: dict[str, tuple[Superblock, bytes, bytes | None]] = {}
        for space, mounted in tables:
            for mount in mounted.values() if space.trusted or not space.prefix else ():
                if mount.kind == "overlay" and mount.device not in lies:
                    found = self._writes(mount, space, mounted)
                    if found is not None:
                        lies[mount.device] = found
        for space, mounted in tables:
            for mount in mounted.values():
                if mount.kind == "overlay" and mount.device in lies:
                    on, upper, work = lies[mount.device]
                    seat = _seat(space, mount)
                    on.layers.append(Layer(upper, work, seat))

    def _writes(
        self, mount: Mount, space: Space, mounted: dict[bytes, Mount]
    ) -> tuple[Superblock, bytes, bytes | None] | None:
        """Return the filesystem that an overlay writes to, and its upper and work folders there.

        None if its options name no such folders in this namespace: both lie on one filesystem. Nor can a container
        lay them out inside of the overlay that it runs on: that was there before its namespace was.
        """
        named = [mount.option(name) for name in (b"upperdir", b"workdir")]
        inside = (mounted[up] for path in named for up in above(path or b"/") if up in mounted)
        if space.prefix and any(each.device == mount.device for each in inside):
            return None
        upper, work = (self._lies(path, space, mounted) for path in named)
        if upper is None or (work is not None and work[0] is not upper[0]):
            return None
        return upper[0], upper[1], work[1] if work is not None else None

    def _lies(self, path: bytes | None, space: Space, mounted: dict[bytes, Mount]) -> tuple[Superblock, bytes] | None:
        """Return on which filesystem a path lies, and where there; None for one that is relative, or does not fit."""
        if path is None or not path.startswith(b"/") or any(mounted[up].remote for up in above(path) if up in mounted):
            return None
        try:  # ours may be a path with links; another namespace's are made by those inside
            descriptor = beneath.reach(space.prefix, path, links=not space.prefix)
        except OSError:
            return None
        try:
            mode, device = beneath.identity(descriptor)
            real = os.readlink(b"/proc/self/fd/%d" % descriptor)  # noqa: PTH115 - bytes
        finally:
            os.close(descriptor)
        holding = next((mounted[up] for up in above(real) if up in mounted), None)
        superblock = self.by_device.get(holding.device) if holding is not None else None
        if holding is None or superblock is None or superblock.number not in (None, device) or not stat.S_ISDIR(mode):
            return None
        return superblock, join(holding.top, below(real, holding.path) or b"")


def _seat(space: Space, mount: Mount) -> Seat:
    return Seat(space.id, space.prefix, mount.path, mount.top, space.trusted or not space.prefix)


def below(path: bytes, folder: bytes) -> bytes | None:
    """Return what of a path lies below a folder, with its slash; empty for the folder itself, None for one outside."""
    if folder == b"/":
        return path if path != b"/" else b""
    if path == folder:
        return b""
    return path[len(folder) :] if path.startswith(folder + b"/") else None


def join(folder: bytes, rest: bytes) -> bytes:
    """Return the path of what ``below`` returned, in another folder."""
    return (folder if folder != b"/" else b"") + rest or b"/"


def above(path: bytes) -> Iterator[bytes]:
    """Yield a path and every folder above it, the nearest first."""
    while len(path) > 1:
        yield path
        path = path[: path.rfind(b"/")]
    yield b"/"


def _elsewhere(superblock: Superblock, own: int) -> Iterator[bytes]:
    """Yield the parts of a filesystem that another namespace shows where ours does not.

    Most others have a copy of our mounts, or show parts of them once more at their own place: what is done there has
    the same path for everybody. Nor do a user's own mounts count, of what ours shows too: else one of them would cost
    every other process the short way.
    """
    ours = [seat for seat in superblock.seats if seat.space == own]
    known: dict[tuple[bytes, bytes, bool], bool] = {}
    for seat in superblock.seats:
        if seat.space == own:
            continue
        if (there := (seat.path, seat.top, seat.trusted)) not in known:
            shown = [join(at.path, rest) for at in ours if (rest := below(seat.top, at.top)) is not None]
            known[there] = bool(shown) if not seat.trusted else seat.path in shown
        if not known[there]:
            yield seat.top


def _visible(mounts: list[Mount]) -> dict[bytes, Mount]:
    """Return the mounts of a namespace that no later one lies upon, by their mount points."""
    return {mount.path: mount for mount in mounts}
