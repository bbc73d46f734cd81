"""One Sigma value held against one field: the leaves of a rule's condition as small functions."""

import re
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from operator import ge, gt, le, lt, ne
from typing import Any

from sigma.types import (
    CompareOperators,
    Placeholder,
    SigmaBool,
    SigmaCasedString,
    SigmaCIDRExpression,
    SigmaCompareExpression,
    SigmaExists,
    SigmaFieldReference,
    SigmaNull,
    SigmaNumber,
    SigmaRegularExpression,
    SigmaString,
    SigmaTimestampPart,
    SigmaType,
    SpecialChars,
    TimestampPart,
)

from replguard.rules.expressions import Endless
from replguard.rules.families import Searches
from replguard.rules.fields import Layout, Row, Text, text

Test = Callable[[Row, Row], bool]
"""Whether a row matches: the texts as they are, and folded."""
MANY, ONE = SpecialChars.WILDCARD_MULTI, SpecialChars.WILDCARD_SINGLE
_FLAGS = SigmaRegularExpression.sigma_to_python_flags
_COMPARE = {
    CompareOperators.LT: lt,
    CompareOperators.LTE: le,
    CompareOperators.GT: gt,
    CompareOperators.GTE: ge,
    CompareOperators.NEQ: ne,
}
_PARTS: dict[TimestampPart, Callable[[datetime], int]] = {
    TimestampPart.MINUTE: lambda time: time.minute,
    TimestampPart.HOUR: lambda time: time.hour,
    TimestampPart.DAY: lambda time: time.day,
    TimestampPart.WEEK: lambda time: time.isocalendar().week,
    TimestampPart.MONTH: lambda time: time.month,
    TimestampPart.YEAR: lambda time: time.year,
}


class Unsupported(ValueError):  # noqa: N818 - a property of the rule, not a fault
    """A value that this engine cannot hold against an event. The message is the reason, for *not evaluable*."""


def over(slot: int, one: Callable[[str], bool], *, folded: bool = True) -> Test:
    """Return a test that is true when any text of the field passes ``one``."""

    def test(plain: Row, low: Row) -> bool:
        value = (low if folded else plain)[slot]
        if value.__class__ is str:
            return one(value)
        return value is not None and any(map(one, value))

    return test


def value_test(layout: Layout, field: str, value: SigmaType) -> Test:
    """Return the test of one value that is no plain string. Raises Unsupported, or re.error for a bad expression."""
    slot = layout.slot(field)
    if isinstance(value, SigmaNull):
        return lambda plain, _: plain[slot] is None
    if isinstance(value, SigmaExists):
        wanted = value.exists
        return lambda plain, _: (plain[slot] is not None) is wanted
    if isinstance(value, SigmaFieldReference):
        return _reference(slot, layout.slot(value.field), value)
    if isinstance(value, SigmaRegularExpression):
        return over(slot, _regex(value, layout.searches), folded=False)
    for kind, make in _ONES.items():
        if isinstance(value, kind):
            return over(slot, make(value), folded=False)
    raise Unsupported(f"a value of the kind {type(value).__name__} cannot be matched on a host")


def as_string(value: SigmaType) -> SigmaString | None:
    """Return strings, numbers and booleans as the string they are compared by; None for other kinds of value."""
    if isinstance(value, SigmaString):
        return value
    if isinstance(value, SigmaNumber) and not isinstance(value, SigmaTimestampPart):
        return SigmaString.from_str(str(text(value.number)))
    if isinstance(value, SigmaBool):
        return SigmaString.from_str(str(text(value.boolean)))
    return None


def string_tests(layout: Layout, slot: int, values: Iterable[SigmaString]) -> list[Test]:
    """Return tests of which one is true when any of the strings matches, the cheap kinds joined and first."""
    equal: set[str] = set()
    heads: list[str] = []
    tails: list[str] = []
    inner: list[str] = []
    other: list[Test] = []
    for value in values:
        if isinstance(value, SigmaCasedString):
            other.append(over(slot, _pattern(_parts(value.s)), folded=False))
            continue
        match [part.casefold() if isinstance(part, str) else part for part in _parts(value.s)]:
            case []:
                equal.add("")
            case [str(whole)]:
                equal.add(whole)
            case [str(head), SpecialChars.WILDCARD_MULTI]:
                heads.append(head)
            case [SpecialChars.WILDCARD_MULTI, str(tail)]:
                tails.append(tail)
            case [SpecialChars.WILDCARD_MULTI, str(part), SpecialChars.WILDCARD_MULTI]:
                inner.append(part)
            case mixed:
                other.append(over(slot, _pattern(mixed)))
    tests = [over(slot, frozenset(equal).__contains__)] if equal else []
    tests += [make(slot, tuple(parts)) for make, parts in ((_heads, heads), (_tails, tails)) if parts]
    return tests + ([inside(layout, slot, inner)] if inner else []) + other


