"""Regular expressions in bounded time: Python's own where its time cannot explode, RE2 where it could."""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from string import ascii_letters
from typing import Any

import re2  # type: ignore[import-untyped]

from replguard.rules.scan import options

LONG = 128
"""Characters from which RE2 searches in place of ``re``: its time grows with the text and never with its square."""
STEPS = 2**21
"""Steps that ``re`` may take in the worst of texts; a twentieth of a second."""
FEW = 10
"""Repetitions up to which every number of them counts as a way; more count as a loop."""
_SIGNS = {re.IGNORECASE: "i", re.MULTILINE: "m", re.DOTALL: "s"}
_BLANK, _SOLID = (
    r"\t-\r\x1c-\x20\x{85}\pZ",
    (
        r"\x00-\x08\x0e-\x1b!-\x{84}\x{86}-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027}\x{202a}-\x{202e}"
        r"\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{10ffff}"
    ),
)
_INSIDE = {r"\w": r"\pL\pN_", r"\d": r"\p{Nd}", r"\D": r"\P{Nd}", r"\s": _BLANK, r"\S": _SOLID}
_OUTSIDE = {
    r"\w": r"[\pL\pN_]",
    r"\W": r"[^\pL\pN_]",
    r"\d": r"\p{Nd}",
    r"\D": r"\P{Nd}",
    r"\s": f"[{_BLANK}]",
    r"\S": f"[{_SOLID}]",
    r"\Z": r"\z",
}
"""What stands in RE2 for the classes of ``re``, which are Unicode's, within brackets and without."""
_TOKEN = re.compile(r"\\.|\[\^?\]?|[\]$]|.", re.DOTALL)
_LETTER = re.compile(r"[^\W\x00-\x7f]")
_SURROGATE = re.compile("[\ud800-\udfff]")


class Endless(ValueError):  # noqa: N818 - a property of the expression, not a fault
    """An expression whose time nothing bounds. The message is the reason, for *not evaluable*."""


Found = Callable[[str], bool]
"""Whether an expression is found in a text."""


def searcher(expression: str, flags: int, long: Found | None = None) -> Found:
    """Return whether an expression is found in a text, as a function of the text; ``long`` finds it in long ones.

    Raises re.error for a bad expression, and Endless for one that could take time without bound where RE2, which
    never does, does not know it either.
    """
    search = re.compile(expression, flags).search

    def alone(text: str) -> bool:
        return in_long(expression, flags)(text)

    if room(expression, flags) >= LONG:
        other = long or alone
        return lambda text: search(text) is not None if len(text) <= LONG else other(text)
    linear = _linear(expression, flags)
    if linear is None:
        raise Endless(
            f"the time of the expression '{expression[:80]}' could grow without bound, and RE2, which bounds it, does"
            " not know what it asks for: write it with one repetition, or without looking around and back"
        )
    return linear if long is None else lambda text: linear(text) if len(text) <= LONG else long(text)


@lru_cache(maxsize=4096)
def in_long(expression: str, flags: int) -> Found:
    """Return the search of a long text: by RE2, or of both its ends, as much as ``re`` gets through."""
    search, most = re.compile(expression, flags).search, room(expression, flags)
    half = most // 2
    return _linear(expression, flags) or (
        lambda text: search(text if len(text) <= most else f"{text[:half]}\n{text[-half:]}") is not None
    )


def source(expression: str, flags: int) -> str:
    """Return an expression with its flags, as RE2 writes it."""
    signs = "".join(sign for flag, sign in _SIGNS.items() if flags & flag)
    written = translated(expression, multiline=bool(flags & re.MULTILINE))
    return f"(?{signs})(?:{written})" if signs else written


def data(text: str, letter: str | None = None) -> bytes:
    """Return a text as RE2 reads it, with a letter in place of those of other alphabets."""
    try:
        return (_LETTER.sub(letter, text) if letter and not text.isascii() else text).encode()
    except UnicodeEncodeError:
        return _SURROGATE.sub("\ufffd", text).encode()


@lru_cache(maxsize=4096)
def _linear(expression: str, flags: int) -> Found | None:
    """Return the search by RE2, None where it does not know the expression. It remembers what it found last."""
    try:
        search = re2.compile(source(expression, flags), options()).search
    except (re2.error, UnicodeEncodeError):
        return None

    last, answer, letter = "", search(b"") is not None, stand_in(expression, flags)

    def found(text: str) -> bool:
        nonlocal last, answer
        if text is not last:
            last, answer = text, search(data(text, letter)) is not None
        return answer

    return found


