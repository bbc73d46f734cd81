"""The root of the control groups (version 2): programs that see every process hang there.

It is opened where it is mounted, which is all that the service's filter of system calls lets through. Where it is
mounted nowhere, on old distributions, it is by a mount of our own that no folder shows. In a control group namespace it
is the root of that, unless the host's own mounts are known.
"""

import ctypes
import os

from replguard import hostroot
from replguard.kernel.mounts import mounts

_FSOPEN, _FSCONFIG, _FSMOUNT = 430, 431, 432
"""Numbers of the system calls, which are the same on every architecture (since 5.2)."""
_CREATE = 6
"""FSCONFIG_CMD_CREATE (include/uapi/linux/mount.h)."""
_CLOEXEC = 1
"""FSOPEN_CLOEXEC and FSMOUNT_CLOEXEC (the same)."""


def root() -> int:
    """Return a descriptor of the root; the caller closes it. Raises OSError."""
    for mount in mounts(hostroot.pid()) or []:
        if mount.kind == "cgroup2" and mount.root == "/":
            try:
                return os.open(hostroot.path(os.fsdecode(mount.path)), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except OSError:
                continue  # below another mount, or hidden
    return placeless()


def placeless() -> int:
    """Return a descriptor of a root that is mounted nowhere. Raises OSError, also without CAP_SYS_ADMIN."""
    context = _call(_FSOPEN, b"cgroup2", _CLOEXEC)
    try:
        _call(_FSCONFIG, context, _CREATE, None, None, 0)
        return _call(_FSMOUNT, context, _CLOEXEC, 0)
    finally:
        os.close(context)


def _call(number: int, *arguments: bytes | int | None) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    done = int(libc.syscall(ctypes.c_long(number), *arguments))
    if done < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return done
