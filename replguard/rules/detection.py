"""A rule's detection checked item by item, so that every bad value and every misspelt field is told at its line."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from sigma.exceptions import SigmaError
from sigma.rule import SigmaDetectionItem

from replguard.errors import Problem
from replguard.events import names
from replguard.rules import suggest
from replguard.rules.dialect import POLICY
from replguard.rules.place import fault
from replguard.yamlfile import Document, Place

_WILD = re.compile(r"[*?]")
_PARTS = frozenset(field.split(".")[0] for field in names.paths() if "." in field)


def check_values(document: Document, detection: Any, place: Place, problems: list[Problem]) -> bool:
    """Try each ``field|modifiers: values`` by itself; return whether any is bad."""
    before = len(problems)
    for where, key, value in items(detection, place):
        wrong = [word for word in key.split("|")[1:] if word not in suggest.MODIFIERS]
        problems += [
            document.problem(where, f"unknown modifier '{word}'{suggest.choice(word, suggest.MODIFIERS)}")
            for word in wrong
        ]
        never = list(_never(key, value))
        problems += [document.problem(where, text) for text in never]
        if wrong or never:
            continue
        try:
            SigmaDetectionItem.from_mapping(key, value, policy=POLICY)
        except (SigmaError, re.error, TypeError, AttributeError, ValueError, OverflowError) as error:
            problems.append(fault(document, _plainer(error, key), where))
    return len(problems) > before


def _plainer(error: Exception, key: str) -> Exception:
    """Return an error in the words of the rule, where pySigma's are those of its classes."""
    found = re.fullmatch(r"Modifier Sigma\w+ incompatible to value type of '(.*)'", str(error), re.DOTALL)
    return ValueError(f"the value '{found[1]}' does not go with '{key}'") if found else error


def _never(field: str, value: Any) -> Iterator[str]:
    """Yield a sentence for each value that a field never has: one that is none of its few words."""
    known = suggest.words(field)
    for one in value if isinstance(value, list) else [value]:
        if known and isinstance(one, str) and not _WILD.search(one) and one.casefold() not in known:
            yield f"'{field}' is never '{one}'{suggest.choice(one, known)}"


def check_fields(document: Document, fields: Iterable[str], problems: list[Problem]) -> None:
    """Tell fields that look like ours and are not. Foreign names make a rule *not evaluable* instead."""
    source = document.value.get("logsource")
    source = source if isinstance(source, dict) else {}
    own = source.get("service") == "replguard"
    here = suggest.is_ours(source.get("category"), source.get("product"))
    places = {key.split("|")[0]: where for where, key, _ in items(document.value.get("detection"), ("detection",))}
    problems += [
        document.problem(places.get(field, ("detection",)), suggest.field(field))
        for field in fields
        if not names.resolve(field) and (own or field.split(".")[0] in _PARTS or (here and suggest.is_slip(field)))
    ]


def check_filter(document: Document, filters: Any, problems: list[Problem]) -> None:
    """Tell every field of a filter that no event has: a filter that never takes anything away is a mistake."""
    for where, key, _ in items(filters, ("filter",)):
        field = key.split("|")[0]
        if field and not names.resolve(field):
            problems.append(document.problem(where, suggest.field(field)))


def written_fields(document: Document) -> list[str]:
    """Return the fields that a detection names, as far as it can be read."""
    return [key.split("|")[0] for _, key, _ in items(document.value.get("detection"), ("detection",))]


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
