"""Which filesystems are watched for names: all that hold files, wherever they are mounted.

Each filesystem has one mark, however often it is mounted. An overlay cannot be marked: what is written through it
appears on the filesystem of its upper folder, so it is a layer of that one. Not watched, and said so: filesystems that
refuse the mark, and those served over a network or by FUSE, whose server may hang us.
"""

# ruff: noqa: PTH112 - paths are bytes here: names need not be text

import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from replguard.kernel import fanotify
from replguard.kernel.fanotify import Group
from replguard.kernel.mounts import PSEUDO, Mount
from replguard.kernel.procfs import text
from replguard.sensors.spaces import Space

_SKIPPED = PSEUDO | frozenset("overlay squashfs iso9660 erofs cramfs romfs ramfs tracefs binder".split())
_MOST_TRIES = 8
"""Mount points of one filesystem that are tried."""
_BTRFS_ROOT = struct.pack("=QQI", 256, 5, 0)
"""BTRFS_FIRST_FREE_OBJECTID in BTRFS_FS_TREE_OBJECTID, of any generation: the folder above all subvolumes."""
_BTRFS_HANDLE = 0x4D


class Seat(NamedTuple):
    """Where a filesystem is mounted: in which namespace, what leads there from us, the point, and the part shown."""

    space: int
    prefix: bytes
    path: bytes
    top: bytes


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
    alone: bool = False
    """Whether it is seen the same way by everybody: in our namespace only, and with no overlay upon it."""

    @property
    def name(self) -> str:
        """What to call it: its first mount point."""
        return text(self.seats[0].path)


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
        spaces = list(spaces)
        found: dict[str, Superblock] = {}
        self.remote = set()
        for space in spaces:
            for mount in _visible(space.mounts):
                if mount.remote:
                    self.remote.add(f"{text(mount.path)} ({mount.kind})")
                elif mount.kind not in _SKIPPED:
                    known = found.setdefault(mount.device, Superblock(mount.device, mount.kind))
                    known.seats.append(Seat(space.id, space.prefix, mount.path, mount.top))
        before, self.by_device = self.by_device, found
        for superblock in found.values():
            superblock.seats.sort(key=lambda seat: (bool(seat.prefix), seat.top != b"/"))
            self._mark(superblock)
        for space in spaces:
            self._overlays(space, spaces)
        self.by_fsid = {}
        for superblock in found.values():
            superblock.alone = not superblock.layers and not any(seat.prefix for seat in superblock.seats)
            if superblock.refused is None:
                self.by_fsid.setdefault(superblock.fsid, []).append(superblock)
        old = {(known.device, known.fsid) for known in before.values() if known.refused is None}
        return [s for s in found.values() if s.refused is None and (s.device, s.fsid) not in old]

    def refused(self) -> list[str]:
        """Return a few words on each filesystem that is not watched."""
        told = [f"{s.name} ({s.kind}: {s.refused})" for s in self.by_device.values() if s.refused is not None]
        return told + sorted(self.remote)

    def watches_root(self, own: Space) -> bool:
        """Tell whether what lies at our own ``/`` is watched, itself or by the upper folder of an overlay."""
        held = [s for s in self.by_device.values() if s.refused is None]
        seats = [seat for s in held for seat in (*s.seats, *(layer.seat for layer in s.layers))]
        return any(seat.space == own.id and seat.path == b"/" for seat in seats)

    def _mark(self, superblock: Superblock) -> None:
        reason = "its mount points cannot be reached"
        for seat in superblock.seats[:_MOST_TRIES]:
            try:
                descriptor = os.open(seat.prefix + seat.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError as error:
                reason = os.strerror(error.errno or 0)
                continue
            try:
                reason = self._mark_at(descriptor, superblock) or ""
            except OSError as error:
                reason = os.strerror(error.errno or 0)
            finally:
                os.close(descriptor)
            if not reason:
                return
        superblock.refused = reason

    def _mark_at(self, descriptor: int, superblock: Superblock) -> str | None:
        """Mark the filesystem that a descriptor lies on; btrfs takes the mark only above its subvolumes."""
        if superblock.kind == "btrfs":
            above = fanotify.handle(bytes(8), _BTRFS_HANDLE, _BTRFS_ROOT)
            top = fanotify.opened(descriptor, above, os.O_RDONLY | os.O_DIRECTORY)
            try:
                self._group.mark(top, self._mask, fanotify.FILESYSTEM)
                superblock.fsid = fanotify.filesystem_id(top)
            finally:
                os.close(top)
            return None
        device = os.fstat(descriptor).st_dev
        if superblock.device != f"{os.major(device)}:{os.minor(device)}":
            return "another filesystem lies over it"
        self._group.mark(descriptor, self._mask, fanotify.FILESYSTEM)
        superblock.fsid = fanotify.filesystem_id(descriptor)
        return None

    def _overlays(self, space: Space, spaces: list[Space]) -> None:
        """Find where the overlays of a namespace write. Their folders are named as whoever mounted them saw them."""
        for mount in _visible(space.mounts):
            upper = mount.option(b"upperdir") if mount.kind == "overlay" else None
            if not upper:
                continue
            work = mount.option(b"workdir")
            for seen_from in (spaces[0], space):
                if not os.path.isdir(seen_from.prefix + upper):
                    continue
                on, top = self._lies(upper, seen_from)
                if on is not None:
                    seat = Seat(space.id, space.prefix, mount.path, mount.top)
                    on.layers.append(Layer(top, self._lies(work, seen_from)[1] if work else None, seat))
                    break

    def _lies(self, path: bytes, space: Space) -> tuple[Superblock | None, bytes]:
        """Return on which filesystem a path lies, and where there."""
        real = path if space.prefix else os.path.realpath(path)
        holding = [mount for mount in _visible(space.mounts) if below(real, mount.path) is not None]
        if not holding:
            return None, b""
        mount = max(holding, key=lambda mount: len(mount.path))
        return self.by_device.get(mount.device), join(mount.top, below(real, mount.path) or b"")


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


def _visible(mounts: list[Mount]) -> Iterator[Mount]:
    """Yield the mounts of a namespace that no later one lies upon."""
    yield from {mount.path: mount for mount in mounts}.values()
