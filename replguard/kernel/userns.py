"""User namespaces: who answers for the users in one."""

import fcntl
import os
import struct

from replguard.kernel.procfs import PROC

_PARENT, _OWNER = 0xB702, 0xB704
"""ioctl_nsfs(2)"""
_DEEPEST = 33
"""The kernel nests no more than 32."""


def owner(pid: int, root: str = PROC) -> int | None:
    """Return the uid that made the user namespace of a process, right below ours; None in ours, or if not known.

    All the subordinate uids in it are that user's.
    """
    try:
        ours = os.stat(f"{PROC}/self/ns/user").st_ino  # noqa: PTH116 - pathlib costs more than the call
        at = os.open(f"{root}/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        found = None
        for _ in range(_DEEPEST):
            if os.fstat(at).st_ino == ours:
                return found
            found = struct.unpack("=I", fcntl.ioctl(at, _OWNER, bytes(4)))[0]
            above = fcntl.ioctl(at, _PARENT)
            os.close(at)
            at = above
    except OSError:
        pass  # it is no namespace, or none below ours
    finally:
        os.close(at)
    return None
