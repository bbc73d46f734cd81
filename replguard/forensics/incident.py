"""One incident as the evidence holds it: what was alerted, what happened, who acted, and where each record stands."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from replguard.events import clock, evidence, wire
from replguard.events.alert import LEVELS, SEVERITY, Alert, Level
from replguard.events.event import Event, Meta
from replguard.events.evidence import Cited, Kept, Taken
from replguard.events.host import Host
from replguard.forensics.register import ALERT, STREAM, Line, picked
from replguard.log import reader
from replguard.log.reader import Fault

T = TypeVar("T")
Pick = Callable[[Callable[[bytes], bool]], Iterator[Line | Fault]]
"""Gives the records that are wanted by their bytes, in order, as often as it is asked."""
Place = tuple[int, int]
"""A segment and a line in it."""
MOST = 50_000
"""Events of one incident that are read: some 100 MiB."""
MOST_OF_A_KIND = 10_000
"""Of one kind, besides those that an alert names: thousands of listeners leave room for the one copy."""
MOST_LINEAGE = 32 * 2**20
"""Bytes of ancestors that are held until it is known whose they are."""
MOST_TOLD = 5_000
"""Records of its alerts: each is told again as it is repeated. Beyond that the first and the last of each are kept."""
MOST_CHECKPOINTS = 3
AFTER = timedelta(hours=2)
"""What the actors did is told so long after the last alert: an incident is open so long."""
_ID, _ACTOR, _FACT, _STATE = b'"id":"', b'"actor":{', b'"kind":"enrichment"', b'"kind":"state"'
_LINEAGE, _HEALTH, _CHECKPOINT = b'"process_lineage"', b'"sensor_health"', b'"log_checkpoint"'
_BESIDE = frozenset({evidence.SNAPSHOT, evidence.RULE, evidence.CHECKPOINT})
_TROUBLE = frozenset({"loss", "degraded", "failed", "stopped"})


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """A record and what it says."""

    at: Line
    what: T


@dataclass(slots=True)
class Incident:
    """Lists are in the order of time. ``alerts`` holds the last record of each alert, ``told`` all of them.

    ``events`` are what alerts name, what else its actors did to weights, and what was lost meanwhile; ``lineage`` are
    the acting processes and those above them. ``checkpoints`` are the first ones of the evidence that were made after
    it. ``asked`` is the alert that was asked for, ``missing`` says in sentences what should be there and is not.
    """

    id: str
    asked: str | None = None
    host: Host | None = None
    alerts: list[Entry[Alert]] = field(default_factory=list)
    told: list[Entry[Alert]] = field(default_factory=list)
    events: list[Entry[Event]] = field(default_factory=list)
    lineage: list[Entry[Event]] = field(default_factory=list)
    snapshots: list[Entry[Taken]] = field(default_factory=list)
    rules: list[Entry[Cited]] = field(default_factory=list)
    checkpoints: list[Entry[Kept]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def lead(self) -> Alert:
        """The alert that says it in a sentence: the one asked for, or the worst, of those the one that tells most."""
        asked = next((each.what for each in self.alerts if each.what.event.id == self.asked), None)
        return asked or max((each.what for each in self.alerts), key=_weight)

    @property
    def level(self) -> Level:
        """The highest level of its alerts."""
        return max((each.what.rule.level for each in self.alerts), key=LEVELS.index)

    @property
    def is_firing(self) -> bool:
        """Whether the last word on any of its alerts is that it fires."""
        return any(each.what.replguard.state == "firing" for each in self.alerts)

    @property
    def began(self) -> datetime:
        """When the first act was."""
        happened = [each.what.timestamp for each in self.events if each.what.health is None]
        return min([*happened, *(each.what.replguard.first_seen for each in self.alerts)])

    @property
    def ended(self) -> datetime:
        """When the last thing of it happened or was told."""
        return max([*(each.what.timestamp for each in self.events), *(each.what.timestamp for each in self.told)])

    @property
    def entries(self) -> list[Entry[Alert] | Entry[Event] | Entry[Taken] | Entry[Cited] | Entry[Kept]]:
        """Every record, in the order of the log."""
        parts = (self.told, self.events, self.lineage, self.snapshots, self.rules, self.checkpoints)
        return sorted(itertools.chain(*parts), key=lambda each: (each.at.segment, each.at.line))


def gather(folder: Path, incident: str, asked: str | None = None, until: Place | None = None) -> Incident:
    """Read an incident from the evidence of a log. Memory is bounded; what is damaged is told. Raises OSError.

    What stands behind ``until``, the segment and line of a seal, is left out.
    """
    header = reader.header([folder], STREAM)

    def pick(is_wanted: Callable[[bytes], bool]) -> Iterator[Line | Fault]:
        for line in picked(folder, is_wanted):
            if isinstance(line, Line) and until is not None and (line.segment, line.line) > until:
                return
            yield line

    return _gathered(pick, Incident(incident, asked, header.host if header is not None else None))


def among(lines: list[Line], incident: str, asked: str | None = None, host: Host | None = None) -> Incident:
    """Return an incident as some lines of the evidence tell it, in their order."""
    return _gathered(
        lambda is_wanted: (line for line in lines if is_wanted(line.data)), Incident(incident, asked, host)
    )


def lacking(whole: Incident, part: Incident, told: list[Entry[Alert]]) -> set[str]:
    """Return the ids of the alerts, and of the events that some records of alerts name, which a part lacks."""
    named = {id_ for alert in told for id_ in alert.what.replguard.evidence}
    events = _ids(whole.events) - _ids(part.events)
    return (_ids(whole.alerts) - _ids(part.alerts)) | (events & named)


def _gathered(pick: Pick, found: Incident) -> Incident:
    incident = found.id
    mark, left_out, room = _quoted(incident), 0, MOST_TOLD
    for line in pick(lambda line: ALERT in line and mark in line):
        alert = None if isinstance(line, Fault) else _decoded(line, Alert)
        if isinstance(line, Line) and alert is not None and alert.replguard.incident == incident:
            found.told.append(Entry(line, alert))
            if len(found.told) > room:
                left_out += len(found.told)
                found.told = _ends(found.told)
                left_out -= len(found.told)
                room = max(MOST_TOLD, 2 * len(found.told))
    latest = {each.what.event.id: each for each in found.told}
    found.alerts = sorted(
        latest.values(), key=lambda each: (each.what.replguard.first_seen, each.at.segment, each.at.line)
    )
    if found.alerts:
        found.host = found.lead.host or found.host
        _Reading(found).read(pick)
    if left_out:
        found.missing.append(f"{left_out} repeats of its alerts are left out")
    return found


class _Reading:
    """Goes through the log once more, with what the alerts say."""

    def __init__(self, found: Incident) -> None:
        self._found = found
        alerts = [each.what for each in found.told]
        self._named = {id_ for alert in alerts for id_ in alert.replguard.evidence}
        actors = [alert.replguard.actor for alert in alerts]
        self._actors = {
            actor.id for actor in actors if actor is not None and not (actor.kind == "unknown" and actor.pid is None)
        }
        self._since = min(alert.replguard.first_seen for alert in alerts) - AFTER
        self._last = max(alert.replguard.last_seen for alert in alerts)
        self._until = self._last + AFTER
        # One that is resolved is closed: what its actors do afterwards is another one's.
        self._closed = None if found.is_firing else max((each.at.segment, each.at.line) for each in found.told)
        self._mark = _quoted(found.id)
        self._ids = {_quoted(id_)[1:-1] for id_ in self._named}
        self._by = tuple(_quoted(id_)[1:] for id_ in self._actors)
        # A lineage is written with the alert that asked for it, and has its time.
        self._stamps = tuple({b'{"@timestamp":' + wire.encode(alert.timestamp) + b"," for alert in alerts})
        self._events: dict[str, Entry[Event]] = {}
        self._kinds: Counter[str] = Counter()
        self._above: dict[str, Entry[Event]] = {}
        self._held = self._over = 0

    def read(self, pick: Pick) -> None:
        """Read what belongs to the incident, and say what does not stand there."""
        found = self._found
        for line in pick(self._is_wanted):
            if isinstance(line, Fault):
                there = Fault(Path(line.path.name), line.line, line.text)
                found.missing.append(f"a part of the log is not there, or could not be read: {there}")
            else:
                self._take(line)
        found.events = sorted(
            self._events.values(), key=lambda each: (each.what.timestamp, each.what.event.sequence or 0)
        )
        found.lineage = sorted(self._family(), key=lambda each: (each.at.segment, each.at.line))
        found.missing += self._missing()

    def _is_wanted(self, line: bytes) -> bool:
        """Tell by a few looks whether a line may belong to it: there may be millions. The first id is the event's."""
        at = line.find(_ID) + len(_ID)
        if line[at : line.find(b'"', at)] in self._ids:
            return True
        if _FACT in line:
            at = line.find(_ID, line.find(_ACTOR)) + len(_ID)
            return line.startswith(self._by, at)
        if _STATE in line:
            is_near = _LINEAGE in line and line.startswith(self._stamps)
            return is_near or self._mark in line or _CHECKPOINT in line
        return _HEALTH in line

    def _take(self, line: Line) -> None:
        head = _decoded(line, _Head)
        if head is None or head.event.kind == "alert":
            return
        if head.event.kind == evidence.STATE and head.event.action in _BESIDE:
            self._beside(line, head.event.action)
        elif (event := _decoded(line, Event)) is None:
            return
        elif event.event.kind == evidence.STATE:
            self._hold(Entry(line, event))
        elif event.event.id in self._named or self._belongs(line, event):
            self._add(Entry(line, event))

    def _beside(self, line: Line, action: str) -> None:
        found = self._found
        if action == evidence.SNAPSHOT:
            taken = _decoded(line, Taken)
            if taken is not None and taken.snapshot.incident == found.id:
                found.snapshots.append(Entry(line, taken))
        elif action == evidence.CHECKPOINT:
            kept = _decoded(line, Kept)
            if kept is not None and self._is_after(kept):
                found.checkpoints.append(Entry(line, kept))
        else:
            cited = _decoded(line, Cited)
            if cited is not None and cited.incident == found.id:
                found.rules.append(Entry(line, cited))

    def _is_after(self, kept: Kept) -> bool:
        """Tell whether a checkpoint is one of the first that prove the whole incident."""
        is_room = len(self._found.checkpoints) < MOST_CHECKPOINTS
        return is_room and kept.checkpoint.stream == STREAM and kept.timestamp >= self._last

    def _belongs(self, line: Line, event: Event) -> bool:
        """Tell whether an actor did what is not allowed, or something was lost, as long as it was open."""
        if self._closed is not None and (line.segment, line.line) > self._closed:
            return False
        if not self._since <= event.timestamp <= self._until:
            return False
        if event.health is not None:
            return event.health.state in _TROUBLE
        about = event.replguard
        is_theirs = about is not None and about.actor is not None and about.actor.id in self._actors
        return is_theirs and about is not None and about.authorised is None

    def _add(self, entry: Entry[Event]) -> None:
        id_ = entry.what.event.id
        if id_ in self._events:
            return
        action = entry.what.event.action
        full = len(self._events) >= MOST or self._kinds[action] >= MOST_OF_A_KIND
        if full and (id_ not in self._named or len(self._events) >= 4 * MOST):
            self._over += 1
            return
        self._kinds[action] += 1
        self._events[id_] = entry

    def _hold(self, entry: Entry[Event]) -> None:
        """Hold a process until it is known whose ancestor it is; beyond the limit the first ones go."""
        process = entry.what.process
        if process is None or process.entity_id is None or entry.what.action != evidence.LINEAGE:
            return
        if (before := self._above.pop(process.entity_id, None)) is not None:
            self._held -= len(before.at.data)
        self._above[process.entity_id] = entry
        self._held += len(entry.at.data)
        while self._held > MOST_LINEAGE:
            self._held -= len(self._above.pop(next(iter(self._above))).at.data)

    def _family(self) -> Iterator[Entry[Event]]:
        """Yield the acting processes, as far as they are told, and all above them."""
        waiting = [id_ for each in self._found.alerts for id_ in _entities(each.what)]
        waiting += [id_ for each in self._events.values() for id_ in _entities(each.what)]
        while waiting:
            entry = self._above.pop(waiting.pop(), None)
            if entry is not None:
                waiting += _entities(entry.what)
                yield entry

    def _missing(self) -> Iterator[str]:
        """Say what should be there and is not."""
        found = self._found
        if lacking := len(self._named - self._events.keys()):
            yield f"{lacking} of the {len(self._named)} events that its alerts name are not in the evidence"
        if self._over:
            yield f"{self._over} more events of its actors are left out: this tells of {len(self._events)}"
        if not found.lineage:
            yield "no lineage of its processes was kept: what is above them is told as far as the events say it"
        if not found.snapshots:
            yield "no snapshot was taken of its processes"
        if lacking := len({e.what.rule.id for e in found.alerts} - {e.what.rule.id for e in found.rules}):
            yield f"of {lacking} of its rules the text as it was then is not in the evidence"


