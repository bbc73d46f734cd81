"""Signs that a value must have in its field to match: what the index looks for before it runs a rule."""

import re
from collections.abc import Hashable, Iterable
from itertools import takewhile
from typing import Any, Literal, TypeVar

from sigma.types import SigmaCasedString, SigmaRegularExpression, SigmaRegularExpressionFlag, SigmaString, SpecialChars

Place = Literal["whole", "last", "in"]
Sign = tuple[Place, str]
"""A folded text, and where in the field's folded text it is: all of it, its last part from a slash on, or anywhere."""
Signs = frozenset[Sign] | None
"""Signs of which one is there whenever the value matches; None when none can be told."""
T = TypeVar("T", bound=Hashable)
MAX_ALTERNATIVES = 64
"""More alternatives than this in one expression are not worth looking for one by one."""
_SPLIT = re.compile("[iI\u0130\u0131]|[^\0-\x7f]")
"""Where ``re`` ignores case by other rules than folding does: the letter i in all its forms, and beyond ASCII."""


def of_string(value: SigmaString) -> Signs:
    """Return the sign of a string: all of it, the end of a path, or its longest part without wildcards."""
    parts = [part.casefold() if isinstance(part, str) else part for part in value.s if part != ""]
    if not isinstance(value, SigmaCasedString):
        match parts:
            case []:
                return frozenset({("whole", "")})
            case [str(whole)]:
                return frozenset({("whole", whole)})
            case [SpecialChars.WILDCARD_MULTI, str(tail)] if "/" in tail:
                return frozenset({("last", last_part(tail))})
    plain = [part for part in parts if isinstance(part, str)]
    return frozenset({("in", max(plain, key=len))}) if plain else None


def last_part(path: str) -> str:
    """Return what follows the last slash, the slash included."""
    return path[path.rfind("/") :]


def of_regex(value: SigmaRegularExpression) -> Signs:
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
    return frozenset(("in", text.casefold()) for text in found) if found else None


def rank(sign: Sign) -> tuple[bool, int]:
    """Return how rarely a sign is met, guessed: a whole value that is no path is one of few, a longer one is rarer."""
    place, text = sign
    return place != "whole" or "/" in text, len(text)


def either(choices: Iterable[frozenset[T] | None]) -> frozenset[T] | None:
    """Return the signs of which one is there whenever any of the choices matches."""
    found: set[T] = set()
    for choice in choices:
        if not choice:
            return None
        found |= choice
    return frozenset(found)


def _of_sequence(items: Iterable[tuple[Any, Any]], *, split: bool) -> frozenset[str] | None:
    """Return the best of what a sequence of parsed items must hold: its plain runs, and its groups."""
    choices: list[frozenset[str] | None] = []
    run = ""
    for operator, argument in items:
        name = str(operator)
        if name == "LITERAL":
            run += chr(argument)
            continue
        if run and name == "BRANCH" and not split and len(argument[1]) <= MAX_ALTERNATIVES:
            # The parser takes what alternatives have in common out of them: nc|netcat is n, then c or etcat.
            choices.append(frozenset(run + _head(branch) for branch in argument[1]))
        choices += _pieces(run, split=split)
        run = ""
        choices.append(_of_item(name, argument, split=split))
    known = [choice for choice in choices + _pieces(run, split=split) if choice]
    return max(known, key=lambda choice: (min(map(len, choice)), -len(choice))) if known else None


def _head(items: Iterable[tuple[Any, Any]]) -> str:
    """Return the plain run that a sequence begins with."""
    return "".join(chr(argument) for _, argument in takewhile(lambda item: str(item[0]) == "LITERAL", items))


def _pieces(run: str, *, split: bool) -> list[frozenset[str] | None]:
    return [frozenset([piece]) for piece in (_SPLIT.split(run) if split else [run]) if piece]


def _of_item(name: str, argument: Any, *, split: bool) -> frozenset[str] | None:
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
