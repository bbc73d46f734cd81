"""What leads to the root of the host where ours is a container's: nothing on the host itself.

What the kernel tells is the host's anyway, and files of other mount namespaces are reached through their processes.
This is for the few files of the host that are read by name: users, machine id, crontabs, what engines keep.
"""

import ctypes
import os
import re

_NEW_CGROUP = 0x02000000
"""CLONE_NEWCGROUP (include/uapi/linux/sched.h)."""
_PROCESS = re.compile(r"/proc/(\d+)/root")


class Host:
    """``root`` is set once, when the configuration is read."""

    root = ""


def use(root: str) -> None:
    """Take a way to the host's root; '' for our own. Called before there are other threads.

    The kernel tells control groups as seen from the reader's namespace of them: in a container all others would begin
    with ``/../..``, and nothing would say which they are. So we enter the host's.
    """
    Host.root = root.rstrip("/")
    if _PROCESS.fullmatch(Host.root) is not None:
        _enter(f"{Host.root.removesuffix('/root')}/ns/cgroup")


def _enter(namespace: str) -> None:
    """Enter a namespace of control groups; where that is not allowed we stay where we are."""
    try:
        descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return
    ctypes.CDLL(None).setns(descriptor, _NEW_CGROUP)
    os.close(descriptor)


def path(name: str) -> str:
    """Return our way to a file of the host, by its whole path there."""
    return Host.root + name


def pid() -> str:
    """Return the process whose mount namespace is the host's: 'self' on the host."""
    found = _PROCESS.fullmatch(Host.root)
    return found[1] if found is not None else "self"
