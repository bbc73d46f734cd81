"""What the evidence of a detection says as a whole: who, which model, which file; the most telling event first."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from replguard.events.alert import Detection
from replguard.events.event import Event
from replguard.events.fact import Actor, Attribution, Context, Tier

T = TypeVar("T")
_CERTAINTY: tuple[Attribution, ...] = ("unknown", "inferred", "lineage", "kernel")
_NOTHING = Context()
_FILES = ("weights_copy", "weights_arrival", "weights_access")


@dataclass(frozen=True, slots=True)
class Story:
    """The evidence, ordered by how much it tells: facts before plain events, later before earlier."""

    events: tuple[Event, ...]
    completing: Event
    main: Event

    def find(self, get: Callable[[Event], T | None]) -> T | None:
        """Return the first thing that the main event, and then the others, know."""
        for event in (self.main, *self.events):
            value = get(event)
            if value is not None:
                return value
        return None

    def context(self, get: Callable[[Context], T | None]) -> T | None:
        """Return the first thing that a ``replguard`` section knows."""
        return self.find(lambda event: get(event.replguard or _NOTHING))

    @property
    def actor(self) -> Actor | None:
        """Who acted: the first actor that somebody saw."""
        return self.find(lambda event: None if nobody(actor_of(event)) else actor_of(event)) or self.find(actor_of)

    @property
    def attribution(self) -> Attribution | None:
        """How sure it is who acted: as sure as the least sure of the facts."""
        told = [a for e in self.events if is_fact(e) and (a := (e.replguard or _NOTHING).attribution) is not None]
        return min(told, key=_CERTAINTY.index) if told else self.context(lambda c: c.attribution)

    @property
    def tier(self) -> Tier | None:
        """The weaker tier that any of the evidence came from."""
        tiers = {event.replguard.tier for event in self.events if event.replguard is not None}
        return "portable" if "portable" in tiers else "kernel" if "kernel" in tiers else None

    @property
    def degraded(self) -> bool:
        """Whether something was lost while any of the evidence was gathered."""
        return any((event.replguard or _NOTHING).degraded for event in self.events)


def tell(detection: Detection) -> Story:
    """Return the story of a detection; its main event is the last fact that names a process."""
    newest = detection.events[::-1]
    order = (*(e for e in newest if is_fact(e)), *(e for e in newest if not is_fact(e)))
    completing = detection.events[-1]
    facts = [event for event in order if is_fact(event) and event.process is not None]
    main = facts[0] if facts else next((event for event in order if event.process is not None), completing)
    return Story(order, completing, completing if is_fact(completing) and not facts else main)


def is_fact(event: Event) -> bool:
    """Whether provenance made the event."""
    return event.event.kind == "enrichment"


def is_about_file(event: Event) -> bool:
    """Whether the event's file is what the alert is about."""
    return event.action in _FILES


def actor_of(event: Event) -> Actor | None:
    """Return who the event says acted."""
    return event.replguard.actor if event.replguard else None


def nobody(actor: Actor | None) -> bool:
    """Whether no source names who acted."""
    return actor is None or (actor.kind == "unknown" and actor.pid is None)
