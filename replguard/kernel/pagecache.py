"""Which pages of a file are cached, so that reading it need not change that, mincore(2)."""

import ctypes
import mmap
import os
from itertools import groupby

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int64)
_libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
_libc.mincore.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p)
_PROT_NONE = 0
_FAILED = ctypes.c_void_p(-1).value


def absent(fd: int, offset: int, length: int) -> list[tuple[int, int]]:
    """Return the (offset, length) of the parts of a range that are not cached; none where the kernel does not tell.

    The range is mapped for that and never touched: no access is allowed to it, so none can fail.
    """
    start = offset // mmap.PAGESIZE * mmap.PAGESIZE
    pages = -(-(offset + length - start) // mmap.PAGESIZE)
    size = pages * mmap.PAGESIZE
    at = _libc.mmap(None, size, _PROT_NONE, mmap.MAP_SHARED, fd, start)
    if at in (None, _FAILED):
        return []
    vector = ctypes.create_string_buffer(pages)
    try:
        if _libc.mincore(at, size, vector) != 0:
            return []
    finally:
        _libc.munmap(at, size)
    found = []
    for cached, run in groupby(enumerate(vector.raw), key=lambda page: page[1] & 1):
        numbers = [number for number, _ in run]
        if not cached:
            found.append((start + numbers[0] * mmap.PAGESIZE, len(numbers) * mmap.PAGESIZE))
    return found


def drop(fd: int, parts: list[tuple[int, int]]) -> None:
    """Let go of parts of a file that were not cached before. Raises OSError."""
    for offset, length in parts:
        os.posix_fadvise(fd, offset, length, os.POSIX_FADV_DONTNEED)
