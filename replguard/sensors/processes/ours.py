"""Which processes are the daemon's own: what they do is never told."""

from replguard.events import clock
from replguard.kernel import own, procfs
from replguard.kernel.procfs import PROC

_EXAMINER = b"replguard.weights.worker"
_FOR = 5.0
"""Seconds that an answer holds: a pid may go to another process."""
_MOST = 8192


class Ours:
    """Knows the daemon and its examiner, which is a child of ours that runs its program; any other child is not."""

    def __init__(self, root: str = PROC) -> None:
        self._root = root
        self._known: dict[int, tuple[float, bool]] = {}

    def __call__(self, pid: int) -> bool:
        """Tell whether a process is ours."""
        now = clock.monotonic()
        since, ours = self._known.get(pid, (-_FOR, False))
        if now - since < _FOR:
            return ours
        ours = pid in own.pids or self._examines(pid)
        if len(self._known) > _MOST:
            self._known.clear()
        self._known[pid] = (now, ours)
        return ours

    def _examines(self, pid: int) -> bool:
        stat = procfs.stat(pid, self._root)
        if stat is None or stat.ppid not in own.pids:
            return False
        return _EXAMINER in (procfs.read(f"{self._root}/{pid}/cmdline") or b"")
