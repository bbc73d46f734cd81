"""Which mounts are watched for names, and why the others are not: for metrics, `status` and `doctor`.

What the kernel makes up itself (proc, sysfs and the like) holds no files and is left out. Of other mount namespaces
only filesystems count that ours does not show, each once.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from replguard.kernel.mounts import PSEUDO, Mount
from replguard.sensors.files.places import Root
from replguard.sensors.files.spaces import Space
from replguard.sensors.files.superblocks import Superblocks, above, below

WHY = {
    "remote": "its server may hang us: what is written there is told while it is sent, what other machines do is not",
    "below_remote": "it is mounted below a network or FUSE mount, which may hang us",
    "image": "an image that nobody can write to",
    "memory": "the kernel tells no names of this kind of filesystem",
    "overlay": "which folder it writes to is not known, or said by a user: that folder's filesystem tells instead",
    "refused": "the kernel takes no mark on it",
    "outside": "no folder of watch.paths lies there",
}
"""What each reason means. The reasons are labels of a metric: there must not be many."""
_IMAGES = frozenset("squashfs iso9660 erofs cramfs romfs".split())
_MADE_UP = PSEUDO | frozenset(["binder"])
_PORTABLE = "inotify watches no folder there"


class Verdict(NamedTuple):
    """One mount: its point, as its own namespace has it, kind, and why it is not watched (None: it is), in two ways."""

    path: bytes
    kind: str
    reason: str | None = None
    why: str | None = None
    own: bool = True

    @property
    def fstype(self) -> str:
        """The kind as a label: what a FUSE program calls itself is its own choice."""
        return "fuse" if self.kind.startswith("fuse.") else self.kind


class Verdicts:
    """``told`` is what was found last; another thread may read it. Of ``roots``, if any, alone it is told."""

    def __init__(self, roots: Iterable[Root] = ()) -> None:
        self.told: Sequence[Verdict] = ()
        self._roots = list(roots)

    def judge(self, spaces: Iterable[Space], superblocks: Superblocks) -> None:
        """Take in what the kernel tier watches; the first namespace is ours."""
        written = {(layer.seat.space, layer.seat.path) for s in superblocks.by_device.values() for layer in s.layers}
        told, known = [], set()
        for number, space in enumerate(spaces):
            mounted = {mount.path: mount for mount in space.mounts if mount.kind not in _MADE_UP}
            remote = {path for path, mount in mounted.items() if mount.remote}
            for path, mount in mounted.items():
                if number and mount.device in known:
                    continue
                known.add(mount.device)
                if mount.kind == "overlay":
                    reason = None if (space.id, path) in written else "overlay"
                else:
                    reason = _reason(mount, remote, superblocks)
                told.append(self._verdict(mount, reason, superblocks, own=not number))
        self.told = told

    def look(self, mounts: Iterable[Mount]) -> None:
        """Take in what the portable tier watches: what lies on our own mounts and in a folder of its choice."""
        visible = {mount.path: mount for mount in mounts if mount.kind not in _MADE_UP}
        told = []
        for path, mount in visible.items():
            reason = "remote" if mount.remote else None if self._inside(path, visible) else "outside"
            told.append(Verdict(path, mount.kind, reason, _PORTABLE if reason == "outside" else WHY.get(reason or "")))
        self.told = told

    def _verdict(self, mount: Mount, reason: str | None, superblocks: Superblocks, *, own: bool) -> Verdict:
        if reason is None and own and self._roots and not self._near(mount.path):
            reason = "outside"
        why = WHY.get(reason or "")
        known = superblocks.by_device.get(mount.device)
        if reason == "refused" and known is not None and known.refused:
            why = f"{why}: {known.refused}"
        return Verdict(mount.path, mount.kind, reason, why, own)

    def _near(self, path: bytes) -> bool:
        """Whether a folder that is told lies below a mount point or above it."""
        return any(
            below(root.path, path) is not None or (root.recursive and below(path, root.path) is not None)
            for root in self._roots
        )

    def _inside(self, path: bytes, visible: dict[bytes, Mount]) -> bool:
        """Whether a folder that is watched lies on a mount, or a mount in such a folder."""
        on = (next((up for up in above(root.path) if up in visible), None) for root in self._roots)
        return path in on or any(root.recursive and below(path, root.path) is not None for root in self._roots)


def _reason(mount: Mount, remote: set[bytes], superblocks: Superblocks) -> str | None:
    if mount.remote:
        return "remote"
    if mount.kind in _IMAGES:
        return "image"
    known = superblocks.by_device.get(mount.device)
    if known is not None:
        return None if known.refused is None else "refused"
    return "below_remote" if any(up in remote for up in above(mount.path)) else "memory"


def lying(told: Iterable[Verdict], paths: Iterable[str]) -> Counter[tuple[str, str]]:
    """Count files by (kind, reason) of the mounts that are not watched, those of ours alone; from 0."""
    ours = {each.path: each for each in told if each.own}
    found: Counter[tuple[str, str]] = Counter()
    for each in ours.values():
        if each.reason is not None:
            found[each.fstype, each.reason] = 0

    @lru_cache
    def over(folder: bytes) -> Verdict | None:
        return next((ours[up] for up in above(folder) if up in ours), None)

    for path in paths:
        verdict = over(os.path.dirname(os.fsencode(path)))  # noqa: PTH120 - the text decides, nothing is looked up
        if verdict is not None and verdict.reason is not None:
            found[verdict.fstype, verdict.reason] += 1
    return found


def unwatched(told: Iterable[Verdict]) -> Iterator[Verdict]:
    """Yield those that are not watched and that somebody can write to, ours first."""
    left = [each for each in told if each.reason not in (None, "image")]
    yield from sorted(left, key=lambda each: (not each.own, each.path))
