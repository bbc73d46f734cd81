"""Open alerts on disk: a start goes on with the incidents that are open, and no sink hears of one act twice.

What changed is written once a second, with the last event that it follows from. What a kill left unwritten follows from
the log again: the events after that one are fed once more.
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import msgspec

from replguard.alerts.incidents import Incident
from replguard.alerts.manager import Fold, Key, Manager
from replguard.alerts.rate import Kept as Rated
from replguard.events import wire
from replguard.events.alert import Alert, Detection, Level
from replguard.events.event import Event
from replguard.events.identity import short_hash
from replguard.journal import Heading, Journal

VERSION = 1
ANEW = timedelta(seconds=60)
"""How often it is written from which event on the log is to be fed, where nothing changed."""
_GONE = b""
T = TypeVar("T")


def alerts_go_on(event: Event) -> bool:
    """Whether an event says that with the start which is told next alerts do not begin anew."""
    health = event.health
    return health is not None and (health.component, health.state) == ("alerts", "recovered")


class _Incident(msgspec.Struct, array_like=True):
    place: int
    id: str
    opened: datetime
    last: datetime
    level: Level
    alerts: list[str]
    keys: list[str]


class _Fold(msgspec.Struct, array_like=True):
    place: int
    key: Key
    alert: Alert
    level: Level
    incident: str
    opened: datetime
    count: int
    told: frozenset[str]
    news: int
    muted: bool
    newest: Detection | None
    evidence: tuple[str, ...]
    grown: int


class _Now(msgspec.Struct, array_like=True):
    """The last event that was taken in, the last tick, and how many alerts there were."""

    event: str
    now: datetime | None
    rate: Rated


class Memory:
    """Keeps what a manager has open. ``after`` is the event up to which that holds, None where alerts begin anew."""

    def __init__(self, path: Path | None, alerts: Manager) -> None:
        self._alerts = alerts
        self._journal = Journal(path, Heading("alerts", VERSION))
        self._place = 0
        self._saved: datetime | None = None
        self._trouble: str | None = None
        self._news: list[str] = []
        self.after: str | None = None

    def open(self) -> bool:
        """Go on with what was open before. False where that is not known: alerts begin anew."""
        kept = self._journal.read()
        records = {key: data for key, data in kept.records.items() if data != _GONE}
        if kept.trouble is not None:
            self._news.append(kept.trouble)
        if "now" not in records:
            return False
        try:
            self._take(records)
        except wire.UNREADABLE as error:
            self._news.append(f"it is not used, alerts begin anew: {error}"[:200])
            return False
        return True

    def _take(self, records: dict[str, bytes]) -> None:
        """Decode everything first: what is wrong in one place is not to leave half of it in force."""
        now = msgspec.msgpack.decode(records["now"], type=_Now)
        incidents = sorted(_all(records, "incident ", _Incident), key=lambda one: one.place)
        folds = sorted(_all(records, "fold ", _Fold), key=lambda one: one.place)
        alerts = {alert.event.id: alert for alert in _all(records, "alert ", Alert)}
        opened = {one.id: _incident(one, alerts) for one in incidents}
        self._alerts.open.restore(opened.values())
        self._alerts.rate.restore(now.rate)
        self._alerts.restore(
            ((one.key, _fold(one, opened[one.incident])) for one in folds if one.incident in opened), now.now
        )
        self._place = max((*(one.place for one in incidents), *(one.place for one in folds), 0))
        self.after = now.event

    def save(self, event: str, now: datetime, before: Callable[[], object] = lambda: None) -> None:
        """Write what changed, up to and with an event. ``before`` has the log written first, that it follows from."""
        due = self._saved is None or abs(now - self._saved) >= ANEW
        whole = due and self._journal.is_long
        moved = self._alerts.moved or self._alerts.open.moved
        if not due and not (moved and self._journal.begun):
            return
        before()
        self._saved = now if due else self._saved
        if whole:
            keys: Iterable[Key] = list(self._alerts.folds)
            incidents: Iterable[str] = [one.id for one in self._alerts.open]
        else:
            keys, incidents = self._alerts.moved, self._alerts.open.moved
        records = {"now": msgspec.msgpack.encode(_Now(event, self._alerts.now, self._alerts.rate.kept()))}
        for name in incidents:
            records.update(self._incident(name))
        records.update((f"fold {short_hash(*key)}", self._fold(key)) for key in keys)
        self._alerts.moved.clear()
        self._alerts.open.moved.clear()
        (self._journal.replace if whole else self._journal.add)(records)
        if self._journal.trouble not in (None, self._trouble):
            self._news.append(f"{self._journal.trouble}; after a restart alerts would begin anew")
        self._trouble = self._journal.trouble

    def news(self) -> list[str]:
        """Return what has to be said of the file, each once."""
        said, self._news = self._news, []
        return [f"the memory of alerts: {one}" for one in said]

    def _incident(self, name: str) -> dict[str, bytes]:
        one = self._alerts.open.get(name)
        if one is None:
            return {f"incident {name}": _GONE}
        self._place += 1
        head = _Incident(self._place, one.id, one.opened, one.last, one.level, list(one.alerts), one.keys)
        alerts = {f"alert {each}": msgspec.msgpack.encode(alert) for each, alert in one.alerts.items()}
        return {f"incident {name}": msgspec.msgpack.encode(head), **alerts}

    def _fold(self, key: Key) -> bytes:
        fold = self._alerts.folds.get(key)
        if fold is None:
            return _GONE
        self._place += 1
        return msgspec.msgpack.encode(
            _Fold(
                self._place, key, fold.alert, fold.level, fold.incident.id, fold.opened, fold.count, fold.told,
                fold.news, fold.muted, fold.newest, fold.evidence, fold.grown,
            )
        )  # fmt: skip


def _all(records: dict[str, bytes], prefix: str, kind: type[T]) -> list[T]:
    return [msgspec.msgpack.decode(data, type=kind) for key, data in records.items() if key.startswith(prefix)]


def _incident(one: _Incident, alerts: dict[str, Alert]) -> Incident:
    made = Incident(one.id, one.opened, one.last, one.level, keys=one.keys)
    made.alerts.update((each, alerts[each]) for each in one.alerts if each in alerts)
    return made


def _fold(one: _Fold, incident: Incident) -> Fold:
    return Fold(
        one.alert, one.level, incident, one.opened, one.count, one.told, one.news, one.muted, one.newest, one.evidence,
        one.grown,
    )  # fmt: skip
