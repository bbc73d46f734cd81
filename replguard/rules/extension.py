"""The ``replguard:`` key of a rule file, typed, with every fault at its line."""

from typing import Any, Literal

import msgspec

from replguard import yamlfile
from replguard.errors import Problem
from replguard.events.alert import Level
from replguard.rules.model import MAX_STAGES
from replguard.yamlfile import Document

JoinKey = Literal["lineage", "unit", "session", "artefact"]
KEY = "replguard"


class RuleExtension(msgspec.Struct, frozen=True):
    """What a single-event rule may say under ``replguard:``."""

    score: int | None = None
    runbook: str | None = None
    triage: str | None = None
    blind_spots: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.score is not None and self.score < 0:
            raise ValueError("'score' must be 0 or more")


class CorrelationExtension(msgspec.Struct, frozen=True):
    """What a correlation may say under ``replguard:``."""

    score: int | None = None
    runbook: str | None = None
    triage: str | None = None
    blind_spots: tuple[str, ...] = ()
    join: tuple[JoinKey, ...] = ()
    optional: tuple[str, ...] = ()
    until: str | None = None
    levels: dict[str, Level] = {}
    sum: Literal["score"] | None = None
    distinct_rules: int = 1
    every_rule: bool = False

    def __post_init__(self) -> None:
        if self.score is not None and self.score < 0:
            raise ValueError("'score' must be 0 or more")
        if (self.every_rule or self.distinct_rules != 1) and self.sum is None:
            raise ValueError("'every_rule' and 'distinct_rules' go with 'sum: score'")


def rule_extension(document: Document, problems: list[Problem]) -> RuleExtension:
    """Return what a single-event rule says, its faults added to ``problems``."""
    if KEY not in document.value:
        return RuleExtension()
    return yamlfile.convert(document, RuleExtension, problems, (KEY,)) or RuleExtension()


def correlation_extension(document: Document, problems: list[Problem]) -> CorrelationExtension:
    """Return what a correlation says, its faults added to ``problems``: also those against its own ``rules``."""
    extension = None
    if KEY in document.value:
        extension = yamlfile.convert(document, CorrelationExtension, problems, (KEY,))
    extension = extension or CorrelationExtension()
    body = document.value.get("correlation")
    if isinstance(body, dict):
        _check(document, body, extension, problems)
    return extension


def _check(document: Document, body: dict[Any, Any], ours: CorrelationExtension, problems: list[Problem]) -> None:
    kind = body.get("type")
    stages = body.get("rules")
    stages = [stages] if isinstance(stages, str) else stages if isinstance(stages, list) else []
    temporal = kind in {"temporal", "temporal_ordered"}
    if len(stages) > MAX_STAGES:
        problems.append(document.problem(("correlation", "rules"), f"{len(stages)} stages; {MAX_STAGES} is the most"))
    for key in ("optional", "levels"):
        for name in getattr(ours, key):
            if name not in stages:
                text = f"'{key}' names '{name}', which is not among the correlation's rules"
                problems.append(document.problem((KEY, key, name), text))
    for key in ("optional", "until", "levels"):
        if getattr(ours, key) and not temporal:
            text = f"'{key}' goes with temporal and temporal_ordered, not with {kind}"
            problems.append(document.problem((KEY, key), text))
    if temporal and len([name for name in stages if name not in ours.optional]) < 2:
        text = "a sequence needs at least two rules that are not optional"
        problems.append(document.problem(("correlation", "rules"), text))
    condition = body.get("condition")
    if kind == "temporal_ordered" and condition not in (None, {"gte": len(stages)}):
        text = "temporal_ordered needs every rule in its order; take the condition away, or name rules under 'optional'"
        problems.append(document.problem(("correlation", "condition"), text))
    if ours.sum:
        _check_sum(document, kind, ours, problems)


def _check_sum(document: Document, kind: Any, ours: CorrelationExtension, problems: list[Problem]) -> None:
    if kind != "value_sum":
        problems.append(document.problem((KEY, "sum"), f"'sum: score' goes with value_sum, not with {kind}"))
    if ours.join:
        problems.append(document.problem((KEY, "join"), "'sum: score' adds up by 'group-by', not by 'join'"))
