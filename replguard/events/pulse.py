"""What befalls the watch itself: the wall clock was set, or nothing was looked at for a while."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from replguard.events.health import Health

STEP = 0.5
"""Seconds by which the wall clock has to leap to have been set; what keeps it right goes in far smaller steps."""
GAP = 5.0
"""Seconds between two beats, of which one is due each second, after which the watch was blind."""
MOST = 0.5
"""Part of a gap that explains it: the host slept, the process waited for a processor, or had one."""


class Effort(NamedTuple):
    """What this process did, in seconds since some time.

    ``awake`` without sleep of the host, ``ran`` on processors, ``waited`` for one (its first thread). ``paused`` is how
    long its first thread did nothing at a stretch, lately.
    """

    awake: float
    ran: float
    waited: float
    paused: float


class Rhythm:
    """How evenly another thread goes on: it steps about once a second."""

    def __init__(self, now: float) -> None:
        self._last, self._longest = now, 0.0

    def step(self, now: float) -> None:
        """Go on. Called by that thread."""
        self._longest = max(self._longest, now - self._last)
        self._last = now

    def longest(self, now: float) -> float:
        """Return the longest pause since this was asked last, one that goes on included."""
        longest, self._longest = max(self._longest, now - self._last), 0.0
        return longest


class Pulse:
    """Beats about once a second."""

    def __init__(self) -> None:
        self._last: tuple[datetime, float, Effort | None] | None = None

    def beat(self, now: datetime, since_boot: float, effort: Effort | None = None) -> Iterator[Health]:
        """Yield what befell the watch since the last beat. Both clocks are of the same moment.

        A host that sleeps is a gap and no step: both go on. A step is told once.
        """
        last, self._last = self._last, (now, since_boot, effort)
        if last is None:
            return
        passed = since_boot - last[1]
        step = (now - last[0]).total_seconds() - passed
        if abs(step) >= STEP:
            yield Health(component="clock", state="degraded", reason=f"the wall clock was set by {step:+.1f} s")
        if passed >= GAP:
            reason = f"blind for {passed:.0f} s: {_why(passed, last[2], effort)}"
            yield Health(component="daemon", state="degraded", reason=reason)


def _why(gap: float, before: Effort | None, after: Effort | None) -> str:
    """Return what explains a gap; where nothing does, and no thread ran, somebody else held them all."""
    if before is None or after is None:
        return "the daemon was held up, the host slept, or it was too busy"
    if gap - (after.awake - before.awake) > MOST * gap:
        return "the host slept"
    if after.waited - before.waited > MOST * gap:
        return "the host was too busy to let the daemon run"
    if after.ran - before.ran > MOST * gap:
        return "the daemon was too busy"
    if after.paused > gap - GAP / 2:
        return "it was held from outside, by a signal, a debugger or the freezer of control groups"
    return "the daemon waited, as for a disk"
