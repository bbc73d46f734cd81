"""One YAML document into a rule, a correlation or a filter; pySigma reads it, every fault gets its line."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sigma.correlations import SigmaCorrelationCondition, SigmaCorrelationRule
from sigma.exceptions import SigmaCorrelationTypeError, SigmaError
from sigma.filters import SigmaFilter
from sigma.rule import SigmaRule, SigmaRuleBase

from replguard.errors import Problem
from replguard.events import names
from replguard.events.alert import LEVELS, Level
from replguard.events.catalogue import by_category
from replguard.rules import suggest
from replguard.rules.compile import fields_of
from replguard.rules.detection import check_fields, check_filter, check_values, written_fields
from replguard.rules.dialect import POLICY
from replguard.rules.extension import CorrelationExtension, RuleExtension, correlation_extension, rule_extension
from replguard.rules.misspelt import check_condition, check_grammar, check_keys, check_source
from replguard.rules.model import SCORES, AnyRule, Correlation, Filter, Rule
from replguard.rules.place import fault
from replguard.yamlfile import Document

MAX_COUNT = 100_000
"""The largest count that a condition may ask for: each match in a window is kept."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a document comes from, and the levels that the configuration sets by name or id."""

    stem: str
    sha256: str
    shipped: bool
    levels: Mapping[str, Level]


def parse(document: Document, source: Source, problems: list[Problem]) -> AnyRule | Filter | None:
    """Return what a document holds, or None after adding every fault in it to ``problems``."""
    before = len(problems)
    value = document.value
    if not isinstance(value, dict):
        problems.append(document.problem((), "expected a Sigma rule (keys and values)"))
        return None
    if "action" in value:
        problems.append(
            document.problem(("action",), "Sigma's 'action' documents are not supported; one rule a document")
        )
        return None
    check_keys(document, problems)
    check_source(document, problems)
    for key in ("id", "name"):  # pySigma takes them for text without a look
        if not isinstance(value.get(key, ""), str | None):
            problems.append(document.problem((key,), f"'{key}' must be text: put it in quotes"))
            document = replace(document, value={k: v for k, v in document.value.items() if k != key})
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a rule's regular expression that Python frowns upon is the author's
            found = _parse(document, source, problems)
    except Exception as error:  # noqa: BLE001 - pySigma raises anything on a document that is not what it expects
        problems.append(fault(document, error))
        return None
    return found if len(problems) == before else None


def _parse(document: Document, source: Source, problems: list[Problem]) -> AnyRule | Filter | None:
    if "correlation" in document.value:
        return _correlation(document, source, problems)
    if "filter" in document.value and "detection" not in document.value:
        return _filter(document, source, problems)
    return _rule(document, source, problems)


def _rule(document: Document, source: Source, problems: list[Problem]) -> Rule | None:
    ours = rule_extension(document, problems)
    detection = document.value.get("detection")
    broken = check_values(document, detection, ("detection",), problems)
    undefined = check_condition(document, detection, ("detection",), problems)
    sigma = SigmaRule.from_dict(document.value, collect_errors=True, policy=POLICY)
    _add(document, sigma.errors, broken, problems)
    if sigma.errors or undefined:
        check_fields(document, written_fields(document), problems)
        if not undefined:
            check_grammar(document, detection, problems)
        return None
    sigma.name = str(document.value.get("name") or source.stem)
    try:
        fields = fields_of(sigma)
    except SigmaError as error:
        problems.append(fault(document, error, ("detection", "condition")))
        return None
    check_fields(document, fields, problems)
    actions = by_category(sigma.logsource.category or "")
    return Rule(**_common(sigma, document, source, ours), actions=actions, fields=fields, sigma=sigma)


def _filter(document: Document, source: Source, problems: list[Problem]) -> Filter | None:
    broken = check_values(document, document.value["filter"], ("filter",), problems)
    check_condition(document, document.value["filter"], ("filter",), problems)
    sigma = SigmaFilter.from_dict(document.value, collect_errors=True, policy=POLICY)
    _add(document, sigma.errors, broken, problems)
    check_filter(document, document.value["filter"], problems)
    name = str(document.value.get("name") or source.stem)
    if sigma.errors:
        return None
    rules_line = document.line(("filter", "rules"))
    return Filter(name=name, path=document.path, line=document.line(()), rules_line=rules_line, sigma=sigma)


