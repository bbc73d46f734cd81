"""What ``/proc`` and ``/etc`` say of the whole machine: its ids, its processes, when it started."""

# ruff: noqa: PTH208 - pathlib costs more than the calls it wraps, and knows no bytes

import os

import psutil

from replguard import hostroot
from replguard.kernel.procfs import PROC, read, text

_IDS = ("/etc/machine-id", "/var/lib/dbus/machine-id")


def machine_id(paths: tuple[str, ...] | None = None) -> str:
    """Return the id of this installation, of the host's where we are in a container.

    Where there is none (many container images) the host's name stands in: entity ids must exist everywhere, and
    within one boot the boot id keeps them apart anyway.
    """
    for path in map(hostroot.path, _IDS) if paths is None else paths:
        found = text(read(path, 256) or b"").strip()
        if found and found != "uninitialized":
            return found
    return f"name:{os.uname().nodename}"


def boot_id(root: str = PROC) -> str:
    """Return the kernel's random id of this boot; empty if it tells none."""
    return text(read(f"{root}/sys/kernel/random/boot_id", 64) or b"").strip()


def pids(root: str = PROC) -> list[int]:
    """Return the ids of all processes that we may see, ascending."""
    if root == PROC:
        return psutil.pids()
    return sorted(int(name) for name in os.listdir(root) if name.isdigit())


def last_pid(root: str = PROC) -> int | None:
    """Return the last pid that was given out (also to threads) in our pid namespace.

    ``/proc/loadavg`` tells it in one read of 30 bytes, which is what makes looking for forks forty times a second
    affordable. lxcfs writes its own loadavg: callers must list from time to time all the same.
    """
    fields = (read(f"{root}/loadavg", 256) or b"").split()
    try:
        return int(fields[4])
    except (IndexError, ValueError):
        return None


def pid_max(root: str = PROC) -> int:
    """Return the pid at which numbers start again."""
    try:
        return int(read(f"{root}/sys/kernel/pid_max", 32) or b"32768")
    except ValueError:
        return 32768


def newest_first(found: list[int], last: int | None) -> list[int]:
    """Order pids by how lately they were given out, across the wrap of the counter."""
    if last is None:
        return sorted(found, reverse=True)
    return sorted((p for p in found if p <= last), reverse=True) + sorted((p for p in found if p > last), reverse=True)


def sysctl(name: str, root: str = PROC) -> int | None:
    """Return a number below ``/proc/sys``, such as ``fs/inotify/max_user_watches``."""
    try:
        return int(read(f"{root}/sys/{name}", 64) or b"")
    except ValueError:
        return None
