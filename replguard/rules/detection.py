"""A rule's detection checked item by item, so that every bad value and every misspelt field is told at its line."""

import difflib
import re
from collections.abc import Iterable, Iterator
from typing import Any

from sigma.exceptions import SigmaError
from sigma.rule import SigmaDetectionItem

from replguard.errors import Problem
from replguard.events import names
from replguard.rules.place import fault
from replguard.yamlfile import Document, Place

_PARTS = frozenset(field.split(".")[0] for field in names.paths() if "." in field)


def check_values(document: Document, detection: Any, place: Place, problems: list[Problem]) -> bool:
    """Try each ``field|modifiers: values`` by itself; return whether any is bad."""
    before = len(problems)
    for where, key, value in items(detection, place):
        try:
            SigmaDetectionItem.from_mapping(key, value)
        except (SigmaError, re.error, TypeError, AttributeError, ValueError, OverflowError) as error:
            problems.append(fault(document, error, where))
    return len(problems) > before


def check_fields(document: Document, fields: Iterable[str], own: bool, problems: list[Problem]) -> None:  # noqa: FBT001
    """Tell fields that look like ours and are not. Foreign names make a rule *not evaluable* instead."""
    places = {key.split("|")[0]: where for where, key, _ in items(document.value.get("detection"), ("detection",))}
    problems += [
        document.problem(places.get(field, ("detection",)), unknown_field(field))
        for field in fields
        if not names.resolve(field) and (own or field.split(".")[0] in _PARTS)
    ]


def check_filter(document: Document, filters: Any, problems: list[Problem]) -> None:
    """Tell every field of a filter that no event has: a filter that never takes anything away is a mistake."""
    for where, key, _ in items(filters, ("filter",)):
        field = key.split("|")[0]
        if field and not names.resolve(field):
            problems.append(document.problem(where, unknown_field(field)))


def unknown_field(field: str) -> str:
    """Return the sentence for a field that no event has, with the nearest that one has."""
    near = difflib.get_close_matches(field, [*names.SIGMA, *names.paths()], n=1)
    return f"no event has the field '{field}'" + (f", did you mean '{near[0]}'?" if near else "")


def items(detection: Any, place: Place) -> Iterator[tuple[Place, str, Any]]:
    """Yield each ``field|modifiers: values`` pair of a detection's selections with its place."""
    if isinstance(detection, dict):
        for name, selection in detection.items():
            if name not in {"condition", "rules"}:
                yield from _pairs(selection, (*place, name))


def _pairs(value: Any, place: Place) -> Iterator[tuple[Place, str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*place, key), str(key), inner
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            if isinstance(inner, (dict, list)):
                yield from _pairs(inner, (*place, number))
