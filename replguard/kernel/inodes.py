"""Which inode a path means to the kernel's probes: the one place where ``stat`` and the kernel are made to agree.

``st_dev`` differs from the superblock's number on btrfs, where each subvolume has one of its own, and on overlay, whose
files are those of a layer below.
"""

# ruff: noqa: PTH115, PTH118 - paths are bytes here: names need not be text

import os
from typing import NamedTuple

from replguard.kernel import procfs
from replguard.kernel.mounts import Mount, mounts
from replguard.kernel.procfs import PROC

_DEEP = 4
"""Overlays upon overlays that are followed; the kernel allows two."""


class Inode(NamedTuple):
    """An inode as the kernel has it: the superblock's s_dev, its number, and the kind of its filesystem."""

    superblock: int
    number: int
    kind: str


def find(path: bytes, listed: list[Mount] | None = None, root: str = PROC) -> Inode | None:
    """Return the inode whose pages are read when a path is read, None if it is gone or its mount is not ours."""
    listed = mounts(root=root) or [] if listed is None else listed
    for _ in range(_DEEP):
        try:
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except (OSError, ValueError):
            return None
        try:
            number = os.fstat(descriptor).st_ino
            within = os.readlink(f"/proc/self/fd/{descriptor}".encode())
            mount = next((one for one in listed if one.id == _mount_id(descriptor)), None)
        except OSError:
            return None
        finally:
            os.close(descriptor)
        if mount is None:
            return None
        below = _below(mount, within)
        if below is None:
            return Inode(mount.superblock, number, mount.kind)
        path = below
    return None


def _mount_id(descriptor: int) -> int | None:
    for line in (procfs.read(f"/proc/self/fdinfo/{descriptor}", 4096) or b"").split(b"\n"):
        if line.startswith(b"mnt_id:"):
            return int(line[7:])
    return None


def _below(mount: Mount, path: bytes) -> bytes | None:
    """Return the path of an overlay's file in the layer that holds it; None where there is no layer below."""
    inside = os.path.relpath(path, mount.path)
    if mount.root != "/":  # a part of the overlay that is bound elsewhere
        inside = os.path.join(os.fsencode(mount.root[1:]), inside)
    places = (os.path.join(layer, inside) for layer in mount.layers)
    return next((place for place in places if os.path.lexists(place)), None)


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
