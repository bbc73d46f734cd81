"""Which processes hold a file, a mapping or a socket: ``/proc/PID/fd`` and ``/proc/PID/maps``.

psutil's ``open_files`` reads position and flags of every regular file by path; to find one inode among all processes
that is ten times the work, and it cannot tell two files of one name apart.
"""

# ruff: noqa: PTH115, PTH116, PTH208 - pathlib costs more than the calls it wraps, and knows no bytes

import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from replguard.kernel.procfs import PROC, read

_MAPS_LIMIT = 16 * 2**20
"""Bytes of maps that are read for one process: about 150,000 mappings."""


class Fd(NamedTuple):
    """One descriptor: what it points at, and how it was opened."""

    number: int
    target: bytes
    path: bytes


class Mapped(NamedTuple):
    """One mapped file. ``device`` is the kernel's own; on btrfs and overlay it is not st_dev."""

    device: int
    inode: int
    path: bytes
    writable: bool


def fds(pid: int, root: str = PROC) -> Iterator[Fd]:
    """Yield the descriptors of a process; none for one that is gone or not ours to see."""
    folder = os.fsencode(f"{root}/{pid}/fd")
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        path = folder + b"/" + name
        try:
            yield Fd(int(name), os.readlink(path), path)
        except (OSError, ValueError):
            continue


def mode(fd: Fd) -> tuple[bool, bool]:
    """Return (readable, writable): the kernel shows a descriptor's mode as the permissions of its link."""
    try:
        bits = os.lstat(fd.path).st_mode
    except OSError:
        return False, False
    return bool(bits & 0o400), bool(bits & 0o200)


def key(path: bytes) -> tuple[int, int] | None:
    """Return device and inode of what a path leads to."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def open_holders(
    device: int, inode: int, pids: Iterable[int], *, name: bytes | None = None, root: str = PROC
) -> Iterator[tuple[int, bool, bool]]:
    """Yield (pid, readable, writable) of each process that has the inode open; lazily, so the caller may stop.

    With ``name`` only descriptors whose path ends in it are looked at: a stat of a stranger's file on a dead network
    mount would hang. One that was made nameless (O_TMPFILE) shows its inode as its name, also after it was linked.
    Both sides go through stat, so overlay and btrfs device numbers agree.
    """
    unnamed = b"#%d" % inode
    for pid in pids:
        readable = writable = False
        for fd in fds(pid, root):
            if not fd.target.startswith(b"/") or (name is not None and not _named(fd.target, name, unnamed)):
                continue
            if key(fd.path) == (device, inode):
                may_read, may_write = mode(fd)
                readable, writable = readable or may_read, writable or may_write
        if readable or writable:
            yield pid, readable, writable


def _named(target: bytes, *names: bytes) -> bool:
    return target.removesuffix(b" (deleted)").rpartition(b"/")[2] in names or target.endswith(b"/" + names[0])


def maps(pid: int, root: str = PROC) -> dict[tuple[int, int], Mapped]:
    """Return the files that a process has mapped, by (device, inode)."""
    found: dict[tuple[int, int], Mapped] = {}
    for line in (read(f"{root}/{pid}/maps", _MAPS_LIMIT) or b"").split(b"\n"):
        fields = line.split(None, 5)
        if len(fields) < 6 or fields[4] == b"0":
            continue
        major, _, minor = fields[3].partition(b":")
        try:
            key = (os.makedev(int(major, 16), int(minor, 16)), int(fields[4]))
        except (ValueError, OverflowError):
            continue
        writable = b"w" in fields[1] and b"s" in fields[1]
        if key not in found or writable:
            found[key] = Mapped(*key, fields[5], writable)
    return found


def socket_owners(inodes: set[int], pids: Iterable[int], root: str = PROC) -> Iterator[tuple[int, int]]:
    """Yield (inode, pid) for each process that holds one of these sockets."""
    wanted = {b"socket:[%d]" % inode: inode for inode in inodes}
    for pid in pids:
        for fd in fds(pid, root):
            if fd.target in wanted:
                yield wanted[fd.target], pid
