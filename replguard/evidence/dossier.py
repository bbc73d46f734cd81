"""What the evidence keeps with an alert, so that it stands by itself when the raw stream is long gone."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator

from msgspec.structs import replace

from replguard.events.alert import Alert, Detection
from replguard.events.event import Event, Meta
from replguard.events.evidence import LINEAGE, RULE, STATE, Cited, RuleText
from replguard.events.identity import short_hash
from replguard.events.process import spare

MOST_EVENTS = 4096
"""Events of detections that are held until an alert names them: those of a rule that matches everything are more, and
an alert names its first and its last ones."""
HEAVIEST = 64 * 2**10
"""Characters of a command line above which both ends of it are kept alone: 500 alerts with 2 MiB each would push a year
of evidence out of its limit. The raw stream has it whole for its day."""
MOST_WEIGHT = 8 * 2**20
"""Characters of command lines that are held at most."""
MOST_INCIDENTS = 512
MOST_TOLD = 20_000
"""Records of one incident that are known to be written; beyond that some are written twice."""

Ancestors = Callable[[str], Iterable[Event]]
"""From an entity id: the process and its ancestors up to the entry point, as far as they are known."""
Texts = Callable[[str], Iterable[RuleText]]
"""From the id of a rule: its text and those of the rules that it is made of."""


class Dossier:
    """Called by the pipeline's thread. ``forgotten`` counts events that no alert had named when there was no more room.

    Facts are not repeated: the evidence has each as soon as it is known.
    """

    def __init__(self, ancestors: Ancestors, texts: Texts) -> None:
        self._ancestors, self._texts = ancestors, texts
        self._events: OrderedDict[str, Event] = OrderedDict()
        self._told: OrderedDict[str, set[str]] = OrderedDict()
        self._weight = 0
        self._reloads = 0
        self.forgotten = 0

    def reloaded(self) -> None:
        """Take it that other rules are in force: their texts are told anew."""
        self._reloads += 1

    def heard(self, detection: Detection) -> None:
        """Hold the events of a detection: an alert will name them, or the last ones of many."""
        for event in map(_light, detection.events):
            if (before := self._events.pop(event.event.id, None)) is not None:
                self._weight -= _weight(before)
            self._events[event.event.id] = event
            self._weight += _weight(event)
        while len(self._events) > MOST_EVENTS or self._weight > MOST_WEIGHT:
            _, oldest = self._events.popitem(last=False)
            self._weight -= _weight(oldest)
            self.forgotten += 1

    def of(self, alert: Alert) -> Iterator[Event | Cited]:
        """Yield what the evidence is to hold with an alert, and does not hold for its incident yet."""
        about = alert.replguard
        told = self._of(about.incident)
        named = [self._events[each] for each in about.evidence if each in self._events]
        for event in named:
            if event.event.kind != "enrichment" and _is_new(event.event.id, told):
                yield event
        acting = [*(event.process for event in named), alert.process]
        for entity in dict.fromkeys(process.entity_id for process in acting if process is not None):
            for above in self._ancestors(entity) if entity else ():
                if above.process is not None and _is_new(f"lineage {above.process.entity_id}", told):
                    yield _stated(above, alert)
        if _is_new(f"rules {self._reloads} {alert.rule.id}", told):
            for text in self._texts(alert.rule.id):
                if _is_new(f"rule {text.id} {text.sha256}", told):
                    yield Cited(
                        timestamp=alert.timestamp,
                        event=Meta(action=RULE, kind=STATE, id=short_hash(RULE, about.incident, text.id, text.sha256)),
                        incident=about.incident,
                        rule=text,
                    )

    def _of(self, incident: str) -> set[str]:
        told = self._told.setdefault(incident, set())
        self._told.move_to_end(incident)
        if len(self._told) > MOST_INCIDENTS:
            self._told.popitem(last=False)
        if len(told) > MOST_TOLD:
            told.clear()
        return told


def _weight(event: Event) -> int:
    """Return the characters of a command line and its arguments, which are the same."""
    process = event.process
    return 0 if process is None else 2 * len(process.command_line or "")


def _light(event: Event) -> Event:
    process = event.process
    return replace(event, process=spare(process)) if process is not None and _weight(event) > HEAVIEST else event


def _is_new(what: str, told: set[str]) -> bool:
    if what in told:
        return False
    told.add(what)
    return True


def _stated(event: Event, alert: Alert) -> Event:
    entity = event.process.entity_id if event.process is not None else None
    made = short_hash(LINEAGE, alert.replguard.incident, entity)
    return replace(event, timestamp=alert.timestamp, event=replace(event.event, action=LINEAGE, kind=STATE, id=made))
