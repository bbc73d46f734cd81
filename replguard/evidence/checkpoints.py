"""When a checkpoint of the log is due, and the record that tells of it."""

from datetime import datetime

from replguard.events.alert import LEVELS, Alert
from replguard.events.event import Meta
from replguard.events.evidence import CHECKPOINT, STATE, Checkpoint, Kept
from replguard.events.identity import short_hash

EVERY = 3600.0
"""Seconds between two of a quiet host: what root may take back unseen without one is no more."""
AFTER_ALERT = 60.0
"""Seconds between two while alerts of a high level come: the first of them has one within a second or two."""
_LOUD = LEVELS.index("high")


class Schedule:
    """Asked once a second. Times are seconds of the monotonic clock."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._loud = False

    def raised(self, alert: Alert) -> None:
        """Note an alert: with one that is high or critical the evidence is fixed soon."""
        level = alert.replguard.real_level or alert.rule.level
        self._loud = self._loud or (alert.replguard.state == "firing" and LEVELS.index(level) >= _LOUD)

    def is_due(self, now: float) -> bool:
        """Tell whether it is time for one."""
        return self._last is None or now - self._last >= (AFTER_ALERT if self._loud else EVERY)

    def made(self, now: float) -> None:
        """Note that one was made."""
        self._last, self._loud = now, False


def record(made: Checkpoint, now: datetime) -> Kept:
    """Return the record of a checkpoint."""
    return Kept(
        timestamp=now,
        event=Meta(action=CHECKPOINT, kind=STATE, id=short_hash(CHECKPOINT, made.note)),
        message=f"Log {made.stream} has {made.size} sealed blocks: kept elsewhere, this proves them (verify --trust).",
        checkpoint=made,
    )
