"""Notices what befell the watch itself: the wall clock was set, or nothing was looked at for a while."""

from collections.abc import Iterator
from datetime import datetime

from replguard.events.health import Health

STEP = 0.5
"""Seconds by which the wall clock has to leap to have been set; what keeps it right goes in far smaller steps."""
GAP = 5.0
"""Seconds between two beats, of which one is due each second, after which the watch was blind."""


class Pulse:
    """Beats about once a second."""

    def __init__(self) -> None:
        self._last: tuple[datetime, float] | None = None

    def beat(self, now: datetime, since_boot: float) -> Iterator[Health]:
        """Yield what befell the watch since the last beat. Both clocks are of the same moment.

        A host that sleeps is a gap and no step: both go on. A step is told once.
        """
        last, self._last = self._last, (now, since_boot)
        if last is None:
            return
        passed = since_boot - last[1]
        step = (now - last[0]).total_seconds() - passed
        if abs(step) >= STEP:
            yield Health(component="clock", state="degraded", reason=f"the wall clock was set by {step:+.1f} s")
        if passed >= GAP:
            reason = f"blind for {passed:.0f} s: the daemon was held up, the host slept, or it was too busy"
            yield Health(component="daemon", state="degraded", reason=reason)
