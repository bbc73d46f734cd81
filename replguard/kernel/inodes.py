"""Which inode a path means to the kernel's probes: the one place where ``stat`` and the kernel are made to agree.

``st_dev`` differs from the superblock's number on btrfs, where each subvolume has one of its own, and on overlay, whose
files are those of a layer below.
"""

# ruff: noqa: PTH115, PTH118 - paths are bytes here: names need not be text

import os
import re
from typing import NamedTuple

from replguard.kernel import procfs
from replguard.kernel.mounts import Mount, mounts
from replguard.kernel.procfs import PROC

_DEEP = 4
"""Overlays upon overlays that are followed; the kernel allows two."""
_INSIDE = re.compile(rb"/proc/(\d+)/root/")


class Inode(NamedTuple):
    """An inode as the kernel has it: the superblock's s_dev, its number, and the kind of its filesystem."""

    superblock: int
    number: int
    kind: str


def find(
    path: bytes, listed: list[Mount] | None = None, root: str = PROC, *, key: tuple[int, int] | None = None
) -> Inode | None:
    """Return the inode whose pages are read when a path is read, None if it is gone or its mount is not known.

    ``key`` are the device and inode that ``stat`` has to tell of it: a path that another namespace gave may lead to
    another file here. A path may begin with ``/proc/PID/root``, to lead into that namespace.
    """
    listed = mounts(root=root) or [] if listed is None else listed
    if (inside := _INSIDE.match(path)) is not None:
        listed = [*listed, *(mounts(int(inside[1]), root) or [])]
    checked = key is None
    for _ in range(_DEEP):
        looked = _look(path, listed)
        if looked is None:
            return None
        mount, status, within = looked
        checked = checked or key == (status.st_dev, status.st_ino)
        below = _below(mount, within, status)
        if below is None:
            return Inode(mount.superblock, status.st_ino, mount.kind) if checked and not mount.layers else None
        path = below
    return None


def _look(path: bytes, listed: list[Mount]) -> tuple[Mount, os.stat_result, bytes] | None:
    """Return the mount that a path lies on, what it is, and its path there; all of one and the same inode."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    try:
        number = _mount_id(descriptor)
        mount = next((one for one in listed if one.id == number), None)
        within = os.readlink(f"/proc/self/fd/{descriptor}".encode())
        return None if mount is None else (mount, os.fstat(descriptor), within)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def lies(path: bytes, status: os.stat_result, superblock: int, listed: list[Mount]) -> bool:
    """Tell whether what ``stat`` told of a path lies on the filesystem that a probe named, or on an overlay over it."""
    if _packed(status.st_dev) == superblock:
        return True
    looked = _look(path, listed)
    return looked is not None and (looked[0].superblock == superblock or bool(looked[0].layers))


def _packed(device: int) -> int:
    """Return the number of a device as the kernel has it: s_dev."""
    return os.major(device) << 20 | os.minor(device)


def _mount_id(descriptor: int) -> int | None:
    for line in (procfs.read(f"/proc/self/fdinfo/{descriptor}", 4096) or b"").split(b"\n"):
        if line.startswith(b"mnt_id:"):
            return int(line[7:])
    return None


def _below(mount: Mount, path: bytes, status: os.stat_result) -> bytes | None:
    """Return the path of an overlay's file in the layer that holds it; None where there is no layer below.

    The layers are named as whoever mounted it saw them: only what has the same size and times is that file.
    """
    inside = os.path.relpath(path, mount.path)
    if mount.root != "/":  # a part of the overlay that is bound elsewhere
        inside = os.path.join(os.fsencode(mount.root[1:]), inside)
    places = (os.path.join(layer, inside) for layer in mount.layers)
    return next((place for place in places if _alike(place, status)), None)


def _alike(path: bytes, status: os.stat_result) -> bool:
    try:
        found = os.lstat(path)
    except (OSError, ValueError):
        return False
    return (found.st_size, found.st_mtime_ns, found.st_ctime_ns) == (
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


class Name(NamedTuple):
    """Where a file is: ``path`` as who acts sees it, ``host`` as we do; the same but for containers."""

    path: bytes
    host: bytes


def name(superblock: int, inside: bytes, listed: list[Mount]) -> Name | None:
    """Return the name of what a probe told by its path inside its filesystem, None if no mount here shows it."""
    for mount in reversed(listed):  # later ones lie over earlier ones
        base = os.fsencode(mount.root).rstrip(b"/")
        if mount.superblock == superblock and (inside + b"/").startswith(base + b"/"):
            host = mount.path.rstrip(b"/") + inside[len(base) :] or b"/"
            return Name(_merged(host, listed), host)
    return None


def _merged(host: bytes, listed: list[Mount]) -> bytes:
    """Return the path in the overlay whose upper layer a path lies in, the path itself where there is none."""
    for mount in listed:
        for layer in mount.layers[:1]:
            if host.startswith(layer.rstrip(b"/") + b"/"):
                return mount.path.rstrip(b"/") + host[len(layer.rstrip(b"/")) :]
    return host
