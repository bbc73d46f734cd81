"""A rule in words: what it needs, which sensors give it, how it is found, what it cannot see, what to do."""

import re
from collections.abc import Iterator, Sequence

import msgspec
from sigma.exceptions import SigmaError

from replguard.events import names
from replguard.events.catalogue import KINDS
from replguard.rules.compile import compile_rule
from replguard.rules.fields import Layout
from replguard.rules.index import Index
from replguard.rules.model import AnyRule, Correlation, Rule, RuleSet
from replguard.rules.values import Unsupported

Section = tuple[str, tuple[str, ...]]
FEW = 8
"""Signs that are named; an expression may have dozens."""


class Here(msgspec.Struct, frozen=True):
    """A sensor that works on this host: its area, its tier, and what it cannot see."""

    sensor: str
    area: str
    tier: str
    blind: str | None = None


class Need(msgspec.Struct, frozen=True):
    """A kind of event that a rule is held against, who makes it, in which tiers, and which sensors do so here."""

    event: str
    meaning: str
    made_by: str
    tiers: tuple[str, ...]
    here: tuple[str, ...]


class Stage(msgspec.Struct, frozen=True):
    """A rule that a correlation names."""

    rule: str
    title: str
    optional: bool
    level: str | None
    events: tuple[str, ...]


class Chain(msgspec.Struct, frozen=True):
    """What a correlation says of its rules. ``timespan`` is in seconds."""

    type: str
    summary: str
    timespan: float
    stages: tuple[Stage, ...]
    every_rule: bool
    group_by: tuple[str, ...]
    join: tuple[str, ...]
    until: str | None


class Explanation(msgspec.Struct, frozen=True):
    """All that is known of a rule, for a reader or a program.

    ``signs`` are texts of which one must be in an event for the rule to be looked at; ``indexed`` are False for a rule
    that is tried on every event of its kinds, None for a correlation. ``heard_by`` are the correlations that its
    matches count for, ``fires_on`` the cases of its fixtures that fire it.
    """

    name: str
    id: str
    title: str
    description: str | None
    level: str
    score: int
    evaluable: bool
    reason: str | None
    alerts: bool
    needs: tuple[Need, ...]
    fields: dict[str, tuple[str, ...]]
    indexed: bool | None
    signs: tuple[str, ...]
    correlation: Chain | None
    heard_by: tuple[str, ...]
    fires_on: tuple[str, ...]
    blind_spots: tuple[str, ...]
    blind_sensors: dict[str, str]
    falsepositives: tuple[str, ...]
    triage: str | None
    runbook: str | None
    tags: tuple[str, ...]
    references: tuple[str, ...]
    path: str
    line: int


def gather(rule: AnyRule, ruleset: RuleSet, here: Sequence[Here] = (), cases: Sequence[str] = ()) -> Explanation:
    """Return what is known of a rule on a host with these sensors; ``cases`` are those of its fixtures that fire it."""
    reason = _reason(rule, ruleset)
    singles = _singles(rule, ruleset)
    actions = sorted({action for one in singles for action in one.actions})
    areas = _areas(actions)
    indexed, signs = _signs(rule) if isinstance(rule, Rule) else (None, ())
    fields = dict.fromkeys(field for one in singles for field in one.fields)
    return Explanation(
        name=rule.name,
        id=rule.id,
        title=rule.title,
        description=_plain(rule.description) if rule.description else None,
        level=rule.level,
        score=rule.score,
        evaluable=reason is None,
        reason=reason,
        alerts=rule.alerts,
        needs=tuple(_need(action, here) for action in actions),
        fields={field: names.resolve(field) for field in fields},
        indexed=indexed,
        signs=signs,
        correlation=_sequence(rule, ruleset) if isinstance(rule, Correlation) else None,
        heard_by=_heard_by(rule, ruleset),
        fires_on=tuple(cases),
        blind_spots=tuple(map(_plain, rule.blind_spots)),
        blind_sensors={one.sensor: _plain(one.blind) for one in here if one.area in areas and one.blind},
        falsepositives=tuple(map(_plain, rule.falsepositives)),
        triage=_plain(rule.triage) if rule.triage else None,
        runbook=rule.runbook,
        tags=rule.tags,
        references=rule.references,
        path=rule.path,
        line=rule.line,
    )


def explain(found: Explanation) -> Iterator[Section]:
    """Yield headings and their lines, for a reader who is on call."""
    if found.description:
        yield "What it detects", (found.description,)
    yield "Level", (f"{found.level}, score {found.score}",)
    if found.triage:
        yield "Check first, and contain", (found.triage,)
    yield "Evaluable here", ("yes" if found.reason is None else f"no: {found.reason}",)
    if found.correlation:
        yield from _told_sequence(found.correlation)
    yield from _told_needs(found)
    yield "Own alerts", ("yes" if found.alerts else "no: a correlation names it without 'generate: true'",)
    for heading, lines in (
        ("Counts for", found.heard_by),
        ("Fires on", found.fires_on),
        ("Blind spots", found.blind_spots),
        ("What the sensors here cannot see", tuple(f"{name}: {text}" for name, text in found.blind_sensors.items())),
        ("False positives", found.falsepositives),
        ("Runbook", (found.runbook,) if found.runbook else ()),
        ("Tags", found.tags),
        ("References", found.references),
    ):
        if lines:
            yield heading, lines
    yield "File", (f"{found.path}:{found.line}",)


def _plain(text: str) -> str:
    return " ".join(str(text).split())


def _reason(rule: AnyRule, ruleset: RuleSet) -> str | None:
    if any(other.name == rule.name for other in ruleset.disabled):
        return "rules.disable names it"
    return next((entry.reason for entry in ruleset.not_evaluable if entry.rule.name == rule.name), None)


