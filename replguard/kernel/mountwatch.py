"""Who mounts and unmounts, told by the kernel: fanotify on mount namespaces, since Linux 6.14."""

import ctypes
import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

from replguard.kernel import fanotify

REPORT_MNT, MARK_MNTNS = 0x4000, 0x110
ATTACH, DETACH = 0x0100_0000, 0x0200_0000
_INFO_MNT = 7
_EVENT = struct.Struct("=IBBHQii")
_INFO = struct.Struct("=BxH4xQ")
"""struct fanotify_event_info_mnt: type, length, the mount's unique id (include/uapi/linux/fanotify.h)."""
_UNIQUE = 0x4000
"""STATX_MNT_ID_UNIQUE, since 6.8 (include/uapi/linux/stat.h)."""
_MASK_AT, _MOUNT_AT = 0, 0x90
"""Offsets of stx_mask and stx_mnt_id in struct statx."""
_NO_FOLLOW, _AT_CWD = 0x100, -100
_libc = ctypes.CDLL(None, use_errno=True)


class Mounted(NamedTuple):
    """A mount that came (or went): the process that did it, and the mount's unique id.

    ``lost``: the kernel's queue was full, and nobody knows what else there was.
    """

    attached: bool
    pid: int
    mount: int
    lost: bool = False


class MountGroup:
    """Watches mount namespaces; by a kept descriptor, those that it watched before. Raises OSError, as every call."""

    def __init__(self, kept: int | None = None) -> None:
        self._group = fanotify.Group(REPORT_MNT, kept)

    def fileno(self) -> int:
        """Return its descriptor."""
        return self._group.fd

    def watch(self, namespace: str) -> None:
        """Watch a mount namespace by its file, such as ``/proc/self/ns/mnt``; twice is once."""
        descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._group.mark(descriptor, ATTACH | DETACH, MARK_MNTNS)
        finally:
            os.close(descriptor)

    def read(self) -> Iterator[Mounted]:
        """Yield what has happened, without waiting."""
        while data := self._group.read():
            yield from parse(data)

    def close(self) -> None:
        """End the watch."""
        self._group.close()


def parse(data: bytes) -> Iterator[Mounted]:
    """Yield the mounts of one read; what is cut or malformed ends it."""
    at = 0
    while len(data) - at >= _EVENT.size:
        length, _, _, begin, mask, _, pid = _EVENT.unpack_from(data, at)
        if length < _EVENT.size or at + length > len(data):
            return
        if mask & fanotify.OVERFLOW:
            yield Mounted(attached=False, pid=0, mount=0, lost=True)
        elif begin + _INFO.size <= length:
            kind, _, mount = _INFO.unpack_from(data, at + begin)
            if kind == _INFO_MNT:
                yield Mounted(bool(mask & ATTACH), pid, mount)
        at += length


def unique_id(path: bytes) -> int | None:
    """Return the unique id of the mount that a path lies on, None where the kernel tells none."""
    buffer = ctypes.create_string_buffer(256)
    call = getattr(_libc, "statx", None)
    if call is None:
        return None
    call.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p)
    if call(_AT_CWD, path, _NO_FOLLOW, _UNIQUE, buffer) != 0:
        return None
    told = struct.unpack_from("=I", buffer.raw, _MASK_AT)[0] & _UNIQUE
    return int(struct.unpack_from("=Q", buffer.raw, _MOUNT_AT)[0]) if told else None
