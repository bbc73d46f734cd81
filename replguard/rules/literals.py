"""Signs that a value must have in its field to match: what the index looks for before it runs a rule."""

import re
from collections.abc import Hashable, Iterable, Sequence
from itertools import takewhile
from typing import Any, Literal, TypeVar

from sigma.types import SigmaCasedString, SigmaRegularExpression, SigmaRegularExpressionFlag, SigmaString, SpecialChars

Place = Literal["whole", "last", "in", "begin", "end", "word"]
Sign = tuple[Place, str]
"""A folded text, and where in the field's folded text it is: all of it, its last part from a slash on, anywhere, or
with no letter, digit or underscore of ASCII before it (``begin``), behind it (``end``), or on either side (``word``).
"""
Signs = frozenset[Sign] | None
"""Signs of which one is there whenever the value matches; None when none can be told."""
Item = tuple[Any, Any]
"""An operator of a parsed expression, and what it is about."""
T = TypeVar("T", bound=Hashable)
PLACES: dict[tuple[bool, bool], Place] = {
    (False, False): "in",
    (True, False): "begin",
    (False, True): "end",
    (True, True): "word",
}
"""Where a text is that begins, and ends, at an edge."""
MAX_ALTERNATIVES = 64
"""More alternatives than this in one expression are not worth looking for one by one."""
EDGE = 2
"""Characters that an edge is worth: a short word by itself is rarer than the same letters within others."""
_EMPTY = frozenset([""])
_REPEATS = frozenset({"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"})
_BEGINNINGS = frozenset({"AT_BEGINNING", "AT_BEGINNING_STRING"})
_ENDS = frozenset({"AT_END", "AT_END_STRING"})
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


def is_exact(value: SigmaString) -> bool:
    """Tell whether the sign of a string says it all: a text that has it matches."""
    if isinstance(value, SigmaCasedString):
        return False
    match [part for part in value.s if part != ""]:
        case [] | [str()] | [SpecialChars.WILDCARD_MULTI, str(), SpecialChars.WILDCARD_MULTI]:
            return True
        case [SpecialChars.WILDCARD_MULTI, str(tail)]:
            return "/" in tail and last_part(tail) == tail
    return False


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
        return _Reader(split=blind).sequence(list(parsed))
    except (re.error, RecursionError, AttributeError, ValueError, OverflowError):
        return None


def rank(sign: Sign) -> tuple[bool, int]:
    """Return how rarely a sign is met, guessed: a whole value that is no path is one of few, a longer one is rarer."""
    place, text = sign
    return place != "whole" or "/" in text, _weight(sign)


def either(choices: Iterable[frozenset[T] | None]) -> frozenset[T] | None:
    """Return the signs of which one is there whenever any of the choices matches."""
    found: set[T] = set()
    for choice in choices:
        if not choice:
            return None
        found |= choice
    return frozenset(found)


def _weight(sign: Sign) -> int:
    place, text = sign
    return len(text) + EDGE * (place in ("begin", "end")) + 2 * EDGE * (place == "word")


