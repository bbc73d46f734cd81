"""Which device nodes lead to the bytes of a file around its name: the disks below its filesystem, and GPUs.

Partitions, device-mapper, md and loop devices are followed down to the disks. What it cannot know: a network's far
end, and a second node that somebody makes for the same disk (its making is told as an event).
"""

# ruff: noqa: PTH110, PTH112, PTH116, PTH119, PTH120, PTH207, PTH208 - pathlib costs more than what it wraps

import glob
import os
from collections.abc import Iterable, Iterator

from replguard.kernel.mounts import Mount, mounts
from replguard.kernel.procfs import read

GPUS = ("/dev/nvidia*", "/dev/dri/render*", "/dev/kfd", "/dev/accel/*")
_DEEPEST = 8


def nodes(device: int, sys: str = "/sys", listed: Iterable[Mount] | None = None) -> list[bytes]:
    """Return the nodes below /dev of the disks that hold a filesystem, by its st_dev; none for one in memory."""
    listed = list(mounts() or () if listed is None else listed)
    found: dict[str, None] = {}
    for name in _names(device, sys, listed):
        for below in _down(name, sys, listed, 0):
            found[below] = None
    return [os.fsencode(f"/dev/{name.replace('!', '/')}") for name in found]


def gpus(patterns: Iterable[str] = GPUS) -> list[bytes]:
    """Return the nodes of the GPUs and other accelerators."""
    return [os.fsencode(path) for pattern in patterns for path in glob.glob(pattern) if not os.path.isdir(path)]


def _names(device: int, sys: str, listed: list[Mount]) -> Iterator[str]:
    """Yield the kernel's names of a device; btrfs has a number of its own, and its disk in the table of mounts."""
    number = f"{os.major(device)}:{os.minor(device)}"
    link = f"{sys}/dev/block/{number}"
    if os.path.exists(link):
        yield os.path.basename(os.path.realpath(link))
        return
    for mount in listed:
        if mount.source.startswith("/dev/") and (mount.device == number or _numbered(mount, device)):
            try:
                node = os.stat(mount.source).st_rdev
            except OSError:
                continue
            real = os.path.realpath(f"{sys}/dev/block/{os.major(node)}:{os.minor(node)}")
            if os.path.exists(real):
                yield os.path.basename(real)


def _numbered(mount: Mount, device: int) -> bool:
    if mount.kind != "btrfs":
        return False
    try:
        return os.stat(mount.path).st_dev == device
    except OSError:
        return False


def _down(name: str, sys: str, listed: list[Mount], depth: int) -> Iterator[str]:
    """Yield a device and those that it is made of."""
    yield name
    if depth > _DEEPEST:
        return
    place = os.path.realpath(f"{sys}/class/block/{name}")
    if os.path.exists(f"{place}/partition"):
        yield from _down(os.path.basename(os.path.dirname(place)), sys, listed, depth + 1)
    if os.path.isdir(f"{place}/slaves"):
        for slave in sorted(os.listdir(f"{place}/slaves")):
            yield from _down(slave, sys, listed, depth + 1)
    backing = (read(f"{place}/loop/backing_file", 4096) or b"").rstrip(b"\n")
    if backing.startswith(b"/"):
        try:
            device = os.stat(backing).st_dev
        except OSError:
            return
        for lower in _names(device, sys, listed):
            yield from _down(lower, sys, listed, depth + 1)
