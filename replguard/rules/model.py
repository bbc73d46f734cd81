"""What loading gives: rules, correlations, what cannot be evaluated here and why, and every fault found."""

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from sigma.filters import SigmaFilter
from sigma.rule import SigmaRule

from replguard.errors import Problem
from replguard.events.alert import AlertRule, Level
from replguard.events.evidence import RuleText

SCORES: dict[Level, int] = {"informational": 0, "low": 5, "medium": 20, "high": 60, "critical": 60}
"""What a match adds to its actor's sum when the rule gives no score of its own."""
MAX_STAGES = 16
"""Stages of one correlation. More are a mistake, and each costs state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """What every rule has. ``name`` is what correlations and the configuration call it, ``line`` where it begins.

    ``alerts`` is false when a correlation names the rule without ``generate``: it is matched and counted only.
    """

    id: str
    name: str
    title: str
    level: Level
    path: str
    line: int
    shipped: bool
    sha256: str
    tags: tuple[str, ...] = ()
    status: str | None = None
    description: str | None = None
    references: tuple[str, ...] = ()
    falsepositives: tuple[str, ...] = ()
    score: int = 0
    runbook: str | None = None
    triage: str | None = None
    blind_spots: tuple[str, ...] = ()
    alerts: bool = True

    def as_alert(self, level: Level | None = None) -> AlertRule:
        """Return what an alert says of the rule that raised it, at another level than its own if one is given."""
        return AlertRule(id=self.id, name=self.name, level=level or self.level, tags=self.tags)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule(Common):
    """A rule about single events. ``actions`` are the kinds of events that it is held against."""

    actions: frozenset[str]
    fields: tuple[str, ...]
    sigma: SigmaRule = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Correlation(Common):
    """A rule about several matches.

    ``type`` and ``op`` are Sigma's words; ``rules_line`` is where ``rules`` stand in the file; ``timespan`` is in
    seconds; ``value`` is the field that is counted or summed.
    ``needs_all`` is true for a sequence without a condition: every rule that is not optional must match. ``aliases``
    maps an alias of ``group_by`` to the field of each rule. From ``join`` on the keys are ours (see the rule format).
    """

    type: str
    rules: tuple[str, ...]
    rules_line: int = field(default=1, compare=False)
    timespan: float
    op: str = "gte"
    count: float = 1
    needs_all: bool = False
    value: str | None = None
    percentile: int | None = None
    group_by: tuple[str, ...] = ()
    aliases: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    generate: bool = False
    join: tuple[str, ...] = ()
    optional: frozenset[str] = frozenset()
    until: str | None = None
    levels: Mapping[str, Level] = field(default_factory=dict)
    sum_score: bool = False
    every_rule: bool = False
    distinct_rules: int = 1

    def inputs(self) -> frozenset[str]:
        """Return the names of the rules that it hears of."""
        return frozenset(self.rules) | ({self.until} if self.until else frozenset())


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """A Sigma filter: takes events away from other rules. ``rules_line`` is where it names them."""

    name: str
    path: str
    line: int
    rules_line: int = field(default=1, compare=False)
    sigma: SigmaFilter = field(compare=False, repr=False)


AnyRule = Rule | Correlation


@dataclass(frozen=True, slots=True)
class NotEvaluable:
    """A rule that cannot fire here, and the sentence that says why."""

    rule: AnyRule
    reason: str


@dataclass(slots=True)
class RuleSet:
    """Everything that loading found. ``files`` maps each path to the SHA-256 of its content, ``texts`` to it, packed.

    ``broken`` are the names and ids of what has a fault: who names one of them has none by that.
    ``correlations`` stand in an order in which each comes after those that it names.
    """

    rules: list[Rule] = field(default_factory=list)
    correlations: list[Correlation] = field(default_factory=list)
    filters: list[Filter] = field(default_factory=list)
    not_evaluable: list[NotEvaluable] = field(default_factory=list)
    disabled: list[AnyRule] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    files: dict[str, str] = field(default_factory=dict)
    texts: dict[str, bytes] = field(default_factory=dict, repr=False)
    sha256: str = ""

    def every(self) -> list[AnyRule]:
        """Return every rule and correlation that can fire here."""
        return [*self.rules, *self.correlations]

    def known(self) -> list[AnyRule]:
        """Return every rule that was read, those that cannot fire or are disabled included."""
        return [*self.every(), *(entry.rule for entry in self.not_evaluable), *self.disabled]

    def find(self, key: str) -> AnyRule | None:
        """Return the rule of a name or id, also when it cannot fire or is disabled."""
        return next((rule for rule in self.known() if key in {rule.name, rule.id}), None)

    def cited(self, key: str) -> Iterator[RuleText]:
        """Yield the text of a rule as it was read, and of all that it is made of; nothing for an unknown one."""
        waiting, seen = [key], set[str]()
        while waiting:
            rule = self.find(waiting.pop())
            if rule is None or rule.id in seen or rule.path not in self.texts:
                continue
            seen.add(rule.id)
            text = zlib.decompress(self.texts[rule.path]).decode("utf-8", "backslashreplace")
            yield RuleText(id=rule.id, name=rule.name, path=rule.path, sha256=rule.sha256, text=text)
            if isinstance(rule, Correlation):
                waiting += sorted(rule.inputs())
