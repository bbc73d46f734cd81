"""Correlations tied to the rules that they name: references, order, who is silenced, what cannot be evaluated."""

from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

from replguard.errors import Problem
from replguard.rules import suggest
from replguard.rules.model import AnyRule, Correlation, NotEvaluable, Rule, RuleSet
from replguard.yamlfile import Document, Place

T = TypeVar("T", Rule, Correlation)
_ANY_OF = frozenset({"event_count", "value_count", "value_sum", "value_avg", "value_median", "value_percentile"})


def link(found: RuleSet) -> None:
    """Resolve what ``found.correlations`` name, order them, and take out those that cannot work."""
    names = _names(found)
    resolved = [made for one in found.correlations if (made := _resolve(one, names, found)) is not None]
    found.correlations = []
    _order(resolved, found)
    _silence(found)


def _names(found: RuleSet) -> dict[str, AnyRule]:
    by_key: dict[str, AnyRule] = {}
    for rule in found.known():
        by_key[rule.id] = by_key[rule.name] = rule
    return by_key


def references(document: Document, found: RuleSet) -> None:
    """Tell the rules that a correlation names and that do not exist, though it has other faults and is not taken."""
    names = _names(found)
    body, ours = document.value.get("correlation"), document.value.get("replguard")
    stages = body.get("rules") if isinstance(body, dict) else None
    until = ours.get("until") if isinstance(ours, dict) and isinstance(body, dict) else None
    named: list[tuple[Place, object]] = [
        (("correlation", "rules", number), key) for number, key in enumerate(stages if isinstance(stages, list) else ())
    ]
    aliases = body.get("aliases") if isinstance(body, dict) else None
    for alias, mapping in aliases.items() if isinstance(aliases, dict) else ():
        named += [
            (("correlation", "aliases", alias, key), key) for key in (mapping if isinstance(mapping, dict) else ())
        ]
    for place, key in [*named, (("replguard", "until"), until)]:
        if isinstance(key, str) and key not in names and key not in found.broken:
            found.problems.append(document.problem(place, _absent(key, names)))


def _absent(key: str, names: Iterable[str]) -> str:
    return f"no rule has the name or id '{key}'{suggest.hint(key, names)}"


def _resolve(one: Correlation, names: dict[str, AnyRule], found: RuleSet) -> Correlation | None:
    """Return the correlation with ids replaced by names, or None when one does not exist or is broken; that is told."""
    lost: set[str] = set()

    def name(key: str) -> str:
        if key in names:
            return names[key].name
        if key not in lost and key not in found.broken:
            text = f"'{one.name}' names the rule '{key}', which does not exist{suggest.hint(key, names)}"
            found.problems.append(Problem(one.path, one.rules_line, text))
        lost.add(key)
        return key

    made = replace(
        one,
        rules=tuple(map(name, one.rules)),
        optional=frozenset(map(name, one.optional)),
        until=name(one.until) if one.until else None,
        levels={name(key): level for key, level in one.levels.items()},
        aliases={a: {name(key): field for key, field in mapping.items()} for a, mapping in one.aliases.items()},
    )
    return made if not lost else None


def _order(resolved: list[Correlation], found: RuleSet) -> None:
    """Put each correlation after those that it names; tell circles; set apart what needs a rule that cannot fire."""
    waiting = {one.name: one for one in resolved}
    dead = {entry.rule.name: "cannot be evaluated here" for entry in found.not_evaluable}
    dead |= {rule.name: "is disabled" for rule in found.disabled}
    while waiting:
        ready = [one for one in waiting.values() if not one.inputs() & waiting.keys()]
        if not ready:
            for one in waiting.values():
                found.problems.append(Problem(one.path, one.rules_line, f"'{one.name}' names itself in a circle"))
            return
        for one in ready:
            del waiting[one.name]
            why = _lacks(one, dead)
            if why:
                dead[one.name] = "cannot be evaluated here"
                found.not_evaluable.append(NotEvaluable(one, why))
            else:
                found.correlations.append(one)


def _lacks(one: Correlation, dead: dict[str, str]) -> str | None:
    needed = [name for name in dict.fromkeys(one.rules) if name not in one.optional]
    missing = [name for name in needed if name in dead]
    if not missing or one.every_rule:
        return None
    if one.type in _ANY_OF and len(missing) < len(needed):
        return None
    if one.type == "temporal" and not one.needs_all and len(needed) - len(missing) >= one.count:
        return None
    return f"it needs the rule '{missing[0]}', which {dead[missing[0]]}"


def _silence(found: RuleSet) -> None:
    """Apply Sigma's ``generate``: a named rule alerts by itself only if a correlation that names it says so.

    A correlation of the user's never silences a shipped rule.
    """
    shipped = {rule.name: rule.shipped for rule in found.every()}
    loud = {name for one in found.correlations if one.generate for name in one.rules}
    quiet = {
        name
        for one in found.correlations
        if not one.generate
        for name in one.rules
        if one.shipped or not shipped.get(name)
    } - loud
    found.rules = list(_quieten(found.rules, quiet))
    found.correlations = list(_quieten(found.correlations, quiet))


def _quieten(rules: Iterable[T], quiet: set[str]) -> Iterable[T]:
    return (replace(rule, alerts=False) if rule.name in quiet else rule for rule in rules)
