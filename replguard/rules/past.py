"""What happened before a start, as far as correlations need it: a replay keeps it, the daemon finds it in its log."""

from collections import deque
from collections.abc import Iterator
from datetime import datetime, timedelta

from replguard.events.event import Event
from replguard.rules.engine import Engine

LIMIT = 100_000
"""Events that are kept."""


class Past:
    """The events that some rule matched, and those of the clock, as long as a correlation may look back on them."""

    def __init__(self, span: timedelta) -> None:
        self._span = span
        self._kept: deque[Event] = deque(maxlen=LIMIT)
        self._lost: datetime | None = None

    def keep(self, event: Event, engine: Engine) -> None:
        """Remember an event that the engine was fed with just now, if it left anything there."""
        if engine.moved:
            if len(self._kept) == self._kept.maxlen:
                self._lost = self._kept[0].timestamp
            self._kept.append(event)

    def lacks(self, start: datetime) -> bool:
        """Tell whether a start at that time would look back on more than was kept."""
        return self._lost is not None and self._lost >= start - self._span

    def before(self, start: datetime) -> Iterator[Event]:
        """Yield what a start at that time goes on from."""
        return (event for event in self._kept if event.timestamp >= start - self._span)
