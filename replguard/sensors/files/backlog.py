"""What waited in the queues of fanotify while nobody read. Its records have no time: when it happened is worked out.

Not before the queue was read last, nor before the program began that did it; not after that ended. Within these bounds
a file tells by when it was changed last. An open is told as early as can be: who opened the original has to be known
before the copy is told. What one process did keeps its order.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from replguard.events import clock
from replguard.sensors.files.written import Act
from replguard.sensors.processes.meanwhile import MEANWHILE

COARSE = timedelta(milliseconds=10)
"""How much before its time a change may be noted: the kernel's clock for files goes in steps (CONFIG_HZ)."""


class Backlog:
    """The times of what happened between two moments (UTC), the latter being that of the look."""

    def __init__(self, since: datetime) -> None:
        self._since, self._until = since, clock.now()
        self._last = since
        self._by: dict[int, datetime] = {}

    def opened(self, pid: int) -> datetime:
        """Return when a process opened something."""
        return MEANWHILE.within(pid, self._since, self._until)[0]

    def of(self, acts: Iterable[Act]) -> Iterator[tuple[Act, datetime]]:
        """Yield acts in the order of the queue, each with its time."""
        for act in acts:
            low, high = MEANWHILE.within(act.pid, self._since, self._until)
            low = min(max(low, self._by.get(act.pid, low)), high)
            when = min(max(self._told_by(act), low), high)
            if act.pid > 0:
                self._by[act.pid] = when
            self._last = max(self._last, when)
            yield act, when

    def _told_by(self, act: Act) -> datetime:
        """Return when a file was changed last; where it does not tell, when that was of what came before."""
        if act.found is None:
            return self._last
        changed = datetime.fromtimestamp(act.found.st_ctime, UTC) + COARSE
        return changed if changed >= self._since else self._last
