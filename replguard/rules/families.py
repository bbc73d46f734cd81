"""Expressions that begin alike are searched for together: a long text is gone through once for all of them."""

import re
from collections.abc import Iterable
from functools import partial
from typing import Any

from replguard.rules.expressions import Found, data, in_long, searcher, source, stand_in
from replguard.rules.scan import Scan

MOST = 64
"""Expressions of one family; more begin another, so that no automaton grows without bound."""
MEMORY = 16 * 2**20
"""Bytes that the automaton of a family may take."""
_LOOPS = frozenset({"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"})
_PLAIN = frozenset({"LITERAL", "NOT_LITERAL", "ANY", "IN", "AT"})
_WIDE = frozenset({"CATEGORY_NOT_SPACE", "CATEGORY_NOT_DIGIT", "CATEGORY_NOT_WORD"})


class Family:
    """Expressions with the same beginning. A text is searched when the first of them is asked for."""

    def __init__(self) -> None:
        self._members: list[tuple[str, int]] = []
        self._scan: Scan | None = None
        self._text: str | None = None
        self._found: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return len(self._members)

    def add(self, expression: str, flags: int) -> int:
        """Take one more expression; return its number."""
        self._members.append((expression, flags))
        self._scan = self._text = None
        return len(self._members) - 1

    def holds(self, number: int, text: str) -> bool:
        """Tell whether an expression is found in a text."""
        if self._scan is None:
            self._scan = Scan((source(*member) for member in self._members), MEMORY)
        if len(self) == 1 or number not in self._scan.known:
            return in_long(*self._members[number])(text)
        if text is not self._text:
            self._text, self._found = text, frozenset(self._scan.found(data(text)))
        return number in self._found


class Searches:
    """The searches for the expressions of a set of rules; rules that ask for the same share one."""

    def __init__(self) -> None:
        self._families: dict[str, Family] = {}
        self._made: dict[tuple[str, int], Found] = {}

    def search(self, expression: str, flags: int) -> Found:
        """Return whether an expression is found in a text, as a function of the text. Raises what `searcher` does."""
        found = self._made.get((expression, flags))
        if found is None:
            found = self._made[expression, flags] = searcher(expression, flags, self._member(expression, flags))
        return found

    def _member(self, expression: str, flags: int) -> Found | None:
        """Return the search of a long text as one of a family, None for an expression that is of none."""
        beginning = _beginning(expression, flags)
        if beginning is None:
            return None
        family = self._families.setdefault(beginning, Family())
        if len(family) >= MOST:
            family = self._families[beginning] = Family()
        return partial(family.holds, family.add(expression, flags))


def _beginning(expression: str, flags: int) -> str | None:
    """Return what the expressions of a family begin with; those that begin with one of some texts are one family.

    None for one that would not be found faster together: loops over nearly anything, each of which may be under way at
    any place of a text, make a set of them slower than they are.
    """
    first, *others = re._parser.parse(expression, flags) or [None]  # type: ignore[attr-defined]  # noqa: SLF001
    if first is None or str(first[0]) in _LOOPS or _wanders(others) or stand_in(expression, flags) is not None:
        return None
    return f"{flags} {'a text' if _is_text([first]) else first}"


def _is_text(items: Iterable[tuple[Any, Any]]) -> bool:
    """Tell whether a part of an expression is one of some texts."""
    for operator, argument in items:
        match str(operator):
            case "LITERAL":
                continue
            case "SUBPATTERN" if _is_text(argument[3]):
                continue
            case "BRANCH" if all(map(_is_text, argument[1])):
                continue
            case _:
                return False
    return True


def _wanders(items: Iterable[tuple[Any, Any]]) -> bool:
    """Tell whether a part of an expression repeats what is nearly any character, or looks around or back."""
    for operator, argument in items:
        match str(operator):
            case "SUBPATTERN":
                inner = [argument[3]]
            case "ATOMIC_GROUP":
                inner = [argument]
            case "BRANCH":
                inner = argument[1]
            case loop if loop in _LOOPS:
                inner = [argument[2]]
                if any(map(_is_wide, argument[2])):
                    return True
            case other:
                inner = []
                if other not in _PLAIN:
                    return True
        if any(map(_wanders, inner)):
            return True
    return False


def _is_wide(item: tuple[Any, Any]) -> bool:
    """Tell whether an item is nearly any character."""
    name, argument = str(item[0]), item[1]
    if name == "IN":
        return any(str(kind) == "NEGATE" or str(one) in _WIDE for kind, one in argument)
    return name in ("ANY", "NOT_LITERAL")
