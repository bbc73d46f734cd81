"""Puts events of several sources into the order in which they happened, within a bounded window."""

from bisect import bisect_right
from collections.abc import Iterator
from datetime import datetime, timedelta

from replguard.events.event import Event

WINDOW = timedelta(seconds=0.25)
"""The longest that an event waits for one that happened before it and is told later."""


class Order:
    """Holds events until every source has promised that nothing earlier is to come, or the window has passed.

    Events of one time keep the order of their arrival.
    """

    def __init__(self, window: timedelta = WINDOW) -> None:
        self._window = window
        self.until: datetime | None = None
        """Up to when all that had come was yielded."""
        self._held: list[tuple[datetime, int, Event]] = []
        self._arrived = 0

    def __len__(self) -> int:
        return len(self._held)

    def put(self, event: Event) -> None:
        """Take an event in."""
        self._arrived += 1
        self._held.append((event.timestamp, self._arrived, event))

    def ready(self, now: datetime, told_until: datetime | None) -> Iterator[Event]:
        """Yield, in order, what happened before ``told_until`` (None: no source has promised) or the window."""
        until = now - self._window
        if told_until is not None and told_until > until:
            until = told_until
        self._held.sort()  # nearly in order already: each source tells in its own
        due = bisect_right(self._held, until, key=lambda held: held[0])
        # What bears a time that is still to come was told before the clock was set back: it waits for nothing.
        ahead = max(due, bisect_right(self._held, now + self._window, key=lambda held: held[0]))
        ready, self._held = self._held[:due] + self._held[ahead:], self._held[due:ahead]
        for _, _, event in ready:
            yield event
        self.until = until

    def rest(self) -> Iterator[Event]:
        """Yield, in order, everything that is left."""
        held, self._held = sorted(self._held), []
        for _, _, event in held:
            yield event
