"""A match on its way through correlations: when it happened, what it joins by, and the events behind it."""

from collections.abc import Callable
from dataclasses import dataclass, field

from replguard.events.event import Event
from replguard.rules.fields import Reader, Text, event_field, text
from replguard.rules.model import Correlation

Key = tuple[tuple[Text, ...], str, str]
"""What a match joins by: the values of ``group-by``, and the kind and value of one ``join`` key (or two blanks)."""
Order = tuple[float, int]
"""Event time in seconds since the epoch, then order of arrival."""

MAX_KEYS = 32
"""Join keys of one match that are looked at: a lineage deeper than that is known by its nearest ancestors."""
MAX_EVIDENCE = 100
"""Events that a detection names: the first and the last half of those behind it."""


@dataclass(frozen=True, slots=True, eq=False)
class Match:
    """One match of a rule. ``evidence`` holds the events behind it, the last one the event that completed it."""

    name: str
    order: Order
    evidence: tuple[Event, ...]
    score: int = 0
    keys: tuple[Key, ...] = ()

    @property
    def time(self) -> float:
        """Event time in seconds since the epoch."""
        return self.order[0]


@dataclass(frozen=True, slots=True, eq=False)
class Hit:
    """What a correlation found: the matches in their order, and the level to raise when it is not the rule's."""

    matches: tuple[Match, ...]
    key: str
    level: str | None = None
    stages: tuple[str, ...] = field(default=())

    def evidence(self) -> tuple[Event, ...]:
        """Return the events behind all matches, each once, in order of their matches."""
        events = tuple({id(event): event for match in self.matches for event in match.evidence}.values())
        if len(events) <= MAX_EVIDENCE:
            return events
        half = MAX_EVIDENCE // 2
        return events[:half] + events[-half:]


def join_values(event: Event, kind: str) -> tuple[str, ...]:
    """Return an event's values of a join key."""
    context = event.replguard
    if context is None:
        return ()
    if kind == "lineage":
        return context.lineage
    if kind == "artefact":
        return context.artefacts
    value = context.unit if kind == "unit" else context.session
    return () if value is None else (value,)


def keys_for(rule: Correlation) -> Callable[[Match], tuple[Key, ...]]:
    """Return the function that reads what a match joins by; it gives nothing for a match that can take no part."""
    readers = {name: _group_readers(rule, name) for name in {*rule.rules, rule.until or ""}}
    every = _group_readers(rule, "")

    def keys(match: Match) -> tuple[Key, ...]:
        group = tuple(_group_value(match, reader) for reader in readers.get(match.name, every))
        if None in group:
            return ()
        if not rule.join:
            return ((group, "", ""),)
        ends = match.evidence if len(match.evidence) == 1 else (match.evidence[0], match.evidence[-1])
        found = {
            (group, kind, value): None for kind in rule.join for event in ends for value in join_values(event, kind)
        }
        return tuple(found)[:MAX_KEYS]

    return keys


def _group_readers(rule: Correlation, name: str) -> tuple[Reader | None, ...]:
    return tuple(event_field(rule.aliases.get(field, {}).get(name, field)) for field in rule.group_by)


def _group_value(match: Match, read: Reader | None) -> Text:
    """Return a field's value in the newest event behind a match that has it."""
    if read is None:
        return None
    for event in reversed(match.evidence):
        value = text(read(event))
        if value is not None:
            return value
    return None


def key_name(key: Key) -> str:
    """Return a key as a detection tells it."""
    group, kind, value = key
    parts = [part if isinstance(part, str) else ",".join(part or ()) for part in group]
    return "|".join([*parts, f"{kind}={value}"] if kind else parts)
