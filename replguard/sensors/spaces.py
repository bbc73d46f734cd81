"""Mount namespaces: which there are, through which process each is reached, and what is mounted in it.

What it cannot see: a namespace that no process is in any more, and one that began and ended between two looks.
"""

# ruff: noqa: PTH116 - pathlib costs more than the calls it wraps

import os
import select
from collections.abc import Iterator
from typing import NamedTuple

from replguard.kernel import machine, procfs
from replguard.kernel.mounts import Mount, mounts
from replguard.kernel.procfs import PROC

_LIMIT = 1 << 23


class Space(NamedTuple):
    """One namespace: its inode number, what leads to its root from ours (nothing for our own), and its mounts."""

    id: int
    prefix: bytes
    mounts: list[Mount]


class Spaces:
    """Our own namespace, and those of other processes once ``look`` found them."""

    def __init__(self, root: str = PROC) -> None:
        self._root = root
        self.own = self._inode("self") or 0
        self.unknown = False
        """Whether a process was met whose namespace is not known yet."""
        self._of: dict[int, int | None] = {}
        self._tables: dict[int, tuple[int | str, bytes, Space]] = {}
        self._poll = select.poll()
        self._mountinfo = os.open(f"{root}/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        self._poll.register(self._mountinfo, select.POLLPRI)
        self._waited = os.open(f"{root}/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        self._read(self.own, "self")

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
        """Yield the namespaces, our own first."""
        yield self._tables[self.own][2]
        for number, (_, _, space) in self._tables.items():
            if number != self.own:
                yield space

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
        return bool(self._poll.poll(0)) and self._read(self.own, "self")

    def look(self) -> bool:
        """Look for namespaces that are new or gone, and at what is mounted in each; True if anything changed."""
        self.unknown = False
        reached: dict[int, int] = {}
        for pid in sorted(machine.pids(self._root)):
            found = self._inode(pid)
            if found is not None:
                reached.setdefault(found, pid)
        gone = self._tables.keys() - reached.keys() - {self.own}
        for number in gone:
            del self._tables[number]
        changed = bool(gone)
        for number, pid in reached.items():
            if number != self.own:
                changed = self._read(number, pid) or changed
        return changed

    def _inode(self, pid: int | str) -> int | None:
        try:
            return os.stat(f"{self._root}/{pid}/ns/mnt").st_ino
        except OSError:
            return None

    def _read(self, number: int, pid: int | str) -> bool:
        data = procfs.read(f"{self._root}/{pid}/mountinfo", _LIMIT)
        before = self._tables.get(number)
        if data is None or (before is not None and before[:2] == (pid, data)):
            return False
        prefix = b"" if number == self.own else os.fsencode(f"{self._root}/{pid}/root")
        self._tables[number] = (pid, data, Space(number, prefix, mounts(pid, self._root) or []))
        return True
