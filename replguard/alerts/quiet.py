"""How long nothing can be due: what is asked every second, of up to thousands, looks at them only when one may be."""

from collections.abc import Iterable
from datetime import datetime, timedelta


class Quiet:
    """A span of time, known when all were looked at. Time that goes back ends it, and so does `broken`."""

    def __init__(self, longest: timedelta) -> None:
        """``longest`` is how long it lasts where there is nothing that could be due."""
        self._longest = longest
        self._span: tuple[datetime, datetime] | None = None

    def holds(self, now: datetime) -> bool:
        """Whether nothing can be due yet."""
        return self._span is not None and self._span[0] <= now < self._span[1]

    def begin(self, now: datetime, ends: Iterable[datetime]) -> None:
        """Be quiet until the first of these times."""
        self._span = now, min(ends, default=now + self._longest)

    def came(self, now: datetime, end: datetime) -> None:
        """Be quiet until ``end`` at the longest: something came now that is due then."""
        self._span = (self._span[0], min(end, self._span[1])) if self._span is not None and self.holds(now) else None

    def broken(self) -> None:
        """Look again: something went or changed."""
        self._span = None
