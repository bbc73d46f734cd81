"""A second evaluator of Sigma detections, written plainly from the specification: the compiled one must agree.

It reads the YAML values themselves and knows nothing of pySigma's types. Only what the properties generate is here.
"""

import ipaddress
import operator
import re
from fnmatch import fnmatchcase
from typing import Any

ORDERS = {"gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}


def holds(condition: Any, detections: dict[str, Any], event: dict[str, Any]) -> bool:
    """Judge a condition given as a tree: a name, ``["not", x]``, ``["and", x, y]``, ``["or", x, y]``."""
    if isinstance(condition, str):
        return selection(detections[condition], event)
    operator, *parts = condition
    if operator == "not":
        return not holds(parts[0], detections, event)
    judged = [holds(part, detections, event) for part in parts]
    return all(judged) if operator == "and" else any(judged)


def written(condition: Any) -> str:
    """Return the tree as Sigma writes it."""
    if isinstance(condition, str):
        return condition
    operator, *parts = condition
    if operator == "not":
        return f"not ({written(parts[0])})"
    return f" {operator} ".join(f"({written(part)})" for part in parts)


def parsed(text: str, names: list[str]) -> Any:
    """Return the tree of a condition as Sigma writes it; ``1 of x*`` and ``all of them`` become lists."""
    tokens = re.findall(r"[()]|[^\s()]+", text)

    def ors() -> Any:
        parts = [ands()]
        while tokens and tokens[0] == "or":
            tokens.pop(0)
            parts.append(ands())
        return parts[0] if len(parts) == 1 else ["or", *parts]

    def ands() -> Any:
        parts = [negated()]
        while tokens and tokens[0] == "and":
            tokens.pop(0)
            parts.append(negated())
        return parts[0] if len(parts) == 1 else ["and", *parts]

    def negated() -> Any:
        first = tokens.pop(0)
        if first == "not":
            return ["not", negated()]
        if first == "(":
            inner = ors()
            tokens.pop(0)
            return inner
        if first in ("1", "any", "all") and tokens and tokens[0] == "of":
            tokens.pop(0)
            pattern = tokens.pop(0)
            chosen = [name for name in names if pattern == "them" or fnmatchcase(name, pattern)]
            return ["and" if first == "all" else "or", *chosen]
        return first

    return ors()


def selection(detection: Any, event: dict[str, Any]) -> bool:
    """Judge one selection: a mapping needs all its items, a list of mappings any."""
    if isinstance(detection, list):
        return any(selection(one, event) for one in detection)
    return all(item(key, values, event) for key, values in detection.items())


def item(key: str, values: Any, event: dict[str, Any]) -> bool:
    """Judge ``field|modifiers: values``."""
    field, *modifiers = key.split("|")
    wanted = values if isinstance(values, list) else [values]
    judged = [value(one, modifiers, event.get(field)) for one in wanted]
    return all(judged) if "all" in modifiers else any(judged)


def value(wanted: Any, modifiers: list[str], found: Any) -> bool:
    """Judge one value against what the event holds: any element of a list may match."""
    if wanted is None:
        return found is None or found == ()
    if "exists" in modifiers:
        return (found is not None) is wanted
    each = found if isinstance(found, tuple) else () if found is None else (found,)
    return any(one(wanted, modifiers, str(part)) for part in each)


def one(wanted: Any, modifiers: list[str], found: str) -> bool:
    """Judge one text."""
    if "re" in modifiers:
        return re.search(wanted, found, re.IGNORECASE if "i" in modifiers else 0) is not None
    compared = [ORDERS[modifier] for modifier in modifiers if modifier in ORDERS]
    try:
        if "cidr" in modifiers:
            return ipaddress.ip_address(found) in ipaddress.ip_network(wanted)
        if compared:
            return bool(compared[0](float(found), wanted))
    except ValueError:
        return False
    text = str(wanted)
    if "cased" not in modifiers:
        text, found = text.casefold(), found.casefold()
    open_left = "contains" in modifiers or "endswith" in modifiers
    open_right = "contains" in modifiers or "startswith" in modifiers
    return glob(("*" if open_left else "") + text + ("*" if open_right else ""), found)


def glob(pattern: str, found: str) -> bool:
    """Match ``*`` and ``?`` by trying everything."""
    if not pattern:
        return not found
    if pattern[0] == "\\" and pattern[1:2] in {"*", "?", "\\"}:
        return found[:1] == pattern[1] and glob(pattern[2:], found[1:])
    if pattern[0] == "*":
        return any(glob(pattern[1:], found[start:]) for start in range(len(found) + 1))
    return bool(found) and pattern[0] in {"?", found[0]} and glob(pattern[1:], found[1:])


def sign(wanted: tuple[str, str], folded: str) -> bool:
    """Tell whether a sign of the index is in a folded text, in the plainest way."""
    place, text = wanted
    if place == "whole":
        return folded == text
    if place == "last":
        return folded.endswith(text) and folded.rfind("/") == len(folded) - len(text)
    before = r"(?<![a-z0-9_])" if place in ("begin", "word") else ""
    behind = r"(?![a-z0-9_])" if place in ("end", "word") else ""
    return re.search(before + re.escape(text) + behind, folded) is not None
