"""Words of a rule document that are nearly ours, told at their line: keys, log sources, names in a condition.

Sigma allows keys and log sources of one's own, so only what is close to a word that exists is taken for a mistake.
"""

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

from sigma.exceptions import SigmaError
from sigma.rule import SigmaDetection, SigmaDetectionItem, SigmaDetections
from sigma.types import SigmaString

from replguard.errors import Problem
from replguard.rules import suggest
from replguard.rules.place import fault
from replguard.yamlfile import Document, Place

_WORD = re.compile(r"[\w*-]+")
_GRAMMAR = ("and", "or", "not", "of", "all", "any", "them", "1")
_SOURCES: dict[str, tuple[tuple[str, ...], frozenset[str]]] = {
    "category": (suggest.CATEGORIES, suggest.FOREIGN_CATEGORIES),
    "product": (suggest.PRODUCTS, frozenset()),
    "service": (suggest.SERVICES, frozenset()),
}


def check_keys(document: Document, problems: list[Problem]) -> None:
    """Tell keys of the document, its log source and its correlation that are nearly one of Sigma's."""
    _keys(document, (), suggest.TOP, problems)
    _keys(document, ("logsource",), suggest.LOGSOURCE, problems)
    _keys(document, ("correlation",), suggest.CORRELATION, problems)


def _keys(document: Document, place: Place, known: tuple[str, ...], problems: list[Problem]) -> None:
    value = document.value.get(place[0]) if place else document.value
    problems += [
        document.problem((*place, key), f"unknown key '{key}'{said}")
        for key in (value if isinstance(value, dict) else ())
        if key not in known and (said := suggest.hint(key, known, suggest.CLOSE))
    ]


def check_source(document: Document, problems: list[Problem]) -> None:
    """Tell a product, service or category that is nearly one of ours: the rule would be set apart, and never fire."""
    source = document.value.get("logsource")
    for key, (known, foreign) in _SOURCES.items():
        word = source.get(key) if isinstance(source, dict) else None
        if isinstance(word, str) and word not in known and word not in foreign:
            said = suggest.hint(word, known, suggest.CLOSE)
            if said:
                problems.append(document.problem(("logsource", key), f"no log source has the {key} '{word}'{said}"))


def check_condition(document: Document, body: Any, place: Place, problems: list[Problem]) -> bool:
    """Tell names in a condition that no selection has; return whether there are any."""
    conditions = body.get("condition") if isinstance(body, dict) else None
    before = len(problems)
    for one in [conditions] if isinstance(conditions, str) else conditions if isinstance(conditions, list) else ():
        # What follows a pipe is the aggregation of old rules, which pySigma tells.
        unknown = dict.fromkeys(_undefined(str(one).partition("|")[0], [str(key) for key in body]))
        problems += [document.problem((*place, "condition"), text) for text in unknown]
    return len(problems) > before


def check_grammar(document: Document, body: Any, problems: list[Problem]) -> None:
    """Tell a condition that is no sentence of Sigma's grammar, in a rule whose selections are faulty themselves."""
    if not isinstance(body, dict):
        return
    conditions = body.get("condition")
    any_value = SigmaDetection([SigmaDetectionItem("x", [], [SigmaString("1")])])
    selections = {str(key): any_value for key in body if key != "condition"}
    for one in [conditions] if isinstance(conditions, str) else conditions if isinstance(conditions, list) else ():
        try:
            for parsed in SigmaDetections(detections=selections, condition=[str(one)]).parsed_condition:
                parsed.parsed  # noqa: B018 - a property that parses
        except (SigmaError, RecursionError) as error:
            problems.append(fault(document, error, ("detection", "condition")))


def _undefined(condition: str, known: list[str]) -> Iterable[str]:
    """Yield a sentence for each name that none of the selections has; after ``of`` it is how their names begin."""
    selections = [key for key in known if key != "condition"]
    words = _WORD.findall(condition)
    for before, word in zip(["", *words], words, strict=False):
        if word.casefold() in _GRAMMAR or word in selections:
            continue
        if "*" in word or before.casefold() == "of":
            if not any(fnmatchcase(name, f"{word}*") for name in selections):
                yield f"'{word}' is the name of no selection{suggest.choice(word, selections)}"
        else:
            yield f"'{word}' not defined in the detection{suggest.hint(word, [*selections, *_GRAMMAR])}"


def unused(selections: Iterable[str], conditions: Iterable[str]) -> list[str]:
    """Return the selections that no condition names: forgotten, most likely, and without effect."""
    words = [word for condition in conditions for word in _WORD.findall(condition)]
    if "them" in {word.casefold() for word in words}:
        return []
    return [name for name in selections if not any(fnmatchcase(name, f"{word}*") for word in words)]