def _parts(parts: Iterable[Any]) -> list[str | SpecialChars]:
    """Return the parts with neighbouring texts and stars joined. Raises Unsupported for a placeholder."""
    joined: list[str | SpecialChars] = []
    for part in parts:
        if isinstance(part, Placeholder):
            raise Unsupported(f"the placeholder %{part.name}% needs a list that only a pipeline can fill")
        if part == "":
            continue
        if joined and isinstance(part, str) and isinstance(joined[-1], str):
            joined[-1] += part
        elif not (joined and part is MANY and joined[-1] is MANY):
            joined.append(part)
    return joined


def _pattern(parts: list[str | SpecialChars]) -> Callable[[str], bool]:
    """Return a whole-text test of wildcards.

    Each ``*`` takes the first place where what follows it fits and never reconsiders (an atomic group), which is
    right for wildcards and keeps hostile texts from costing more than their length times the pattern's.
    """
    chunks = [""]
    for part in parts:
        if part is MANY:
            chunks.append("")
        else:
            chunks[-1] += "." if part is ONE else re.escape(str(part))
    head, *rest = chunks
    source = head
    if rest:
        source += "".join(f"(?>.*?{middle})" for middle in rest[:-1]) + ".*" + rest[-1]
    fits = re.compile(source, re.DOTALL).fullmatch
    return lambda found: fits(found) is not None


def _heads(slot: int, heads: tuple[str, ...]) -> Test:
    def test(_: Row, low: Row) -> bool:
        value = low[slot]
        if value.__class__ is str:
            return value.startswith(heads)
        return value is not None and any(part.startswith(heads) for part in value)

    return test


def _tails(slot: int, tails: tuple[str, ...]) -> Test:
    def test(_: Row, low: Row) -> bool:
        value = low[slot]
        if value.__class__ is str:
            return value.endswith(tails)
        return value is not None and any(part.endswith(tails) for part in value)

    return test


def inside(layout: Layout, slot: int, texts: Iterable[str]) -> Test:
    """Return the test of whether one of some folded texts is in a field."""
    parts, some = layout.parts(slot), tuple(dict.fromkeys(texts))
    numbers, first = parts.numbers(some), some[0]

    def single(_: Row, low: Row) -> bool:
        value = low[slot]
        if value.__class__ is str:
            return first in value if value is not parts.value else not numbers.isdisjoint(parts.inside)
        return value is not None and any(first in one for one in value)

    def several(_: Row, low: Row) -> bool:
        value = low[slot]
        if value.__class__ is not str:
            return value is not None and any(part in one for one in value for part in some)
        if value is parts.value:
            return not numbers.isdisjoint(parts.inside)
        for part in some:  # noqa: SIM110 - a generator costs three times as much, for every event and rule
            if part in value:
                return True
        return False

    return several if len(some) > 1 else single


@lru_cache(maxsize=4096)
def _address(value: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(value)
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found


def _regex(value: SigmaRegularExpression, searches: Searches) -> Callable[[str], bool]:
    flags = 0
    for flag in value.flags:
        flags |= _FLAGS[flag]
    try:
        return searches.search(str(value.regexp), flags)
    except Endless as error:
        raise Unsupported(str(error)) from error


def _cidr(value: SigmaCIDRExpression) -> Callable[[str], bool]:
    network = value.network

    def one(found: str) -> bool:
        address = _address(found)
        return address is not None and address.version == network.version and address in network

    return one


def _compare(value: SigmaCompareExpression) -> Callable[[str], bool]:
    number, operate = float(value.number.number), _COMPARE[value.op]

    def one(found: str) -> bool:
        try:
            return bool(operate(float(found), number))
        except ValueError:
            return False

    return one


def _time_part(value: SigmaTimestampPart) -> Callable[[str], bool]:
    wanted, part = value.number, _PARTS[value.timestamp_part]

    def one(found: str) -> bool:
        try:
            return part(datetime.fromisoformat(found)) == wanted
        except ValueError:
            return False

    return one


def _reference(slot: int, other: int, value: SigmaFieldReference) -> Test:
    start, end = value.starts_with, value.ends_with

    def fits(mine: str, theirs: str) -> bool:
        if start and end:
            return theirs in mine
        if start:
            return mine.startswith(theirs)
        return mine.endswith(theirs) if end else mine == theirs

    def test(_: Row, low: Row) -> bool:
        return any(fits(mine, theirs) for mine in _each(low[slot]) for theirs in _each(low[other]))

    return test


def _each(value: Text) -> tuple[str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else value


_ONES: dict[type[SigmaType], Callable[[Any], Callable[[str], bool]]] = {
    SigmaCIDRExpression: _cidr,
    SigmaCompareExpression: _compare,
    SigmaTimestampPart: _time_part,
}
