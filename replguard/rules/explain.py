"""A rule in words: what it needs, which sensors give it, what it cannot see, what to do."""

from collections.abc import Iterator

from replguard.events import names
from replguard.events.catalogue import KINDS
from replguard.rules.model import AnyRule, Correlation, Rule, RuleSet

Section = tuple[str, tuple[str, ...]]


def explain(rule: AnyRule, ruleset: RuleSet) -> Iterator[Section]:
    """Yield headings and their lines, for a reader who is on call."""
    if rule.description:
        yield "What it detects", (" ".join(rule.description.split()),)
    yield "Level", (rule.level, f"score {rule.score}")
    yield "Evaluable here", (_evaluable(rule, ruleset),)
    if isinstance(rule, Rule):
        yield from _needs(rule)
    else:
        yield from _sequence(rule)
    yield "Own alerts", (_alerts(rule),)
    for heading, lines in (
        ("Blind spots", rule.blind_spots),
        ("False positives", rule.falsepositives),
        ("Check first, and contain", (rule.triage,) if rule.triage else ()),
        ("Runbook", (rule.runbook,) if rule.runbook else ()),
        ("Tags", rule.tags),
        ("References", rule.references),
    ):
        if lines:
            yield heading, tuple(" ".join(str(line).split()) for line in lines)
    yield "File", (f"{rule.path}:{rule.line}",)


def _evaluable(rule: AnyRule, ruleset: RuleSet) -> str:
    why = next((entry.reason for entry in ruleset.not_evaluable if entry.rule.name == rule.name), None)
    if why:
        return f"no: {why}"
    if any(other.name == rule.name for other in ruleset.disabled):
        return "no: rules.disable names it"
    return "yes"


def _alerts(rule: AnyRule) -> str:
    return "yes" if rule.alerts else "no: a correlation names it without 'generate: true'"


def _needs(rule: Rule) -> Iterator[Section]:
    kinds = [KINDS[action] for action in sorted(rule.actions)]
    yield "Events", tuple(f"{kind.action}: {kind.doc}" for kind in kinds)
    areas = sorted({kind.area for kind in kinds})
    yield "Made by", tuple("provenance, from the sensors" if area == "fact" else f"the {area} sensor" for area in areas)
    yield "Fields", tuple(_field(field) for field in rule.fields)


def _field(field: str) -> str:
    paths = names.resolve(field)
    return field if paths == (field,) else f"{field} ({', '.join(paths) or 'no event has it'})"


def _sequence(rule: Correlation) -> Iterator[Section]:
    head = [rule.type.replace("_", " "), f"within {_span(rule.timespan)}"]
    if not rule.needs_all:
        head.append(f"{'score' if rule.sum_score else rule.value or 'matches'} {rule.op} {rule.count:g}")
    if rule.group_by:
        head.append("grouped by " + ", ".join(rule.group_by))
    if rule.join:
        head.append("joined by " + ", ".join(rule.join))
    if rule.distinct_rules > 1:
        head.append(f"from {rule.distinct_rules} rules or more")
    yield "Correlation", (", ".join(head),)
    stages = [name + _remarks(rule, name) for name in rule.rules]
    yield "Rules", tuple([*stages, "and every other rule with a score"] if rule.every_rule else stages)
    if rule.until:
        yield "Ended by", (rule.until,)


def _remarks(rule: Correlation, name: str) -> str:
    remarks = ["optional"] if name in rule.optional else []
    remarks += [rule.levels[name]] if name in rule.levels else []
    return f" ({', '.join(remarks)})" if remarks else ""


def _span(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"
