"""The queues of fanotify that the sensor of names reads: begun anew, or gone on with where they were kept meanwhile."""

import os
from collections.abc import Mapping
from datetime import datetime

from replguard.kernel import fanotify, keep
from replguard.kernel.beat import Beat
from replguard.kernel.keep import KEPT
from replguard.sensors.files.memory import Memory
from replguard.sensors.files.mounted import begin
from replguard.sensors.files.opens import Opens

NAMES, OPENS, MEMORY, BEAT = "names", "opens", "memory", "beat"
UNLIKE = "what was kept are other descriptors than their names say"


class Queues:
    """One group each for names, opens and memory, and when they were read last (``since``; None: they begin now).

    ``marked`` are the filesystems that were watched meanwhile. Raises Unavailable where there is no group for names.
    """

    def __init__(self, owner: str, opens: Opens, memory: Memory, *, older: bool) -> None:
        self._owner, self._form = owner, f"fanotify {older}"
        self._opens, self._memory = opens, memory
        kept = self._kept(older=older)
        self.group, self.mask = begin(older=older, kept=kept.get(NAMES))
        self.marked = self.group.marked() if kept else set()
        self._beat = Beat(kept.get(BEAT))
        self.since: datetime | None = self._beat.last() if kept else None
        opens.start(kept.get(OPENS))
        memory.start(named=not older, kept=kept.get(MEMORY))
        self.went_on = bool(kept)

    def _kept(self, *, older: bool) -> dict[str, int]:
        """Return the descriptors that were kept, each of its kind, or none."""
        parts = KEPT.adopt(self._owner, self._form)
        alike = {
            NAMES: {fanotify.NAMES if older else fanotify.NAMES_AND_TARGETS},
            OPENS: {fanotify.REPORT_FID},
            MEMORY: {fanotify.NAMES, 0},
        }
        if parts and not _fit(parts, alike):
            for descriptor in parts.values():
                os.close(descriptor)
            KEPT.refuse(self._owner, UNLIKE)
            return {}
        return parts

    def keep(self) -> None:
        """Have the service manager keep them, unless it does."""
        if self.went_on:
            KEPT.adopted.add(self._owner)
            return
        found = {NAMES: self.group.fd, OPENS: self._opens.fileno(), MEMORY: self._memory.fileno()}
        found[BEAT] = self._beat.descriptor
        KEPT.keep(self._owner, self._form, {part: fd for part, fd in found.items() if fd >= 0})

    def read(self) -> None:
        """Note that all was read up to now."""
        self._beat.set()

    def close(self) -> None:
        """Let go of all of them."""
        self._opens.stop()
        self._memory.stop()
        self.group.close()
        self._beat.close()


def _fit(parts: Mapping[str, int], alike: Mapping[str, set[int]]) -> bool:
    if not {NAMES, BEAT} <= parts.keys() or keep.kind(parts[BEAT]) != "counter":
        return False
    groups = [(part, descriptor) for part, descriptor in parts.items() if part != BEAT]
    return all(part in alike and fanotify.reports(descriptor) in alike[part] for part, descriptor in groups)
