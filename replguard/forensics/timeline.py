"""An incident along the time: what was done, when each alert was raised, and a lane for each stage."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from replguard.events.alert import LEVELS, Level
from replguard.events.event import Event
from replguard.forensics.family import Act
from replguard.forensics.incident import Incident

LANE = 1000
"""Places of a lane at which something can be shown."""
_TICK = 6
ALERTS = "alerts"
Tell = Callable[[Event], str]


@dataclass(frozen=True, slots=True)
class Lane:
    """A stage along the time: where something happened (0 to ``LANE``), and the level where it is an alert."""

    name: str
    count: int
    ticks: list[tuple[int, Level | None]]


@dataclass(slots=True)
class Moment(Act):
    """An act with who did it; or an alert with its level, at the time when it was raised."""

    who: str = ""
    level: Level | None = None


def raised(incident: Incident) -> dict[str, datetime]:
    """Return when each alert was raised: the time of its first record. What it tells of may have begun long before."""
    return {each.what.event.id: each.what.timestamp for each in reversed(incident.told)}


def moments(incident: Incident, who: Tell, tell: Tell) -> list[Moment]:
    """Return what was done and alerted, in the order of time; an alert stands behind the act that it was raised by."""
    when = raised(incident)
    alerts = [
        Moment(at, at, "alert", each.what.message, who="Alert:", level=each.what.rule.level)
        for each in incident.alerts
        for at in [when[each.what.event.id]]
    ]
    return list(_joined(sorted([*_acts(incident, who, tell), *alerts], key=lambda each: each.first)))


def lanes(incident: Incident, stages: dict[str, list[Event]], began: datetime, ended: datetime) -> list[Lane]:
    """Return a lane for each stage, and the last one for the alerts."""
    whole = max((ended - began).total_seconds(), 1e-6)

    def place(when: datetime) -> int:
        return round(max(0.0, min((when - began).total_seconds() / whole, 1.0)) * (LANE - _TICK))

    found = [
        Lane(name, len(events), sorted({(place(event.timestamp), None) for event in events}, key=lambda each: each[0]))
        for name, events in stages.items()
    ]
    when, told = raised(incident), dict[int, Level]()
    for alert in (each.what for each in incident.alerts):
        x = place(when[alert.event.id])
        told[x] = max(told.get(x, LEVELS[0]), alert.rule.level, key=LEVELS.index)
    return [*found, Lane(ALERTS, len(incident.alerts), sorted(told.items()))]


def _acts(incident: Incident, who: Tell, tell: Tell) -> Iterator[Moment]:
    for event in (each.what for each in incident.events):
        yield Moment(event.timestamp, event.timestamp, event.action, tell(event), who=who(event))


def _joined(each: list[Moment]) -> Iterator[Moment]:
    """Yield what was done over and over as one, if nothing else was done meanwhile."""
    last: Moment | None = None
    for one in each:
        if last is not None and one.level is None and _same(last, one):
            last.count, last.last = last.count + 1, one.last
            continue
        if last is not None:
            yield last
        last = one
    if last is not None:
        yield last


def _same(one: Moment, other: Moment) -> bool:
    return (one.who, one.action, one.text, one.level) == (other.who, other.action, other.text, other.level)