def _correlation(document: Document, source: Source, problems: list[Problem]) -> Correlation | None:
    ours = correlation_extension(document, problems)
    sigma = SigmaCorrelationRule.from_dict(document.value, collect_errors=True)
    untyped = any(isinstance(error, SigmaCorrelationTypeError) for error in sigma.errors)
    follows = [e for e in sigma.errors if untyped and str(e).startswith("Non-temporal")]
    _add(document, [error for error in sigma.errors if error not in follows], False, problems)
    condition = sigma.condition
    if sigma.errors:
        return None
    if not isinstance(condition, SigmaCorrelationCondition):
        place = ("correlation", "condition")
        problems.append(document.problem(place, "a condition in words is not supported; name the rules and use gte"))
        return None
    if not 0 <= condition.count <= MAX_COUNT and not ours.sum and sigma.type.name in {"EVENT_COUNT", "VALUE_COUNT"}:
        problems.append(document.problem(("correlation", "condition"), f"a count must be 0 to {MAX_COUNT}"))
    field = condition.fieldref if not ours.sum else None
    if isinstance(field, list):
        problems.append(document.problem(("correlation", "condition", "field"), "one field, not a list"))
        return None
    aliases = {a.alias: {str(ref.reference): f for ref, f in a.mapping.items()} for a in sigma.aliases}
    read = [name for name in (*(sigma.group_by or ()), field) if name and name not in aliases]
    read += [name for mapping in aliases.values() for name in mapping.values()]
    place = ("correlation", "group-by")
    problems += [document.problem(place, suggest.field(name)) for name in read if not names.resolve(name)]
    return Correlation(
        **_common(sigma, document, source, ours),
        type=sigma.type.name.lower(),
        rules_line=document.line(("correlation", "rules")),
        rules=tuple(str(ref.reference) for ref in sigma.rules or ()),
        timespan=float(sigma.timespan.seconds),
        op=condition.op.name.lower(),
        count=condition.count,
        needs_all=document.value["correlation"].get("condition") is None or sigma.type.name == "TEMPORAL_ORDERED",
        value=field,
        percentile=condition.percentile,
        group_by=tuple(sigma.group_by or ()),
        aliases=aliases,
        generate=sigma.generate,
        join=ours.join,
        optional=frozenset(ours.optional),
        until=ours.until,
        levels=ours.levels,
        sum_score=ours.sum is not None,
        every_rule=ours.every_rule,
        distinct_rules=ours.distinct_rules,
    )


def _common(
    sigma: SigmaRuleBase, document: Document, source: Source, ours: RuleExtension | CorrelationExtension
) -> dict[str, Any]:
    name = str(sigma.name or source.stem)
    ident = str(sigma.id) if sigma.id else name
    own = sigma.level.name.lower() if sigma.level else "medium"
    by_rule = next((one for one in LEVELS if one == own), LEVELS[2])
    level = source.levels.get(ident) or source.levels.get(name) or by_rule
    by_default = 0 if isinstance(ours, CorrelationExtension) else SCORES[level]
    return {
        "id": ident,
        "name": name,
        "title": sigma.title,
        "level": level,
        "path": document.path,
        "line": document.line(()),
        "shipped": source.shipped,
        "sha256": source.sha256,
        "tags": tuple(str(tag) for tag in sigma.tags),
        "status": sigma.status.name.lower() if sigma.status else None,
        "description": sigma.description,
        "references": tuple(map(str, sigma.references)),
        "falsepositives": tuple(map(str, sigma.falsepositives)),
        "score": by_default if ours.score is None else ours.score,
        "runbook": ours.runbook,
        "triage": ours.triage,
        "blind_spots": ours.blind_spots,
    }


def _add(document: Document, errors: list[SigmaError], broken: bool, problems: list[Problem]) -> None:  # noqa: FBT001
    """Add pySigma's errors, except that of a detection whose items have already been told one by one."""
    for error in errors:
        problem = fault(document, error)
        # What pySigma says of the rule itself begins so; what it says of an item of a detection has no place.
        if not broken or problem.line != document.line(()) or str(error).startswith("Sigma "):
            problems.append(problem)
