"""A rule's fixtures: events that must fire it, and events that must not."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from replguard.events.alert import LEVELS, Detection
from replguard.rules.cases import START, Case
from replguard.rules.engine import Engine
from replguard.rules.index import Index
from replguard.rules.model import AnyRule, RuleSet


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a case gave. ``expected`` and ``got`` are what a reader compares; they are equal when it passed."""

    case: Case
    expected: str
    got: str

    @property
    def passed(self) -> bool:
        """Whether the rule did what the case says."""
        return self.expected == self.got


def fixture_path(rule: AnyRule, shipped_dir: Path) -> Path:
    """Return where the fixtures of a rule lie: beside a user's rule, in the tests for a shipped one."""
    path = Path(rule.path)
    if not rule.shipped:
        return path.with_name(f"{path.stem}.test{path.suffix}")
    return shipped_dir.parent / "tests" / "rules" / path.relative_to(shipped_dir)


def run(rule: AnyRule, ruleset: RuleSet, cases: Iterable[Case]) -> list[Outcome]:
    """Run the cases that are about a rule against it and those that it refers to, each with a fresh engine."""
    alone = only(rule, ruleset)
    index = Index(alone.rules)
    return [_run(rule, Engine(alone, index), case) for case in about(cases, rule)]


def about(cases: Iterable[Case], rule: AnyRule) -> list[Case]:
    """Return the cases that are about a rule."""
    return [case for case in cases if case.rule in {None, rule.name, rule.id}]


def only(rule: AnyRule, ruleset: RuleSet) -> RuleSet:
    """Return a rule set of one rule, which raises its own alerts, and what it refers to."""
    return some({rule.name: True}, ruleset)


def some(alerting: Mapping[str, bool], ruleset: RuleSet) -> RuleSet:
    """Return a rule set of some rules, by name and whether they raise alerts, and what they refer to."""
    wanted = set(alerting)
    for one in reversed(ruleset.correlations):
        if one.name in wanted:
            wanted |= {other.name for other in ruleset.every()} if one.every_rule else one.inputs()
    return RuleSet(
        rules=[replace(one, alerts=alerting.get(one.name, False)) for one in ruleset.rules if one.name in wanted],
        correlations=[
            replace(one, alerts=alerting.get(one.name, False)) for one in ruleset.correlations if one.name in wanted
        ],
    )


def _run(rule: AnyRule, engine: Engine, case: Case) -> Outcome:
    found: list[Detection] = []
    for event in case.events:
        found += [one for one in engine.feed(event) if one.rule.name == rule.name]
    end = max((event.timestamp for event in case.events), default=START) + timedelta(days=1)
    found += [one for one in engine.expire(end) if one.rule.name == rule.name]
    levels = [one.rule.level for one in found]
    highest = max(levels, key=LEVELS.index) if levels else None
    if case.kind != "fires":
        return Outcome(case, "no detection", f"a {highest} detection" if highest else "no detection")
    expected = f"a {case.level or highest or rule.level} detection"
    return Outcome(case, expected, f"a {highest} detection" if highest else "no detection")
