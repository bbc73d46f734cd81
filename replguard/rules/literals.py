"""Texts that a value must have in its field to match: what the index looks for before it runs a rule."""

import re
from collections.abc import Iterable
from typing import Any

from sigma.types import SigmaRegularExpression, SigmaRegularExpressionFlag, SigmaString

Literals = frozenset[str] | None
"""Folded texts of which one is in the field's folded text whenever the value matches; None when none can be told."""
MAX_ALTERNATIVES = 64
"""More alternatives than this in one expression are not worth looking for one by one."""
_SPLIT = re.compile("[iI\u0130\u0131]|[^\0-\x7f]")
"""Where ``re`` ignores case by other rules than folding does: the letter i in all its forms, and beyond ASCII."""


def of_string(value: SigmaString) -> Literals:
    """Return the longest plain part of a string with wildcards."""
    parts = [part.casefold() for part in value.s if isinstance(part, str) and part]
    return frozenset([max(parts, key=len)]) if parts else None


def of_regex(value: SigmaRegularExpression) -> Literals:
    """Return what a regular expression must find: a plain run of characters in it, or one of several."""
    flags = 0
    for flag in value.flags:
        flags |= SigmaRegularExpression.sigma_to_python_flags[flag]
    try:
        parsed = re._parser.parse(str(value.regexp), flags)  # type: ignore[attr-defined]  # noqa: SLF001 - no public one
        blind = SigmaRegularExpressionFlag.IGNORECASE in value.flags or "(?" in str(value.regexp).replace("(?:", "")
        found = _of_sequence(parsed, split=blind)
    except (re.error, RecursionError, AttributeError, ValueError, OverflowError):
        return None
    return frozenset(text.casefold() for text in found) if found else None


def best(choices: Iterable[frozenset[Any] | None]) -> frozenset[Any] | None:
    """Return the choice that is met least: the one whose shortest text is longest, then the one with fewest texts."""
    known = [choice for choice in choices if choice]
    return max(known, key=lambda choice: (min(map(_length, choice)), -len(choice))) if known else None


def either(choices: Iterable[frozenset[Any] | None]) -> frozenset[Any] | None:
    """Return the texts of which one is there whenever any of the choices matches."""
    found: set[Any] = set()
    for choice in choices:
        if not choice:
            return None
        found |= choice
    return frozenset(found)


def _length(item: Any) -> int:
    return len(item) if isinstance(item, str) else len(item[1])


def _of_sequence(items: Iterable[Any], *, split: bool) -> Literals:
    """Return the best of what a sequence of parsed items must hold: its plain runs, and its groups."""
    choices: list[Literals] = []
    run = ""
    for operator, argument in items:
        name = str(operator)
        if name == "LITERAL":
            run += chr(argument)
            continue
        choices += _pieces(run, split=split)
        run = ""
        choices.append(_of_item(name, argument, split=split))
    return best(choices + _pieces(run, split=split))


def _pieces(run: str, *, split: bool) -> list[Literals]:
    return [frozenset([piece]) for piece in (_SPLIT.split(run) if split else [run]) if piece]


def _of_item(name: str, argument: Any, *, split: bool) -> Literals:
    if name == "SUBPATTERN":
        return _of_sequence(argument[3], split=split)
    if name == "ATOMIC_GROUP":
        return _of_sequence(argument, split=split)
    if name in {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}:
        least, _, inner = argument
        return _of_sequence(inner, split=split) if least else None
    if name == "BRANCH":
        found = either(_of_sequence(branch, split=split) for branch in argument[1])
        return found if found and len(found) <= MAX_ALTERNATIVES else None
    return None
