"""More alerts an hour than a person can read become one: the summary, counted and as loud as the loudest in it."""

from collections import Counter, deque
from datetime import datetime, timedelta

import msgspec

from replguard.events.alert import LEVELS, SEVERITY, Alert, AlertContext, AlertMeta, AlertRule, Level
from replguard.events.host import Host
from replguard.events.identity import short_hash
from replguard.events.text import show

HOUR = timedelta(hours=1)
RULE = AlertRule(id="replguard-alert-rate", name="More alerts than the hourly limit", level="medium")
LOUD: tuple[Level, ...] = ("high", "critical")
"""Levels with room of their own: no number of cheap lower alerts may mute them."""
_MOST_EVIDENCE = 100


class Kept(msgspec.Struct):
    """What goes on after a start: what was raised in the last hour, and the summary of what was too much."""

    raised: dict[bool, list[datetime]]
    folded: dict[str, int]
    levels: dict[Level, int]
    evidence: list[str]
    id: str
    level: Level
    real: Level
    told: int
    told_at: datetime | None
    first: datetime | None
    last: datetime | None


class Rate:
    """Counts what was raised in the last hour, and folds what is too much into a summary.

    The limit holds twice: for alerts of high and critical level, and apart from them for all lower ones.
    """

    def __init__(self, limit: int, every: timedelta, host: Host | None) -> None:
        self._limit, self._every, self._host = limit, every, host
        self._raised: dict[bool, deque[datetime]] = {True: deque(), False: deque()}
        self._folded: Counter[str] = Counter()
        self._levels: Counter[Level] = Counter()
        self._evidence: deque[str] = deque(maxlen=_MOST_EVIDENCE)
        self._id = ""
        self._level: Level = "informational"
        self._real: Level = "informational"
        self._told = 0
        self._told_at: datetime | None = None
        self._first: datetime | None = None
        self._last: datetime | None = None

    def kept(self) -> Kept:
        """Return what is to go on after a start."""
        raised = {loud: list(times) for loud, times in self._raised.items()}
        return Kept(
            raised, dict(self._folded), dict(self._levels), list(self._evidence), self._id, self._level, self._real,
            self._told, self._told_at, self._first, self._last,
        )  # fmt: skip

    def restore(self, kept: Kept) -> None:
        """Go on from before a start."""
        for loud, times in kept.raised.items():
            self._raised[loud].extend(times)
        self._folded.update(kept.folded)
        self._levels.update(kept.levels)
        self._evidence.extend(kept.evidence)
        self._id, self._level, self._real, self._told = kept.id, kept.level, kept.real, kept.told
        self._told_at, self._first, self._last = kept.told_at, kept.first, kept.last

    def has_room(self, now: datetime, level: Level) -> bool:
        """Whether one more alert of this real level may be raised now; if so it is counted."""
        raised = self._raised[level in LOUD]
        while raised and abs(now - raised[0]) >= HOUR:
            raised.popleft()
        if len(raised) >= self._limit:
            return False
        raised.append(now)
        return True

    def fold(self, alert: Alert, now: datetime) -> list[Alert]:
        """Take an alert that has no room. Returns the summary when it begins or becomes louder."""
        if self._first is None:
            self._id, self._first = short_hash("rate", alert.event.id), now
        self._last = now
        self._folded[alert.rule.name] += 1
        self._evidence.append(alert.event.id)
        real = alert.replguard.real_level or alert.rule.level
        self._levels[real] += 1
        louder = LEVELS.index(alert.rule.level) > LEVELS.index(self._level) or not self._told
        self._level = max(self._level, alert.rule.level, key=LEVELS.index)
        self._real = max(self._real, real, key=LEVELS.index)
        return [self._tell(now, "firing")] if louder else []

    def tick(self, now: datetime) -> list[Alert]:
        """Return the summary again when it has grown for a window, or as resolved after a quiet hour."""
        if self._last is None or self._told_at is None:
            return []
        if abs(now - self._last) >= HOUR:
            resolved = self._tell(now, "resolved")
            self._folded.clear()
            self._levels.clear()
            self._evidence.clear()
            self._level = self._real = "informational"
            self._told, self._told_at, self._first, self._last = 0, None, None, None
            return [resolved]
        if self._folded.total() > self._told and now - self._told_at >= self._every:
            return [self._tell(now, "firing")]
        return []

    def firing(self) -> Level | None:
        """Return the level of the summary while it fires."""
        return self._level if self._told else None

    def _tell(self, now: datetime, state: str) -> Alert:
        self._told, self._told_at = self._folded.total(), now
        most = ", ".join(f"{show(name, 60)} ({count})" for name, count in self._folded.most_common(3))
        levels = ", ".join(f"{self._levels[level]} {level}" for level in reversed(LEVELS) if self._levels[level])
        text = (
            f"{self._told} alerts ({levels}) above the limit of {self._limit} an hour are folded into this one: {most}."
            " High and critical alerts have a limit of this size to themselves;"
            " a critical alert of a new incident is told by itself in any case."
        )
        return Alert(
            timestamp=now,
            message=text,
            event=AlertMeta(id=self._id, severity=SEVERITY[self._level]),
            rule=AlertRule(id=RULE.id, name=RULE.name, level=self._level),
            replguard=AlertContext(
                schema=1,
                incident=self._id,
                state="resolved" if state == "resolved" else "firing",
                count=self._told,
                first_seen=self._first or now,
                last_seen=self._last or now,
                evidence=tuple(self._evidence),
                real_level=self._real if self._real != self._level else None,
            ),
            host=self._host,
        )
