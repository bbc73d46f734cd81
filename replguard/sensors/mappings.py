"""Who maps watched files, where the kernel tells who opens them: a mapping follows an open, and leaves no other trace.

Whoever opened a watched file is looked at again and again for a minute. What is inherited by a fork or handed over by a
socket opens nothing: everybody is looked at in turn, each within twenty seconds.
What it cannot see: a mapping that begins and ends between two looks; without root, the processes of other users.
"""

from collections import deque
from collections.abc import Iterator

from replguard.config import Config
from replguard.errors import Unavailable
from replguard.events.hint import Hint
from replguard.kernel import fanotify
from replguard.kernel.procfs import PROC
from replguard.sensors.base import AT_ONCE
from replguard.sensors.use import UseSensor

AREA = "file"
TIER = "kernel"
REPLACES = frozenset({"use"})
LOOK = 0.1
FIRST, LAST = 0.05, 60.0
"""Seconds after an open at which its process is looked at first, and up to which; each pause is half as long again."""
ROUND, SLICE = 20.0, 1.0
"""Seconds in which everybody is looked at once, and between two parts of that."""
MOST = 4096


class MappingSensor(UseSensor):
    """Makes file_map and file_open for hinted files, each once for a process and a file."""

    name = "mappings"
    mode = "kernel"
    told_until = AT_ONCE
    period = LOOK
    blind = "a mapping that was inherited or handed over is seen within 20 s."

    def __init__(self, root: str = PROC) -> None:
        super().__init__(root)
        self._opened: deque[int] = deque(maxlen=MOST)
        self._openers: dict[int, tuple[float, float]] = {}
        self._round: deque[int] = deque()
        self._all = True
        self._slice_due = 0.0
        self._share = 0

    def watch(self, hint: Hint) -> None:
        if hint.kind == "opener" and hint.pid is not None:
            self._opened.append(hint.pid)
        else:
            super().watch(hint)

    def _due(self, now: float) -> Iterator[int]:
        while self._opened:
            self._openers[self._opened.popleft()] = (now + FIRST, FIRST)
        for pid, (due, pause) in list(self._openers.items()):
            if now < due:
                continue
            yield pid
            if pause > LAST / 2 or pid not in self._seen:
                del self._openers[pid]
            else:
                self._openers[pid] = (now + pause * 1.5, pause * 1.5)
        if self._all or now >= self._slice_due:
            self._slice_due = now + SLICE
            yield from self._in_turn()

    def _in_turn(self) -> Iterator[int]:
        """Yield a part of all processes, or all of them where there is a new file that they may have held for long."""
        if not self._round or self._all:
            present = self._present()
            self._round, self._share = deque(present), 1 + int(len(present) * SLICE / ROUND)
        for _ in range(len(self._round) if self._all else min(self._share, len(self._round))):
            yield self._round.popleft()
        self._all = False

    def _everyone(self) -> None:
        self._all = True


def open(config: Config) -> MappingSensor:  # noqa: A001, ARG001 - the registry calls every sensor module alike
    """Return the sensor. Raises Unavailable where the kernel does not tell who opens a file."""
    try:
        group = fanotify.Group(fanotify.NAMES)
        try:
            group.mark(b"/", fanotify.DELETE | fanotify.ON_CHILD, fanotify.FILESYSTEM)
        finally:
            group.close()
    except OSError as error:
        raise Unavailable(f"the kernel does not tell us who opens files ({error.strerror}): run as root.") from error
    return MappingSensor()
