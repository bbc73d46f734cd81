"""Incidents: alerts that belong together, because one actor raised them or they share something that it made."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from replguard.alerts.quiet import Quiet
from replguard.events.alert import LEVELS, Alert, Level
from replguard.events.identity import short_hash

QUIET = timedelta(hours=2)
LONGEST = timedelta(hours=24)
"""An incident is closed two hours after its last alert, and after a day at the most (meanings, `Incident`)."""
MAX_OPEN = 2_000
MAX_ALERTS = 500
MAX_KEYS = 500


@dataclass(slots=True)
class Incident:
    """One incident. ``alerts`` holds what is firing by alert id; ``keys`` are the actors and things that join it."""

    id: str
    opened: datetime
    last: datetime
    level: Level = "informational"
    alerts: OrderedDict[str, Alert] = field(default_factory=OrderedDict)
    keys: list[str] = field(default_factory=list)


class Incidents:
    """The open incidents. Bounded: beyond its limits the oldest is forgotten and counted in ``evicted``."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, Incident] = OrderedDict()
        self._by_key: dict[str, Incident] = {}
        self._quiet = Quiet(QUIET)
        self.evicted = 0
        self.moved: dict[str, None] = {}
        """Incidents that changed or went since somebody emptied it, the one that did so last at the end."""

    def __iter__(self) -> Iterator[Incident]:
        return iter(list(self._open.values()))  # the metrics page looks on from a thread of its own

    def join(self, keys: tuple[str, ...], evidence: str, now: datetime, driver: str | None = None) -> Incident:
        """Return the open incident that shares a key, or open one, named by its first key and first evidence.

        ``driver`` is the key of what drives the actor. It joins where it was made in an incident, and no other alerts:
        a replica that somebody allowed drives agents that have nothing to do with one another.
        """
        self._quiet.came(now, now + QUIET)
        asked = keys if driver is None else (*keys, driver)
        found = next((self._by_key[key] for key in asked if key in self._by_key), None)
        if found is None:
            found = Incident(short_hash("incident", keys[0], evidence), now, now)
            self._open[found.id] = found
            while len(self._open) > MAX_OPEN:
                self.forget(next(iter(self._open.values())))
                self.evicted += 1
        found.last = now
        self._open.move_to_end(found.id)
        self.move(found)
        for key in keys:
            if key not in self._by_key and len(found.keys) < MAX_KEYS:
                self._by_key[key] = found
                found.keys.append(key)
        return found

    def raised(self, incident: Incident, alert: Alert, level: Level) -> None:
        """Note an alert as firing in its incident."""
        self.move(incident)
        incident.alerts[alert.event.id] = alert
        incident.level = max(incident.level, level, key=LEVELS.index)
        while len(incident.alerts) > MAX_ALERTS:
            incident.alerts.popitem(last=False)
            self.evicted += 1

    def forget(self, incident: Incident) -> None:
        """Close an incident: nothing joins it any more."""
        self.move(incident)
        self._open.pop(incident.id, None)
        for key in incident.keys:
            if self._by_key.get(key) is incident:
                del self._by_key[key]

    def get(self, name: str) -> Incident | None:
        """Return the open incident of an id."""
        return self._open.get(name)

    def move(self, incident: Incident) -> None:
        """Note that an incident changed."""
        self.moved.pop(incident.id, None)
        self.moved[incident.id] = None

    def restore(self, incidents: Iterable[Incident]) -> None:
        """Go on with incidents of before a start, in their order."""
        for incident in incidents:
            self._open[incident.id] = incident
            for key in incident.keys:
                self._by_key.setdefault(key, incident)
        self._quiet.broken()

    def due(self, now: datetime) -> list[Incident]:
        """Return the incidents that are over; so is one whose last alert lies in the future: the clock was set.

        Until the first can be over none is looked at, as long as time does not go back: it is asked every second, of
        up to thousands.
        """
        if self._quiet.holds(now):
            return []
        found = [
            each
            for each in self._open.values()
            if now - each.last >= QUIET or now - each.opened >= LONGEST or each.last - now > LONGEST
        ]
        ends = (min(each.last + QUIET, each.opened + LONGEST) for each in self._open.values())
        if found:
            self._quiet.broken()
        else:
            self._quiet.begin(now, ends)
        return found
