"""Why a rule did what it did in a case: which of its selections hold for each event, or which of its rules matched."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from sigma.rule import SigmaDetections, SigmaRule

from replguard.events import names
from replguard.events.event import Event
from replguard.rules.cases import START, Case
from replguard.rules.compile import fields_of
from replguard.rules.engine import Engine
from replguard.rules.index import Index
from replguard.rules.model import AnyRule, Rule, RuleSet

FEW = 6
"""Events that are looked at one by one."""
LONG = 60
"""Characters of a value that are shown."""


def why(rule: AnyRule, ruleset: RuleSet, case: Case) -> list[str]:
    """Return lines that say what of a rule held in a case; ``ruleset`` are the rule and what it refers to."""
    if not case.events:
        return ["the case has no events"]
    events = list(enumerate(case.events, 1))
    lines = _single(rule, events) if isinstance(rule, Rule) else _several(rule, ruleset, case)
    return list(lines)


def _single(rule: Rule, events: Sequence[tuple[int, Event]]) -> Iterator[str]:
    selections = {name: _alone(rule, name) for name in rule.sigma.detection.detections}
    for number, event in events[:FEW]:
        said = f"event {number}, {_what(event)}: "
        if event.event.action not in rule.actions:
            yield said + f"the rule is about {', '.join(sorted(rule.actions)) or 'nothing that is made'}"
            continue
        held = {name: _holds(one, event) for name, one in selections.items()}
        yield said + ", ".join(f"{name} {'holds' if yes else 'does not hold'}" for name, yes in held.items())
        for name in (name for name, yes in held.items() if not yes):
            yield from (f"  {name}: {line}" for line in _seen(selections[name], event))
    if len(events) > FEW:
        yield f"and {len(events) - FEW} more events"


def _alone(rule: Rule, name: str) -> Rule:
    """Return the rule as if one selection were all of its condition."""
    sigma = rule.sigma
    detections = SigmaDetections(detections=sigma.detection.detections, condition=[name])
    return replace(rule, sigma=SigmaRule(title=sigma.title, logsource=sigma.logsource, detection=detections))


def _holds(rule: Rule, event: Event) -> bool:
    return bool(Index([rule]).matches(event))


def _seen(rule: Rule, event: Event) -> Iterator[str]:
    """Yield what an event has in the fields of a selection."""
    for field in fields_of(rule.sigma):
        values = [value for path in names.resolve(field) if (value := names.getter(path)(event)) is not None]
        shown = " or ".join(dict.fromkeys(map(repr, values))) or "absent"
        yield f"{field} is {shown if len(shown) <= LONG else shown[:LONG] + '…'}"


def _several(rule: AnyRule, ruleset: RuleSet, case: Case) -> Iterator[str]:
    """Yield for each rule that a correlation names which events it matched, or else why not those of its kind."""
    engine = Engine(ruleset, Index(ruleset.rules))
    matched: dict[str, list[int]] = {one.name: [] for one in ruleset.every() if one.name != rule.name}
    for number, event in enumerate(case.events, 1):
        before = dict(engine.matches)
        engine.feed(event)
        for name, numbers in matched.items():
            if engine.matches[name] > before[name]:
                numbers.append(number)
    named = [name for name in getattr(rule, "rules", ()) if name in matched]
    others = [name for name, numbers in matched.items() if numbers and name not in named]
    for name in [*named, *others]:
        numbers = matched[name]
        some = ", ".join(map(str, numbers[:FEW])) + (" …" if len(numbers) > FEW else "")
        yield f"{name}: {f'event {some}' if numbers else 'matched nothing'}"
        one = ruleset.find(name)
        if isinstance(one, Rule) and not numbers:
            kind = [(number, event) for number, event in enumerate(case.events, 1) if event.event.action in one.actions]
            yield from (f"  {line}" for line in _single(one, kind))


def _what(event: Event) -> str:
    return f"{event.event.action} at {(event.timestamp - START).total_seconds():g}s"
