"""Which processes are the daemon's own: what they do is never told."""

import contextlib
from pathlib import Path

from replguard import wholefile
from replguard.events import clock
from replguard.kernel import machine, own, procfs
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
"""Pids of the run before, and of parts that ended in this one, and until when they count."""


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
        """Keep the pids of our parts and the examiner's, where they are others than before."""
        pids = own.pids | ({examiner} if examiner is not None else set())
        if pids != self._noted:
            _before.update((pid, clock.monotonic() + LAST) for pid in self._noted - pids)
            self._noted = pids
            with contextlib.suppress(OSError):
                wholefile.write(self._path, b" ".join([self._boot, *(b"%d" % pid for pid in sorted(pids))]) + b"\n")


class Ours:
    """Knows our parts and the examiner, which is a child of one that runs its program; any other child is not.

    Those of the run before, and those that ended, are ours as long as nobody else has their pids.
    """

    def __init__(self, root: str = PROC) -> None:
        self._root = root
        self._known: dict[int, tuple[float, bool]] = {}

    def __call__(self, pid: int) -> bool:
        """Tell whether a process is ours."""
        now = clock.monotonic()
        since, ours = self._known.get(pid, (-_FOR, False))
        if now - since < _FOR:
            return ours
        ours = pid in own.pids or self._examines(pid) or self._was(pid, now)
        if len(self._known) > _MOST:
            self._known.clear()
        self._known[pid] = (now, ours)
        return ours

    def _was(self, pid: int, now: float) -> bool:
        return now < _before.get(pid, 0.0) and procfs.stat(pid, self._root) is None

    def _examines(self, pid: int) -> bool:
        stat = procfs.stat(pid, self._root)
        if stat is None or stat.ppid not in own.pids:
            return False
        return _EXAMINER in (procfs.read(f"{self._root}/{pid}/cmdline") or b"")
