"""What the evidence keeps with an alert, so that it stands by itself when the raw stream is long gone."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from msgspec.structs import replace

from replguard.events.alert import Alert, Detection
from replguard.events.event import Event, Meta
from replguard.events.evidence import LINEAGE, RULE, STATE, Cited, RuleText
from replguard.events.identity import short_hash
from replguard.events.process import spare
from replguard.fair import Fair

MOST_EVENTS = 2048
"""Events of detections that are held until an alert names them: those of a rule that matches everything are more, and
an alert names its first and its last ones. Of a long command line both ends are held alone, as everywhere: the raw
stream has it whole for its day, and 500 alerts with 2 MiB each would push a year of evidence out of its limit."""
MOST_FACTS = 20_000
"""Facts of which it is known whose they are, and those that the evidence had no room for."""
MOST_INCIDENTS = 512
MOST_TOLD = 20_000
"""Records of one incident that are known to be written; beyond that some are written twice."""

Texts = Callable[[str], Iterable[RuleText]]
"""From the id of a rule: its text and those of the rules that it is made of."""


class Dossier:
    """Called by one thread.

    Facts are not repeated: the evidence has each as soon as it is known, but those that were ``withheld`` from it.
    """

    def __init__(self, texts: Texts) -> None:
        self._texts = texts
        self._events: Fair[str, Event] = Fair(MOST_EVENTS)
        self._facts: OrderedDict[str, str | None] = OrderedDict()
        self._withheld: OrderedDict[str, None] = OrderedDict()
        self._told: OrderedDict[str, set[str]] = OrderedDict()
        self._reloads = 0

    @property
    def forgotten(self) -> int:
        """How many events no alert had named when there was no more room; who has most goes first."""
        return self._events.evicted

    def reloaded(self) -> None:
        """Take it that other rules are in force: their texts are told anew."""
        self._reloads += 1

    def heard(self, detection: Detection) -> None:
        """Hold the events of a detection: an alert will name them, or the last ones of many."""
        for event in detection.events:
            id_, process = event.event.id, event.process
            if event.event.kind == "enrichment" and id_ not in self._withheld:
                self._facts[id_] = process.entity_id if process is not None else None
                continue
            light = event if process is None else replace(event, process=spare(process))
            actor = event.replguard.actor if event.replguard is not None else None
            self._events.put(id_, light, (event.user and event.user.id, actor and actor.id))
        while len(self._facts) > MOST_FACTS:
            self._facts.popitem(last=False)

    def withheld(self, fact: Event) -> None:
        """Take it that the evidence had no room for a fact: it is told with the first alert that names it."""
        self._withheld[fact.event.id] = None
        if len(self._withheld) > MOST_FACTS:
            self._withheld.popitem(last=False)

    def of(self, alert: Alert) -> Iterator[Event | Cited]:
        """Yield what the evidence is to hold with an alert, and does not hold for its incident yet.

        From whom its `acting` processes descend has to be asked for, and is told by `lineage`.
        """
        about = alert.replguard
        told = self._of(about.incident)
        named = [event for each in about.evidence if (event := self._events.get(each)) is not None]
        for event in named:
            if _is_new(event.event.id, told):
                yield event
        if _is_new(f"rules {self._reloads} {alert.rule.id}", told):
            for text in self._texts(alert.rule.id):
                if _is_new(f"rule {text.id} {text.sha256}", told):
                    yield Cited(
                        timestamp=alert.timestamp,
                        event=Meta(action=RULE, kind=STATE, id=short_hash(RULE, about.incident, text.id, text.sha256)),
                        incident=about.incident,
                        rule=text,
                    )

    def acting(self, alert: Alert) -> tuple[str, ...]:
        """Return the entity ids of the processes that an alert and the events that it names tell of."""
        last = alert.process.entity_id if alert.process is not None else None
        return tuple(filter(None, dict.fromkeys((*map(self._whose, alert.replguard.evidence), last))))

    def lineage(self, incident: str, when: datetime, ancestors: Iterable[Event]) -> Iterator[Event]:
        """Yield which processes acted in an incident, and those above them, as far as it is not told yet."""
        told = self._of(incident)
        for above in ancestors:
            if above.process is not None and _is_new(f"lineage {above.process.entity_id}", told):
                yield _stated(above, incident, when)

    def _whose(self, id_: str) -> str | None:
        """Return the entity id of the process that an event tells of."""
        event = self._events.get(id_)
        if event is None:
            return self._facts.get(id_)
        return event.process.entity_id if event.process is not None else None

    def _of(self, incident: str) -> set[str]:
        told = self._told.setdefault(incident, set())
        self._told.move_to_end(incident)
        if len(self._told) > MOST_INCIDENTS:
            self._told.popitem(last=False)
        if len(told) > MOST_TOLD:
            told.clear()
        return told


def _is_new(what: str, told: set[str]) -> bool:
    if what in told:
        return False
    told.add(what)
    return True


def _stated(event: Event, incident: str, when: datetime) -> Event:
    entity = event.process.entity_id if event.process is not None else None
    made = short_hash(LINEAGE, incident, entity)
    return replace(event, timestamp=when, event=replace(event.event, action=LINEAGE, kind=STATE, id=made))