def _singles(rule: AnyRule, ruleset: RuleSet, seen: frozenset[str] = frozenset()) -> list[Rule]:
    """Return the rules about single events that a rule stands on, itself included, in the order of its stages."""
    if isinstance(rule, Rule):
        return [rule]
    inputs = [ruleset.find(name) for name in (*rule.rules, *([rule.until] if rule.until else []))]
    found = [
        single
        for one in inputs
        if one is not None and one.name not in seen
        for single in _singles(one, ruleset, seen | {rule.name})
    ]
    return list({one.name: one for one in found}.values())


def _areas(actions: Sequence[str]) -> frozenset[str]:
    """Return the areas of sensors that events come from: a fact may need any of them."""
    areas = {KINDS[action].area for action in actions}
    return frozenset({"process", "file", "network", "gpu", "host"} if "fact" in areas else areas)


def _need(action: str, here: Sequence[Here]) -> Need:
    kind = KINDS[action]
    return Need(
        event=action,
        meaning=kind.doc,
        made_by="provenance, from what the sensors tell" if kind.fact else f"the {kind.area} sensor",
        tiers=("kernel", "portable") if kind.portable else ("kernel",),
        here=tuple(f"{one.sensor} ({one.tier})" for one in here if one.area == kind.area),
    )


def _signs(rule: Rule) -> tuple[bool, tuple[str, ...]]:
    """Return whether the index can find a rule by a text, and the texts of which one must be there."""
    try:
        needs = compile_rule(rule.sigma, Layout()).needs
    except (Unsupported, SigmaError, re.error, KeyError, RecursionError):
        return False, ()
    # Where the rule has several such lists, all of them must hold: the first is the rarest.
    return not Index([rule]).unindexed(), tuple(sorted({text for _, (_, text) in needs[0]})) if needs else ()


def _heard_by(rule: AnyRule, ruleset: RuleSet) -> tuple[str, ...]:
    heard = []
    for one in ruleset.known():
        if isinstance(one, Correlation) and one.name != rule.name:
            if {rule.name, rule.id} & one.inputs():
                heard.append(one.name)
            elif one.every_rule and rule.score > 0:
                heard.append(f"{one.name} (with {rule.score} points)")
    return tuple(heard)


def _sequence(rule: Correlation, ruleset: RuleSet) -> Chain:
    head = [rule.type.replace("_", " "), f"within {span(rule.timespan)}"]
    if not rule.needs_all:
        head.append(f"{'score' if rule.sum_score else rule.value or 'matches'} {rule.op} {rule.count:g}")
    if rule.group_by:
        head.append("grouped by " + ", ".join(rule.group_by))
    if rule.join:
        head.append("joined by " + ", ".join(rule.join))
    if rule.distinct_rules > 1:
        head.append(f"from {rule.distinct_rules} rules or more")
    return Chain(
        type=rule.type,
        summary=", ".join(head),
        timespan=rule.timespan,
        stages=tuple(_stage(rule, name, ruleset) for name in rule.rules),
        every_rule=rule.every_rule,
        group_by=rule.group_by,
        join=rule.join,
        until=rule.until,
    )


def _stage(rule: Correlation, name: str, ruleset: RuleSet) -> Stage:
    one = ruleset.find(name)
    events = sorted({action for single in (_singles(one, ruleset) if one else ()) for action in single.actions})
    return Stage(
        rule=name,
        title=one.title if one else "",
        optional=name in rule.optional,
        level=rule.levels.get(name),
        events=tuple(events),
    )


def _told_sequence(found: Chain) -> Iterator[Section]:
    yield "Correlation", (found.summary,)
    ordered = found.type == "temporal_ordered"
    lines = [
        (f"{number}. " if ordered else "") + stage.rule + _remarks(stage) + (f": {stage.title}" if stage.title else "")
        for number, stage in enumerate(found.stages, 1)
    ]
    yield "Stages" if ordered else "Rules", (*lines, *(["every other rule with a score"] if found.every_rule else []))
    if found.until:
        yield "Ended by", (found.until,)


def _remarks(stage: Stage) -> str:
    remarks = [*(["optional"] if stage.optional else []), *([f"raises {stage.level}"] if stage.level else [])]
    return f" ({', '.join(remarks)})" if remarks else ""


def _told_needs(found: Explanation) -> Iterator[Section]:
    yield "Events", tuple(f"{need.event}: {need.meaning}" for need in found.needs)
    yield "Made by", tuple(dict.fromkeys(_made(need) for need in found.needs))
    if found.correlation is None:
        yield "Fields", tuple(_field(field, paths) for field, paths in found.fields.items())
        yield "Found by", (_told_signs(found),)


def _made(need: Need) -> str:
    tiers = "both tiers" if len(need.tiers) > 1 else f"the {need.tiers[0]} tier only"
    return f"{need.made_by}, in {tiers}" + (f"; here {', '.join(need.here)}" if need.here else "")


def _field(field: str, paths: tuple[str, ...]) -> str:
    return field if paths == (field,) else f"{field} ({', '.join(paths) or 'no event has it'})"


def _told_signs(found: Explanation) -> str:
    """Return by what the index finds a rule: one that has nothing to look for costs something on every event."""
    if not found.indexed:
        kinds = ", ".join(need.event for need in found.needs)
        return f"nothing: it has no text that must be there, and is tried on every {kinds or 'event'}"
    some = ", ".join(f"'{text}'" for text in found.signs[:FEW])
    more = len(found.signs) - FEW
    return f"{some}{f' or one of {more} more' if more > 0 else ''}: an event without is passed over"


def span(seconds: float) -> str:
    """Return a time span in its largest whole unit."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"
