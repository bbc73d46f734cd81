"""Which processes hold the device node of a GPU open: those known, young or named each time, all others now and then.

What it cannot see: a node that somebody made under another name than those of the drivers.
"""

import os
from collections import deque

from replguard.kernel import handles, machine
from replguard.kernel.nvml import NODES
from replguard.kernel.procfs import PROC

NVIDIA = NODES
DRM = (b"/dev/dri/", b"/dev/accel/")
EVERY = 4
"""Looks between searches of all processes."""
YOUNG = 30
"""Looks for which a process counts as young: a server opens its device while it starts."""
_MOST_NAMED = 1024


class Nodes:
    """The holders. ``named`` may be called from another thread."""

    def __init__(self, root: str = PROC) -> None:
        self.held: dict[int, frozenset[bytes]] = {}
        self._root = root
        self._looks = 0
        self._met: dict[int, int] = {}
        self._named: deque[int] = deque(maxlen=_MOST_NAMED)

    def name(self, pid: int) -> None:
        """Have a process looked at next time: it was seen to open a device."""
        self._named.append(pid)

    def look(self) -> dict[int, frozenset[bytes]]:
        """Return the nodes that each process holds by their paths; ours are not among them."""
        present = machine.pids(self._root)
        everyone = self._looks % EVERY == 0
        named = {self._named.popleft() for _ in range(len(self._named))}
        self._met = {pid: self._met.get(pid, self._looks) for pid in present}
        held: dict[int, frozenset[bytes]] = {}
        for pid in present:
            near = pid in self.held or pid in named or self._looks - self._met[pid] < YOUNG
            if pid != os.getpid() and (everyone or near) and (nodes := self._of(pid)):
                held[pid] = nodes
        self._looks += 1
        self.held = held
        return held

    def _of(self, pid: int) -> frozenset[bytes]:
        targets = (fd.target for fd in handles.fds(pid, self._root))
        return frozenset(target for target in targets if target.startswith((NVIDIA, *DRM)))
