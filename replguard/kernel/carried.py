"""Up to when all that happened is in the log: what was taken from a ring since, and was lost with us, is read again.

The time lies in a counter that the service manager keeps. Without it nothing is read again: it would be told twice.
"""

from datetime import datetime

from replguard.kernel.beat import Beat
from replguard.kernel.keep import KEPT, Kept

OWNER, FORM, PART = "daemon", "a time", "carried"


class Carried:
    """``before`` is the time of the run before, None where nobody kept it."""

    def __init__(self) -> None:
        self.before: datetime | None = None
        self._beat: Beat | None = None

    def begin(self, kept: Kept = KEPT) -> None:
        """Take the time of the run before, and have ours kept."""
        parts = kept.adopt(OWNER, FORM)
        self._beat = Beat(parts.get(PART))
        self.before = self._beat.last() if parts else None
        if parts:
            kept.adopted.add(OWNER)
        else:
            kept.keep(OWNER, FORM, {PART: self._beat.descriptor})

    def until(self, when: datetime) -> None:
        """Note that all before this time was carried through, and is written."""
        if self._beat is not None:
            self._beat.set(when)


CARRIED = Carried()
"""That of this process."""
