"""Which processes are the daemon's own: what they do is never told."""

import contextlib
import os
from pathlib import Path

from replguard import wholefile
from replguard.events import clock
from replguard.kernel import machine, procfs
from replguard.kernel.procfs import PROC

_EXAMINER = b"replguard.weights.worker"
_FOR = 5.0
"""Seconds that an answer holds: a pid may go to another process."""
_MOST = 8192
FILE = "processes"
"""Where the pids of a run stand in ``state_dir``: what the kernel kept tells its successor of its last acts."""
LAST = 60.0
"""Seconds after a start in which it may: by then all that the kernel kept was read."""
_before: dict[int, float] = {}
"""Pids of the run before, and until when they count."""


class Roll:
    """Learns which processes the run before had, and keeps those of this run for the next."""

    def __init__(self, state_dir: Path) -> None:
        self._path, self._boot = state_dir / FILE, (machine.boot_id() or "unknown").encode()
        self._noted: set[int] = set()
        _before.clear()
        with contextlib.suppress(OSError, ValueError):
            boot, *words = self._path.read_bytes()[:256].split()
            if boot == self._boot:  # after a reboot they are anybody's
                _before.update((int(word), clock.monotonic() + LAST) for word in words if word.isdigit())

    def note(self, examiner: int | None) -> None:
        """Keep our pid and the examiner's, where they are others than before."""
        pids = {os.getpid()} | ({examiner} if examiner is not None else set())
        if pids != self._noted:
            self._noted = pids
            with contextlib.suppress(OSError):
                wholefile.write(self._path, b" ".join([self._boot, *(b"%d" % pid for pid in sorted(pids))]) + b"\n")


class Ours:
    """Knows the daemon and its examiner, which is a child of ours that runs its program; any other child is not.

    Those of the run before are ours as long as nobody else has their pids.
    """

    def __init__(self, root: str = PROC) -> None:
        self._root, self._pid = root, os.getpid()
        self._known: dict[int, tuple[float, bool]] = {}

    def __call__(self, pid: int) -> bool:
        """Tell whether a process is ours."""
        now = clock.monotonic()
        since, ours = self._known.get(pid, (-_FOR, False))
        if now - since < _FOR:
            return ours
        ours = pid == self._pid or self._examines(pid) or self._was(pid, now)
        if len(self._known) > _MOST:
            self._known.clear()
        self._known[pid] = (now, ours)
        return ours

    def _was(self, pid: int, now: float) -> bool:
        return now < _before.get(pid, 0.0) and procfs.stat(pid, self._root) is None

    def _examines(self, pid: int) -> bool:
        stat = procfs.stat(pid, self._root)
        if stat is None or stat.ppid != self._pid:
            return False
        return _EXAMINER in (procfs.read(f"{self._root}/{pid}/cmdline") or b"")