def stand_in(expression: str, flags: int) -> str | None:
    r"""Return a letter that stands for those of other alphabets where an expression asks for the edges of words.

    RE2 knows edges in ASCII only. An expression that names no other letters cannot tell them from one that it does not
    name; None where it could, or asks for no edge.
    """
    if r"\b" not in expression.lower() or flags & re.IGNORECASE or not expression.isascii():
        return None
    if re.search(r"\\[dD]|\(\?[a-z]", expression):
        return None
    asked = set(_codes(re._parser.parse(expression, flags)))  # type: ignore[attr-defined]  # noqa: SLF001 - as above
    return next((letter for letter in "_" + ascii_letters if ord(letter) not in asked), None)


def _codes(items: Iterable[tuple[Any, Any]]) -> Iterator[int]:
    """Yield every character that a parsed expression names."""
    for operator, argument in items:
        match str(operator):
            case "LITERAL" | "NOT_LITERAL":
                yield argument
            case "RANGE":
                yield from range(argument[0], argument[1] + 1)
            case "IN" | "ATOMIC_GROUP":
                yield from _codes(argument)
            case "SUBPATTERN":
                yield from _codes(argument[3])
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                yield from _codes(argument[2])
            case "BRANCH":
                for branch in argument[1]:
                    yield from _codes(branch)


def translated(expression: str, *, multiline: bool = False) -> str:
    """Return an expression as RE2 writes it: the classes are Unicode's, and ``$`` is before a last newline too."""
    found, inside = [], False
    for part in _TOKEN.findall(expression):
        if part[0] == "\\":
            found.append((_INSIDE if inside else _OUTSIDE).get(part, part))
        elif part[0] == "[":
            found.append("\\" + part.replace("]", "") if inside else part)
            if inside and part.endswith("]"):
                found.append("]")
                inside = False
            else:
                inside = True
        elif inside:
            found.append(part)
            inside = part != "]"
        else:
            found.append(r"(?:$|\n\z)" if part == "$" and not multiline else part)
    return "".join(found)


@lru_cache(maxsize=4096)
def room(expression: str, flags: int) -> int:
    """Return the length of text that ``re`` gets through in ``STEPS``, estimated from above; 0 where none is safe."""
    parsed = re._parser.parse(expression, flags)  # type: ignore[attr-defined]  # noqa: SLF001 - no public one
    items = list(parsed)
    ways, loops = _effort(items)
    anchored = bool(items) and str(items[0][1]) == "AT_BEGINNING" and not flags & re.MULTILINE
    power = loops + (0 if anchored else 1)
    if ways > STEPS:
        return 0
    return STEPS if not power else int((STEPS / ways) ** (1 / power) + 1e-9)


def _effort(items: Iterable[tuple[Any, Any]]) -> tuple[float, int]:
    """Return in how many ways a sequence may match at one place, and how many loops over the text lie one in another.

    The ways are infinite where a loop holds what may match in several ways: their number doubles with each round.
    """
    ways, loops, most = 1.0, 0, 0
    for operator, argument in items:
        name = str(operator)
        more, again = 1.0, 0
        if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            more, again = _repeated(*argument)
        elif name in ("SUBPATTERN", "ATOMIC_GROUP"):
            more, again = _effort(argument[3] if name == "SUBPATTERN" else argument)
        elif name == "BRANCH":
            each = [_effort(branch) for branch in argument[1]]
            more, again = sum(one for one, _ in each), max(loop for _, loop in each)
        elif name in ("ASSERT", "ASSERT_NOT"):
            inner, around = _effort(argument[1])
            ways, most = ways * inner, max(most, loops + around)
        elif name.startswith("GROUPREF"):
            again = 1
        ways, loops = ways * more, loops + again
        most = max(most, loops)
    return ways, most


def _repeated(least: int, most: int, inner: Iterable[tuple[Any, Any]]) -> tuple[float, int]:
    ways, loops = _effort(inner)
    if most <= FEW:
        return sum(ways**count for count in range(least, most + 1)), loops * most
    return (1.0, 1) if ways == 1 and not loops else (float("inf"), loops + 1)
