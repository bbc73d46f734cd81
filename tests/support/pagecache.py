"""What of a file lies in the page cache, by the kernel's word: cachestat(2) where there is one, and mincore(2)."""

import ctypes
import mmap
import os
from pathlib import Path

_CACHESTAT = 451
_libc = ctypes.CDLL(None, use_errno=True)


class _Range(ctypes.Structure):
    _fields_ = (("off", ctypes.c_uint64), ("len", ctypes.c_uint64))


class _Stat(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_uint64) for name in ("cached", "dirty", "writeback", "evicted", "recently_evicted")
    )


def forget(path: Path) -> None:
    """Write a file's pages out and drop them."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def cached(path: Path) -> int:
    """Return how many pages of a file are cached."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        told = _Stat()
        if _libc.syscall(_CACHESTAT, descriptor, ctypes.byref(_Range(0, 0)), ctypes.byref(told), 0) == 0:
            return int(told.cached)
    finally:
        os.close(descriptor)
    return sum(resident(path))


def resident(path: Path) -> list[bool]:
    """Return of each page of a file whether it is cached; nothing is read for that."""
    size = path.stat().st_size
    with path.open("r+b") as file, mmap.mmap(file.fileno(), size) as mapped:
        pages = -(-size // mmap.PAGESIZE)
        vector = (ctypes.c_ubyte * pages)()
        start = ctypes.addressof(ctypes.c_char.from_buffer(mapped))
        if _libc.mincore(ctypes.c_void_p(start), ctypes.c_size_t(size), vector) != 0:
            raise OSError(ctypes.get_errno(), "mincore")
        return [bool(page & 1) for page in vector]