class _Reader:
    """Reads parsed expressions. ``split``: case is ignored, so that texts end where folding is not what ``re`` does."""

    def __init__(self, *, split: bool) -> None:
        self._split = split

    def sequence(self, items: list[Item], *, left: bool = False, right: bool = False) -> Signs:
        """Return the best of what a sequence must hold: its plain texts, and what its groups must.

        ``left`` and ``right`` tell that it stands between edges.
        """
        choices: list[Signs] = []
        texts, begin = _EMPTY, left
        for number, item in enumerate(items):
            more = _texts(item)
            if more and len(more) * len(texts) <= MAX_ALTERNATIVES:
                if texts == _EMPTY:
                    begin = _side(items[:number], beyond=left, last=True)
                texts = frozenset(text + end for text in texts for end in more)
                continue
            if texts != _EMPTY:
                choices.append(self._signs(texts, begin=begin, end=_side(items[number:], beyond=right, last=False)))
                choices.append(self._with_heads(texts, item, begin=begin))
            before = _side(items[:number], beyond=left, last=True)
            texts, begin = more or _EMPTY, before
            if not more:
                after = _side(items[number + 1 :], beyond=right, last=False)
                choices.append(self._item(item, left=before, right=after))
        if texts != _EMPTY:
            choices.append(self._signs(texts, begin=begin, end=right))
        known = [choice for choice in choices if choice]
        return max(known, key=lambda choice: (min(map(_weight, choice)), -len(choice))) if known else None

    def _with_heads(self, texts: frozenset[str], item: Item, *, begin: bool) -> Signs:
        """Return texts with how the alternatives after them begin: the parser takes out what these have in common."""
        name, argument = str(item[0]), item[1]
        if name != "BRANCH" or len(texts) * len(argument[1]) > MAX_ALTERNATIVES:
            return None
        heads = {"".join(chr(one) for _, one in takewhile(_is_literal, branch)) for branch in argument[1]}
        return self._signs(frozenset(text + head for text in texts for head in heads), begin=begin, end=False)

    def _item(self, item: Item, *, left: bool, right: bool) -> Signs:
        name, argument = str(item[0]), item[1]
        if name == "SUBPATTERN":
            return self.sequence(list(argument[3]), left=left, right=right)
        if name == "ATOMIC_GROUP":
            return self.sequence(list(argument), left=left, right=right)
        if name in _REPEATS:
            least, _, inner = argument
            return self.sequence(list(inner)) if least else None
        if name == "BRANCH":
            found = either(self.sequence(list(branch), left=left, right=right) for branch in argument[1])
            return found if found and len(found) <= MAX_ALTERNATIVES else None
        return None

    def _signs(self, texts: frozenset[str], *, begin: bool, end: bool) -> Signs:
        return either(self._best(text, begin=begin, end=end) for text in texts)

    def _best(self, text: str, *, begin: bool, end: bool) -> Signs:
        """Return the sign of a text, or of its best piece where case is ignored."""
        pieces = _SPLIT.split(text) if self._split else [text]
        last = len(pieces) - 1
        signs: list[Sign] = [
            (PLACES[begin and number == 0, end and number == last], piece.casefold())
            for number, piece in enumerate(pieces)
            if piece
        ]
        return frozenset([max(signs, key=_weight)]) if signs else None


def _is_literal(item: Item) -> bool:
    return str(item[0]) == "LITERAL"


def _texts(item: Item) -> frozenset[str] | None:
    """Return all that an item may match where these are few plain texts."""
    name, argument = str(item[0]), item[1]
    if name == "LITERAL":
        return frozenset([chr(argument)])
    if name == "IN":
        return frozenset(chr(one) for _, one in argument) if all(map(_is_literal, argument)) else None
    if name == "SUBPATTERN":
        found = _EMPTY
        for inner in argument[3]:
            more = _texts(inner)
            if more is None or len(found) * len(more) > MAX_ALTERNATIVES:
                return None
            found = frozenset(text + end for text in found for end in more)
        return found if found != _EMPTY else None
    if name == "BRANCH":
        branches = [_texts(("SUBPATTERN", (None, 0, 0, branch))) for branch in argument[1]]
        whole = [branch for branch in branches if branch]
        return frozenset().union(*whole) if len(whole) == len(branches) else None
    return None


def _side(items: list[Item], *, beyond: bool, last: bool) -> bool:
    """Tell whether what a sequence matches ends (or begins) in no letter, digit or underscore of ASCII."""
    found = _edge(items, last=last)
    return beyond if found is None else found


def _edge(items: Sequence[Item], *, last: bool) -> bool | None:
    """Tell the same of a sequence; None where it may be empty, and is an edge otherwise."""
    for item in reversed(items) if last else items:
        found = _item_edge(str(item[0]), item[1], last=last)
        if found is not None:
            return found
    return None


def _item_edge(name: str, argument: Any, *, last: bool) -> bool | None:
    if name == "SUBPATTERN":
        return _edge(list(argument[3]), last=last)
    if name == "BRANCH":
        branches = [_edge(list(branch), last=last) for branch in argument[1]]
        return False if False in branches else None if None in branches else True
    if name in _REPEATS:
        least, _, inner = argument
        found = _edge(list(inner), last=last)
        return None if found and not least else found
    if name == "AT":
        return str(argument) in (_BEGINNINGS if last else _ENDS)
    return _is_edge(argument) if name == "LITERAL" else name == "IN" and _is_edge_set(argument)


def _is_edge(code: int) -> bool:
    return code < 128 and not (chr(code).isalnum() or chr(code) == "_")


def _is_edge_set(items: list[Item]) -> bool:
    names = [(str(name), str(argument)) for name, argument in items]
    if names[0][0] == "NEGATE":
        return ("CATEGORY", "CATEGORY_NOT_SPACE") in names
    return all(
        _is_edge(argument) if str(name) == "LITERAL" else str(argument) == "CATEGORY_SPACE" for name, argument in items
    )
