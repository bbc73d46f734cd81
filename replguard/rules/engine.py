"""The engine: events in, detections out. No I/O and no clock, so that live, replay and tests use the same one."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import cast

import msgspec

from replguard.events.alert import Detection, Level
from replguard.events.event import Event
from replguard.events.health import Health
from replguard.events.process import spare
from replguard.rules.correlator import Correlator
from replguard.rules.history import TOLERANCE
from replguard.rules.index import Index
from replguard.rules.matches import Hit, Match
from replguard.rules.model import AnyRule, Correlation, RuleSet
from replguard.rules.score import Score
from replguard.rules.sequence import Sequence
from replguard.rules.together import Together
from replguard.rules.window import AT_END, Window

SWEEP = 300.0
"""Seconds of event time between two rounds of forgetting: each looks at all that is remembered."""
LOSSES = 4096
"""Reports of lost events that are remembered."""
LONGEST = timedelta(hours=24)
"""How far a start looks back for what the correlations knew, at the most."""
_KINDS: dict[str, type[Correlator]] = {"temporal_ordered": Sequence, "temporal": Together}


@dataclass(slots=True)
class Counters:
    """What the engine did. ``late`` events came too late for correlations, ``failed`` counts rules that broke."""

    events: int = 0
    late: int = 0
    evicted: int = 0
    failed: int = 0
    partials: int = 0


@dataclass(slots=True)
class State:
    """What an engine remembers: what it takes to go on where it stopped. Times are seconds since the epoch."""

    correlators: list[Correlator]
    events: int = 0
    late: int = 0
    now: float = float("-inf")
    ticked: bool = False
    swept: float = float("-inf")
    losses: deque[float] = field(default_factory=lambda: deque(maxlen=LOSSES))


class Engine:
    """Rules and correlations with their state. ``matches`` counts the matches of each rule by name, from 0.

    ``index`` is one of the same rules that is compiled already: several engines may share it. ``moved`` says whether
    the last event left anything in the state: whether a rule matched it, or it told the time or a loss.
    """

    def __init__(self, ruleset: RuleSet, index: Index | None = None) -> None:
        self.ruleset = ruleset
        self.matches: dict[str, int] = {rule.name: 0 for rule in ruleset.every()}
        self._index = index or Index(ruleset.rules)
        self.state = State([_correlator(rule) for rule in ruleset.correlations])
        self._hearers = {rule.name: _hearers(rule, ruleset.correlations) for rule in ruleset.every()}
        self.moved = False
        self._timed = [number for number, rule in enumerate(ruleset.correlations) if rule.op in AT_END]

    @property
    def counters(self) -> Counters:
        """What the engine has done so far."""
        return Counters(
            events=self.state.events,
            late=self.state.late,
            evicted=sum(one.evicted for one in self.state.correlators),
            failed=self._index.failed,
            partials=sum(map(len, self.state.correlators)),
        )

    def feed(self, event: Event) -> list[Detection]:
        """Hold an event against every rule; return what is detected, single-event rules first.

        What was found existing at start (``event.kind: state``) is no act, and is passed over.
        """
        meta, health, state = event.event, event.health, self.state
        if meta.kind == "state":
            self.moved = False
            return []
        state.events += 1
        time = _seconds(event.timestamp)
        if health is None and not self._timed and state.swept <= state.now <= time < state.swept + SWEEP:
            state.now, found = time, []  # as for nearly every event, nothing is due
        else:
            found = self._pass_time(health if meta.action == "sensor_health" else None, time)
        rules = self._index.matches(event)
        self.moved = bool(rules) or health is not None
        if not rules:
            return found
        for rule in rules:
            self.matches[rule.name] += 1
            if rule.alerts:
                found.append(_single(rule, event))
        if time < self.state.now - TOLERANCE:
            self.state.late += 1
            return found
        order = (time, self.state.events)
        kept = _remembered(event)
        found += self._correlate([Match(rule.name, order, (kept,), rule.score) for rule in rules])
        return found

    def expire(self, now: datetime) -> list[Detection]:
        """Let time pass without an event; return what that completes."""
        return self._advance(_seconds(now))

    @property
    def span(self) -> timedelta:
        """How far back what happened may still matter to a correlation."""
        longest = max((rule.timespan for rule in self.ruleset.correlations), default=0.0)
        return timedelta(seconds=min(longest + TOLERANCE, LONGEST.total_seconds()))

    def resume(self, events: Iterable[Event]) -> Iterator[tuple[Event, list[Detection]]]:
        """Take in what happened before a start: correlations go on from it, and nothing is counted again.

        Yields each event with what it raised, which is known already but for the last of it.
        """
        matches, self.matches = self.matches, dict(self.matches)
        for event in events:
            yield event, self.feed(event) if event.health is not None or self._index.matches(event) else []
        self.matches = matches
        self.state.late = 0

    def adopt(self, old: "Engine") -> None:
        """Take over the state of correlations that are the same in an older engine: a reload forgets no sequence."""
        kept = [
            next((one for one in old.state.correlators if one.rule == new.rule), new) for new in self.state.correlators
        ]
        self.state = replace(old.state, correlators=kept)
        self.matches.update({name: count for name, count in old.matches.items() if name in self.matches})

    def _pass_time(self, health: Health | None, time: float) -> list[Detection]:
        """Follow the time of events. Ticks set it; once they come, an event from a far future does not."""
        state = self.state
        if health is not None:
            if health.state == "loss":
                state.losses.append(time)
            elif health.state == "tick":
                state.ticked = True
                state.now = time
        if time > state.now and not (state.ticked and time > state.now + TOLERANCE):
            state.now = time
        if not self._timed and state.now - SWEEP < state.swept <= state.now:
            return []
        return self._advance(state.now)

    def _advance(self, now: float) -> list[Detection]:
        found: list[Detection] = []
        for number in self._timed:
            for hit in self.state.correlators[number].due(now):
                found += self._raise(number, hit)
        if not now - SWEEP < self.state.swept <= now:
            self.state.swept = now
            for correlator in self.state.correlators:
                correlator.sweep(now)
        return found

    def _raise(self, number: int, hit: Hit) -> list[Detection]:
        """Return what a hit raises: its own detection, and those of the correlations that name it."""
        rule = self.state.correlators[number].rule
        self.matches[rule.name] += 1
        found = [self._detection(rule, hit)] if rule.alerts else []
        return found + self._correlate([_match(rule, hit)])

    def _correlate(self, matches: list[Match]) -> list[Detection]:
        """Hand matches to the correlations that name their rules, in an order in which each comes after its inputs."""
        found: list[Detection] = []
        waiting: dict[int, list[Match]] = {}
        for match in matches:
            for number in self._hearers[match.name]:
                waiting.setdefault(number, []).append(match)
        while waiting:
            number = min(waiting)
            correlator = self.state.correlators[number]
            rule = correlator.rule
            heard = sorted(waiting.pop(number), key=correlator.rank)
            for hit in [hit for match in heard for hit in correlator.feed(match)]:
                self.matches[rule.name] += 1
                if rule.alerts:
                    found.append(self._detection(rule, hit))
                for later in self._hearers[rule.name]:
                    waiting.setdefault(later, []).append(_match(rule, hit))
        return found

    def _detection(self, rule: Correlation, hit: Hit) -> Detection:
        last = hit.matches[-1].time
        evidence = hit.evidence()
        lost = any(last - rule.timespan <= loss <= last for loss in self.state.losses)
        return Detection(
            rule=rule.as_alert(cast("Level | None", hit.level)),
            key=hit.key,
            events=evidence,
            stages=hit.stages,
            degraded=lost or any(_degraded(event) for event in evidence),
            runbook=rule.runbook,
        )


def _hearers(rule: AnyRule, correlations: list[Correlation]) -> tuple[int, ...]:
    """Return the places of the correlations that hear of a rule; each comes after those that it names."""
    return tuple(
        number
        for number, one in enumerate(correlations)
        if rule.name in one.inputs() or (one.every_rule and rule.score > 0 and rule is not one)
    )


def _correlator(rule: Correlation) -> Correlator:
    if rule.sum_score:
        return Score(rule)
    return _KINDS.get(rule.type, Window)(rule)


def _match(rule: Correlation, hit: Hit) -> Match:
    return Match(rule.name, hit.matches[-1].order, hit.evidence(), rule.score)


def _single(rule: AnyRule, event: Event) -> Detection:
    context = event.replguard
    key = context.actor.id if context and context.actor else (event.process and event.process.entity_id) or ""
    return Detection(rule=rule.as_alert(), key=key, events=(event,), degraded=_degraded(event), runbook=rule.runbook)


def _remembered(event: Event) -> Event:
    """Return the event as correlations keep it for hours: with both ends of a giant argv."""
    if event.process is None or (kept := spare(event.process)) is event.process:
        return event
    return msgspec.structs.replace(event, process=kept)


def _degraded(event: Event) -> bool:
    return event.replguard is not None and event.replguard.degraded


def _seconds(time: datetime) -> float:
    return time.timestamp() if time.tzinfo is not None else time.replace(tzinfo=UTC).timestamp()
