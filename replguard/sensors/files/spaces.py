"""Mount namespaces: which there are, through which process each is reached, and what is mounted in it.

What it cannot see: a namespace that no process is in any more, one that began and ended between two looks, and what is
mounted beyond the bounds below, which anyone may pass in a user namespace. That some was left out is said.
"""

# ruff: noqa: PTH116 - pathlib costs more than the calls it wraps

import fcntl
import os
import select
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from replguard.kernel import machine, procfs
from replguard.kernel.mounts import Mount, parsed
from replguard.kernel.procfs import PROC

MOST_OWN, MOST_MOUNTS, MOST_IN_ALL, MOST_SPACES = 32_768, 4096, 32_768, 1024
"""Mounts that are looked at in our own namespace, in another one, in all others together; and namespaces."""
_BYTES = 256
"""Of a table so many times the mounts are read: a longer one costs the kernel time to make."""
_CANDIDATES = 64
_NS_GET_USERNS = 0xB701
"""include/uapi/linux/nsfs.h"""


class Space(NamedTuple):
    """One namespace: its inode number, what leads to its root from ours (nothing for our own), and its mounts.

    ``trusted``: it is ours or belongs to our own user namespace, so that only root could mount what is in it.
    """

    id: int
    prefix: bytes
    mounts: list[Mount]
    trusted: bool = False


class Spaces:
    """Our own namespace, and those of other processes once ``look`` found them."""

    def __init__(self, root: str = PROC) -> None:
        self._root = root
        self.own = self._inode("self") or 0
        self.unknown = False
        """Whether a process was met whose namespace is not known yet, or one is gone that led to a namespace."""
        self.left_out: set[str] = set()
        """What was not looked at because there is too much of it."""
        self._of: dict[int, int | None] = {}
        self._tables: dict[int, tuple[int | str, bytes, Space]] = {}
        self._poll = select.poll()
        self._mountinfo = os.open(f"{root}/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        self._poll.register(self._mountinfo, select.POLLPRI)
        self._waited = os.open(f"{root}/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        self._read(self.own, "self", MOST_OWN)

    def close(self) -> None:
        """Let go of our own mount table; none of another namespace is ever held, which would keep it alive."""
        for descriptor in (self._mountinfo, self._waited):
            if descriptor >= 0:
                os.close(descriptor)
        self._mountinfo = self._waited = -1

    def fileno(self) -> int:
        """Return a descriptor to wait on for changes of our own mounts; being told of one uses it up, for it alone."""
        return self._waited

    def all(self) -> Iterator[Space]:
        """Yield the namespaces, our own first, then those that only root could make."""
        yield self._tables[self.own][2]
        others = [space for number, (_, _, space) in self._tables.items() if number != self.own]
        yield from sorted(others, key=lambda space: not space.trusted)

    def of(self, pid: int) -> int | None:
        """Return the namespace of a process, None for one that is gone; from memory until ``forget``."""
        if pid not in self._of:
            found = self._of[pid] = self._inode(pid)
            self.unknown = self.unknown or (found is not None and found not in self._tables)
        return self._of[pid]

    def forget(self) -> None:
        """Ask anew where processes are."""
        self._of.clear()

    def changed(self) -> bool:
        """Take in what changed in our own mount table since the last time; True if something did."""
        return bool(self._poll.poll(0)) and self._read(self.own, "self", MOST_OWN)

    def look(self) -> bool:
        """Look for namespaces that are new or gone, and at what is mounted in each; True if anything changed."""
        self.unknown = False
        inside: dict[int, list[int]] = {}
        for pid in sorted(machine.pids(self._root)):
            found = self._inode(pid)
            if found is not None and found != self.own:
                inside.setdefault(found, []).append(pid)
        gone = self._tables.keys() - inside.keys() - {self.own}
        for number in gone:
            del self._tables[number]
        self.left_out.clear()
        changed, room = bool(gone), MOST_IN_ALL
        for number, trusted in self._in_order(inside):
            way, most = self._way(number, inside[number]), min(room, MOST_MOUNTS)
            changed = self._read(number, way, most, trusted=trusted) or changed
            room -= len(self._tables[number][2].mounts) if number in self._tables else 0
        return changed

    def _in_order(self, inside: dict[int, list[int]]) -> list[tuple[int, bool]]:
        """Return which namespaces to look at and whether each is trusted; those that only root makes come first.

        Then those known already: whoever makes many new ones puts none out of sight.
        """
        trust = {number: self._trusted(number, pids[0]) for number, pids in inside.items()}
        found = sorted(trust, key=lambda number: (not trust[number], number not in self._tables))
        for number in found[MOST_SPACES:]:
            self.left_out.add(_MANY)
            self._tables.pop(number, None)
        return [(number, trust[number]) for number in found[:MOST_SPACES]]

    def _way(self, number: int, pids: list[int]) -> int:
        """Return through which process to reach a namespace: the one we knew, or else the one that began first.

        Short-lived helpers may have the lowest number, and with their end every path through them would.
        """
        known = self._tables.get(number)
        if known is not None and known[0] in pids:
            return int(known[0])
        return min(islice(pids, _CANDIDATES), key=self._began)

    def _began(self, pid: int) -> float:
        found = procfs.stat(pid, self._root)
        return found.start_ticks if found is not None else float("inf")

    def _trusted(self, number: int, pid: int) -> bool:
        """Tell whether a namespace belongs to our own user namespace (ioctl NS_GET_USERNS); it never changes."""
        if number in self._tables:
            return self._tables[number][2].trusted
        held = []
        try:
            held.append(os.open(f"{self._root}/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC))
            held.append(fcntl.ioctl(held[0], _NS_GET_USERNS))
            return os.fstat(held[0]).st_ino == number and os.path.samestat(
                os.fstat(held[1]), os.stat(f"{self._root}/self/ns/user")
            )
        except OSError:
            return False
        finally:
            for descriptor in held:
                os.close(descriptor)

    def _inode(self, pid: int | str) -> int | None:
        try:
            return os.stat(f"{self._root}/{pid}/ns/mnt").st_ino
        except OSError:
            return None

    def _read(self, number: int, pid: int | str, most: int, *, trusted: bool = True) -> bool:
        limit = most * _BYTES
        data = procfs.read(f"{self._root}/{pid}/mountinfo", limit)
        if data is None:
            return False
        if len(data) >= limit or data.count(b"\n") > most:
            self.left_out.add(_MOUNTS)
            data = data[:limit].rpartition(b"\n")[0]
        before = self._tables.get(number)
        if before is not None and before[:2] == (pid, data):
            return False
        prefix = b"" if number == self.own else os.fsencode(f"{self._root}/{pid}/root")
        self._tables[number] = (pid, data, Space(number, prefix, parsed(data, most), trusted))
        return True


_MANY = f"mount namespaces beyond {MOST_SPACES:,}"
_MOUNTS = f"mounts beyond {MOST_MOUNTS:,} in one namespace or {MOST_IN_ALL:,} in all"
