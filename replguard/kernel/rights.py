"""What this process may do, and giving it up for good."""

import contextlib
import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path

DAC_OVERRIDE, DAC_READ_SEARCH, SYS_PTRACE, SYS_ADMIN = 1, 2, 19, 21
"""Capabilities (include/uapi/linux/capability.h)."""
_SET_NO_NEW_PRIVS, _CAPBSET_DROP, _SET_DUMPABLE = 38, 24, 4
"""Of prctl(2)."""
_VERSION_3 = 0x20080522
_LAST_CAP = "/proc/sys/kernel/cap_last_cap"


def keep(*capabilities: int) -> None:
    """Keep these capabilities of those that we have, and give up all others, for us and whatever we start.

    Raises OSError. Where nothing can be given up nothing is: whoever is not root has none.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    _call(libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    effective, permitted, inheritable = _held(libc)
    for each in range(_last() + 1):
        if each not in capabilities:
            with contextlib.suppress(OSError):  # needs CAP_SETPCAP, and bounds only what no_new_privs bounds already
                _call(libc.prctl(_CAPBSET_DROP, each, 0, 0, 0))
    kept = sum(1 << each for each in capabilities)
    now = effective & kept, permitted & kept
    if (effective, permitted, inheritable) != (*now, 0):  # where nothing is held the call may be refused as well
        _set(libc, *now)


def to_write(paths: Iterable[str | Path]) -> tuple[int, ...]:
    """Return the capability that root needs to make and write these where a folder is another user's; else none."""
    for path in paths:
        there = next((each for each in (Path(path), *Path(path).absolute().parents) if each.exists()), Path("/"))
        if os.geteuid() == 0 and there.stat().st_uid != 0:
            return (DAC_OVERRIDE,)
    return ()


def undumpable() -> None:
    """Let nobody but who may read everything look into our memory, nor write it to a file when we crash."""
    _call(ctypes.CDLL(None, use_errno=True).prctl(_SET_DUMPABLE, 0, 0, 0, 0))


def _held(libc: ctypes.CDLL) -> tuple[int, int, int]:
    data = ctypes.create_string_buffer(24)
    _call(libc.capget(struct.pack("=Ii", _VERSION_3, 0), data))
    low = struct.unpack("=6I", data.raw)
    effective, permitted, inheritable = (low[at] | low[at + 3] << 32 for at in range(3))
    return effective, permitted, inheritable


def _set(libc: ctypes.CDLL, effective: int, permitted: int) -> None:
    parts = (effective, permitted, 0)
    words = [part & 0xFFFFFFFF for part in parts] + [part >> 32 for part in parts]
    _call(libc.capset(struct.pack("=Ii", _VERSION_3, 0), struct.pack("=6I", *words)))


def _last() -> int:
    try:
        return int(Path(_LAST_CAP).read_bytes())
    except (OSError, ValueError):
        return 40


def _call(result: int) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
