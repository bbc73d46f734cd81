"""Finds the process that holds a file or socket, within a budget of CPU time, and describes it.

Cannot find one that has closed the file by the time of the look, and, without root, one of another user.
"""

# ruff: noqa: PTH116 - pathlib costs more than the calls it wraps, and knows no bytes

import os
import stat
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator

from replguard.events import clock
from replguard.events.process import Process, spare
from replguard.kernel import handles, machine, own, procfs
from replguard.kernel.procfs import PROC
from replguard.sensors.processes.describe import Describer

SHARE = 0.05
"""Seconds of looking per second, on average: an unpacked archive of 50,000 files must cost little."""
BURST = 0.3
"""Seconds of looking that may be saved up."""
RESERVE = 0.1
"""Seconds that are kept for what matters: large files, watched files, places of persistence."""
LONGEST = 0.025
"""Seconds that one look may take: on a host with very many processes the newest are searched."""
_DESCRIBED = 512
_WARM = 4


class Who:
    """Answers who holds something. One for each sensor: it is not shared between threads."""

    def __init__(self, root: str = PROC) -> None:
        self.describer = Describer(root)
        self._root = root
        self._budget = BURST
        self._refilled = clock.monotonic()
        self._warm: deque[int] = deque(maxlen=_WARM)
        self._described: OrderedDict[str, Process] = OrderedDict()

    def writer(self, device: int, inode: int, name: bytes, *, urgent: bool = False) -> Process | None:
        """Return a process that has the file open for writing."""
        for pid, _, writable in self._look(device, inode, name, urgent=urgent):
            if writable:
                self._remember(pid)
                return self.process(pid)
        return None

    def readers(self, device: int, inode: int, name: bytes | None = None) -> list[Process]:
        """Return the processes that have the file open for reading; never our own."""
        found = [pid for pid, readable, _ in self._look(device, inode, name, urgent=True) if readable]
        known = (self.process(pid) for pid in found if not self.ours(pid))
        return [process for process in known if process is not None]

    def sockets(self, inodes: set[int], *, all_holders: bool = False) -> dict[int, list[int]]:
        """Return the processes that hold each of these sockets, or the first found; all are searched in one pass."""
        began, missing = clock.monotonic(), set(inodes)
        found: dict[int, list[int]] = {}
        if not missing or not self._affordable(began, urgent=True):
            return found
        for inode, pid in handles.socket_owners(missing, _until(self.order(), began + LONGEST * 4), self._root):
            if pid not in found.setdefault(inode, []):
                found[inode].append(pid)
                self._remember(pid)
            if not all_holders and len(found) == len(missing):
                break
        self._budget -= clock.monotonic() - began
        return found

    def process(self, pid: int) -> Process | None:
        """Return all that is known of a process, from memory where it was described in the last while."""
        now = procfs.stat(pid, self._root)
        if now is None:
            return None
        key = f"{pid}/{now.start_ticks}/{now.image}/{now.comm}"
        known = self._described.get(key)
        if known is None:
            known = self.describer.describe(pid, now)
            if known is None:
                return None
            known = self._described[key] = spare(known)
            while len(self._described) > _DESCRIBED:
                self._described.popitem(last=False)
        return known

    def held(
        self, pid: int, inode: int, lies: Callable[[bytes, os.stat_result], bool]
    ) -> tuple[bytes, bytes, os.stat_result] | None:
        """Return name, magic link and status of the regular file with this inode number that a process has open.

        ``lies`` tells whether one lies on the filesystem that is meant: other filesystems have the same numbers.
        """
        for fd in handles.fds(pid, self._root):
            try:
                found = os.stat(fd.path)
            except OSError:
                continue
            if found.st_ino == inode and stat.S_ISREG(found.st_mode) and lies(fd.path, found):
                return fd.target.removesuffix(b" (deleted)"), fd.path, found
        return None

    def ours(self, pid: int) -> bool:
        """Tell whether a process is this daemon. Its children, such as the examiner, are provenance's to leave out."""
        return pid in own.pids

    def order(self) -> list[int]:
        """Return all pids, likely ones first: those that were found before, then the newest."""
        pids = machine.newest_first(machine.pids(self._root), machine.last_pid(self._root))
        present = set(pids)
        warm = [pid for pid in self._warm if pid in present]
        return warm + [pid for pid in pids if pid not in warm]

    def _look(self, device: int, inode: int, name: bytes | None, *, urgent: bool) -> Iterator[tuple[int, bool, bool]]:
        began = clock.monotonic()
        if not self._affordable(began, urgent=urgent):
            return
        try:
            pids = _until(self.order(), began + LONGEST)
            yield from handles.open_holders(device, inode, pids, name=name, root=self._root)
        finally:
            self._budget -= clock.monotonic() - began

    def _affordable(self, now: float, *, urgent: bool) -> bool:
        self._budget = min(BURST, self._budget + (now - self._refilled) * SHARE)
        self._refilled = now
        return self._budget > (0.0 if urgent else RESERVE)

    def _remember(self, pid: int) -> None:
        if pid in self._warm:
            self._warm.remove(pid)
        self._warm.appendleft(pid)


def _until(pids: Iterable[int], deadline: float) -> Iterator[int]:
    for pid in pids:
        if clock.monotonic() > deadline:
            return
        yield pid
