"""A rule's condition tree compiled once into nested functions; the cheap tests run first."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sigma.conditions import (
    ConditionAND,
    ConditionFieldEqualsValueExpression,
    ConditionNOT,
    ConditionOR,
    ConditionValueExpression,
)
from sigma.rule import SigmaRule
from sigma.types import SigmaExpansion, SigmaNumber, SigmaRegularExpression, SigmaString, SigmaType, SpecialChars

from replguard.rules.fields import KEYWORDS, Layout
from replguard.rules.literals import Sign, Signs, either, is_exact, of_regex, of_string, rank
from replguard.rules.values import Test, Unsupported, as_string, inside, string_tests, value_test

MANY = SpecialChars.WILDCARD_MULTI


Clause = frozenset[tuple[int, Sign]]
"""Places in a row and signs, of which one is there whenever the part matches."""
EXPRESSION = 20
"""What a regular expression costs, beside a comparison."""
FEW = 16
"""Up to so many texts are looked for before an expression is tried."""
CLAUSES = 3
"""Clauses that are kept of one part, all of which must hold: that of a program and those of its words."""


@dataclass(frozen=True, slots=True)
class Node:
    """A compiled part of a condition.

    ``cost`` is a rough one, by which the parts of an ``and`` or ``or`` are ordered. ``needs`` are clauses that all
    hold whenever the part matches, the rarest first; none when none can be told. ``exact``: it matches whenever they
    all hold. ``guard`` is a cheap test that whatever matches passes; whoever uses the node asks it first.
    """

    test: Test
    cost: int = 1
    needs: tuple[Clause, ...] = ()
    exact: bool = False
    guard: Test | None = None


def compile_rule(rule: SigmaRule, layout: Layout) -> Node:
    """Return the test of a rule over the rows of a layout, and what it needs.

    Raises Unsupported for what cannot be matched, KeyError for a field that no event has, re.error for a bad regular
    expression and sigma's errors for a bad condition.
    """
    nodes = [_node(parsed, layout) for condition in rule.detection.parsed_condition if (parsed := condition.parsed)]
    if not nodes:
        raise Unsupported("its condition is empty")
    return _guarded(_any(nodes))


def fields_of(rule: SigmaRule) -> tuple[str, ...]:
    """Return the names of the fields that a rule reads, in order of appearance."""
    found: dict[str, None] = {}
    for condition in rule.detection.parsed_condition:
        _collect(condition.parsed, found)
    return tuple(found)


def has_keywords(rule: SigmaRule) -> bool:
    """Say whether a rule looks for a text anywhere in an event."""
    waiting: list[Any] = [condition.parsed for condition in rule.detection.parsed_condition]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ConditionValueExpression):
            return True
        waiting += getattr(node, "args", ())
    return False


def _collect(node: Any, found: dict[str, None]) -> None:
    if isinstance(node, ConditionFieldEqualsValueExpression):
        found[node.field] = None
        for value in node.value.values if isinstance(node.value, SigmaExpansion) else [node.value]:
            other = getattr(value, "field", None)
            if isinstance(other, str):
                found[other] = None
    for child in getattr(node, "args", ()):
        _collect(child, found)


def _node(item: Any, layout: Layout) -> Node:
    if isinstance(item, ConditionAND):
        return _all([_node(child, layout) for child in _flat(item)])
    if isinstance(item, ConditionOR):
        return _or(item, layout)
    if isinstance(item, ConditionNOT):
        inner = _guarded(_node(item.args[0], layout))
        test = inner.test
        return Node(lambda plain, low: not test(plain, low), inner.cost)
    if isinstance(item, ConditionFieldEqualsValueExpression):
        return _leaf(layout, item.field, [item.value])
    if isinstance(item, ConditionValueExpression):
        return _leaf(layout, KEYWORDS, [_keyword(item.value)])
    raise Unsupported(f"its condition holds a {type(item).__name__}")


def _or(item: ConditionOR, layout: Layout) -> Node:
    """Join the alternatives; values of one field become one leaf, so that a list of paths is one set look-up."""
    by_field: dict[str, list[SigmaType]] = {}
    nodes: list[Node] = []
    for child in _flat(item):
        if isinstance(child, ConditionFieldEqualsValueExpression):
            by_field.setdefault(child.field, []).append(child.value)
        elif isinstance(child, ConditionValueExpression):
            by_field.setdefault(KEYWORDS, []).append(_keyword(child.value))
        else:
            nodes.append(_node(child, layout))
    return _any([_leaf(layout, field, values) for field, values in by_field.items()] + nodes)


def _flat(item: ConditionAND | ConditionOR) -> list[Any]:
    kind = type(item)
    return [part for child in item.args for part in (_flat(child) if type(child) is kind else [child])]


def _leaf(layout: Layout, field: str, values: Sequence[SigmaType]) -> Node:
    slot = layout.slot(field)
    expanded = _expand(values)
    strings = [string for value in expanded if (string := as_string(value)) is not None]
    nodes: list[Node] = []
    if strings:
        needs = _at(slot, either(of_string(string) for string in strings))
        cost = 1 + len(strings) // 4
        exact = needs != () and all(map(is_exact, strings))
        nodes = [Node(test, cost, needs, exact) for test in string_tests(layout, slot, strings)]
    for value in expanded:
        if as_string(value) is None:
            signs = of_regex(value) if isinstance(value, SigmaRegularExpression) else None
            test = value_test(layout, field, value)
            guard = inside(layout, slot, [text for _, text in signs]) if signs and len(signs) <= FEW else None
            nodes.append(Node(test, EXPRESSION, _at(slot, signs), guard=guard))
    return nodes[0] if len(nodes) == 1 else _any([_guarded(node) for node in nodes])


def _guarded(node: Node) -> Node:
    """Return a node that is asked only where its guard lets it: an expression costs far more."""
    guard, test = node.guard, node.test
    if guard is None:
        return node
    return replace(node, test=lambda plain, low: guard(plain, low) and test(plain, low), guard=None)


def _at(slot: int, signs: Signs) -> tuple[Clause, ...]:
    return (frozenset((slot, sign) for sign in signs),) if signs else ()


def _expand(values: Sequence[SigmaType]) -> list[SigmaType]:
    found: list[SigmaType] = []
    for value in values:
        found += _expand(value.values) if isinstance(value, SigmaExpansion) else [value]
    return found


def _keyword(value: SigmaType) -> SigmaType:
    """Return a value without a field as it is searched for: anywhere in a text."""
    if isinstance(value, SigmaExpansion):
        return SigmaExpansion([_keyword(inner) for inner in value.values])
    string = as_string(value) if isinstance(value, (SigmaString, SigmaNumber)) else None
    if string is not None:
        wide = string if string.startswith(MANY) else MANY + string
        return wide if wide.endswith(MANY) else wide + MANY
    if isinstance(value, SigmaRegularExpression):
        return value
    raise Unsupported(f"a keyword cannot be a {type(value).__name__}")


def _all(nodes: list[Node]) -> Node:
    if len(nodes) == 1:
        return nodes[0]
    guards = [Node(node.guard) for node in nodes if node.guard is not None]
    ordered = sorted([*guards, *nodes], key=lambda node: node.cost)
    needs = _rarest(clause for node in nodes for clause in node.needs)
    exact = all(node.exact for node in nodes) and len({clause for node in nodes for clause in node.needs}) == len(needs)
    cost = sum(node.cost for node in ordered)
    tests = tuple(node.test for node in ordered)
    if len(tests) == 2:
        first, second = tests
        return Node(lambda plain, low: first(plain, low) and second(plain, low), cost, needs, exact)

    def test(plain: Any, low: Any) -> bool:
        for one in tests:  # noqa: SIM110 - a generator costs three times as much, for every event and rule
            if not one(plain, low):
                return False
        return True

    return Node(test, cost, needs, exact)


def _rarest(clauses: Iterable[Clause]) -> tuple[Clause, ...]:
    """Return the clauses whose commonest sign is rarest, first one of each place; of like ones that with fewest."""
    ordered = sorted(dict.fromkeys(clauses), key=lambda one: (min(rank(sign) for _, sign in one), -len(one)))
    by_place = {frozenset(slot for slot, _ in clause): clause for clause in ordered}
    first = [clause for clause in reversed(ordered) if clause in by_place.values()]
    return tuple(dict.fromkeys([*first, *reversed(ordered)]))[:CLAUSES]


def _of_either(nodes: Sequence[Node]) -> tuple[Clause, ...]:
    """Return what holds whichever of the parts does: the rarest clause of one of them, in all and place by place."""
    if not all(node.needs for node in nodes):
        return ()
    choices = [either(node.needs[0] for node in nodes)]
    slots = {slot for clause in nodes[0].needs for slot, _ in clause}
    choices += [either(_alone(node, slot) for node in nodes) for slot in sorted(slots)]
    return _rarest(choice for choice in choices if choice)


def _alone(node: Node, slot: int) -> Clause | None:
    return next((clause for clause in node.needs if all(place == slot for place, _ in clause)), None)


def _any(nodes: list[Node]) -> Node:
    if len(nodes) == 1:
        return nodes[0]
    ordered = sorted(map(_guarded, nodes), key=lambda node: node.cost)
    needs = _of_either(nodes)
    exact = all(node.exact and len(node.needs) == 1 for node in nodes) and len(needs) == 1
    cost = sum(node.cost for node in ordered)
    tests = tuple(node.test for node in ordered)
    if len(tests) == 2:
        first, second = tests
        return Node(lambda plain, low: first(plain, low) or second(plain, low), cost, needs, exact)

    def test(plain: Any, low: Any) -> bool:
        for one in tests:  # noqa: SIM110 - a generator costs three times as much, for every event and rule
            if one(plain, low):
                return True
        return False

    return Node(test, cost, needs, exact)