def _ends(told: list[Entry[Alert]]) -> list[Entry[Alert]]:
    """Return the first and the last record of each alert."""
    first = {each.what.event.id: each for each in reversed(told)}
    last = {each.what.event.id: each for each in told}
    ends = {(each.at.segment, each.at.line) for each in (*first.values(), *last.values())}
    return [each for each in told if (each.at.segment, each.at.line) in ends]


def _ids(entries: Iterable[Entry[Any]]) -> set[str]:
    return {each.what.event.id for each in entries}


class _Head(msgspec.Struct):
    event: Meta


def _decoded(line: Line, kind: type[T]) -> T | None:
    """Return what a line says; None for what nothing here has written, such as a time without a zone."""
    try:
        found = msgspec.json.decode(line.data, type=kind)
    except wire.UNREADABLE:
        return None
    about = getattr(found, "replguard", None)
    times = (getattr(found, "timestamp", None), getattr(about, "first_seen", None), getattr(about, "last_seen", None))
    return found if all(when is None or clock.is_sound(when) for when in times) else None


def _quoted(text: str) -> bytes:
    """Return a string as it stands in a line, with its quotes."""
    return wire.encode(text)


def _entities(event: Event | Alert) -> Iterable[str]:
    process = event.process
    known = [process.entity_id, process.parent.entity_id if process.parent else None] if process is not None else []
    lineage = event.replguard.lineage if isinstance(event, Event) and event.replguard is not None else ()
    return [each for each in (*known, *lineage) if each]


def _weight(alert: Alert) -> tuple[int, int, datetime]:
    return SEVERITY[alert.rule.level], len(alert.replguard.stages), alert.replguard.last_seen
