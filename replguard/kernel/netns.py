"""Network namespaces: which there are, and asking from inside one. A container's sockets are seen only from inside."""

# ruff: noqa: PTH116 - pathlib costs more than the calls it wraps, and knows no bytes

import contextlib
import ctypes
import os
from collections.abc import Iterable, Iterator

from replguard.kernel.procfs import PROC

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def namespace(pid: int | str = "self", root: str = PROC) -> int | None:
    """Return the inode number that names the network namespace of a process; None if we may not look."""
    try:
        return os.stat(f"{root}/{pid}/ns/net").st_ino
    except OSError:
        return None


def others(pids: Iterable[int], root: str = PROC) -> dict[int, int]:
    """Return one pid for each network namespace besides ours."""
    ours, found = namespace("self", root), dict[int, int]()
    for pid in pids:
        space = namespace(pid, root)
        if space is not None and space != ours:
            found.setdefault(space, pid)
    return found


@contextlib.contextmanager
def inside(pid: int, root: str = PROC) -> Iterator[None]:
    """Be in the network namespace of a process, with this thread only: sockets made here stay there.

    Needs CAP_SYS_ADMIN. Raises OSError.
    """
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        there = os.open(f"{root}/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter(there)
        finally:
            os.close(there)
        try:
            yield
        finally:
            _enter(home)
    finally:
        os.close(home)


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
