"""Events made from a rule: some that match it, some that nearly do, some with the letters that others fold to."""

import random
import re
from collections.abc import Iterator
from typing import Any

from support import plainsigma

LIKE = {"s": "ſ", "k": "\u212a", "i": "\u0130", "a": "\u0430", " ": "\u2003", "-": "\u2013", "e": "é", "/": "\u2215"}
"""Letters that look or fold like others."""
FILL = ["", " ", "x", "/tmp/y", "é", " -- ", "\n", "ß"]


def fields(detections: dict[str, Any], condition: Any, chance: random.Random) -> dict[str, str]:
    """Return values of fields for which a condition may hold: what is negated is left out, of choices one is taken."""
    found: dict[str, str] = {}
    for name in _chosen(condition, chance):
        for key, values in _mapping(detections[name], chance).items():
            field, *modifiers = key.split("|")
            made = _value(values, modifiers, chance)
            if made is None:
                continue
            found[field] = found[field] + chance.choice([" ", ""]) + made if field in found else made
    return found


def near(given: dict[str, str], chance: random.Random) -> Iterator[dict[str, str]]:
    """Yield the same fields with one of them changed a little, or without it."""
    for field, text in given.items():
        place = chance.randrange(len(text) + 1)
        others = [
            text.swapcase(),
            text[:place] + text[place + 1 :],
            text[:place] + chance.choice("x/ é") + text[place:],
        ]
        others += ["".join(LIKE.get(letter, letter) if chance.random() < 0.5 else letter for letter in text)]
        others += [text + "x", "x" + text, text.upper(), text * 9]
        yield from ({**given, field: other} for other in others)
        yield {name: value for name, value in given.items() if name != field}


def _chosen(condition: Any, chance: random.Random) -> list[str]:
    if isinstance(condition, str):
        return [condition]
    operator, *parts = condition
    if operator == "not":
        return _chosen(parts[0], chance) if chance.random() < 0.1 else []
    if operator == "or":
        parts = [chance.choice(parts)]
    return [name for part in parts for name in _chosen(part, chance)]


def _mapping(detection: Any, chance: random.Random) -> dict[str, Any]:
    return _mapping(chance.choice(detection), chance) if isinstance(detection, list) else detection


def _value(values: Any, modifiers: list[str], chance: random.Random) -> str | None:
    if not isinstance(values, list):
        values = [values]
    if "all" not in modifiers:
        values = [chance.choice(values)]
    made = [_one(value, modifiers, chance) for value in values]
    return None if None in made else chance.choice(["", " ", " x "]).join(map(str, made))


def _one(value: Any, modifiers: list[str], chance: random.Random) -> str | None:
    if value is None or "exists" in modifiers:
        return "x" if value else None
    if "cidr" in modifiers:
        return str(value).split("/")[0]
    if any(modifier in plainsigma.ORDERS for modifier in modifiers):
        return str(value + chance.choice([-1, 0, 1]))
    if "re" in modifiers:
        return chance.choice(FILL) + _matching(re._parser.parse(value), chance) + chance.choice(FILL)
    text = re.sub(r"(?<!\\)[*?]", lambda one: chance.choice(FILL) if one[0] == "*" else "z", str(value))
    before = chance.choice(FILL) if {"contains", "endswith"} & {*modifiers} else ""
    behind = chance.choice(FILL) if {"contains", "startswith"} & {*modifiers} else ""
    return before + text.replace("\\\\", "\\") + behind


def _matching(items: Any, chance: random.Random) -> str:
    """Return a text that an expression matches, as far as the parts that rules use go."""
    return "".join(_part(str(operator), argument, chance) for operator, argument in items)


def _part(name: str, argument: Any, chance: random.Random) -> str:
    if name == "LITERAL":
        return chr(argument)
    if name == "SUBPATTERN":
        return _matching(argument[3], chance)
    if name == "BRANCH":
        return _matching(chance.choice(argument[1]), chance)
    if name in ("MAX_REPEAT", "MIN_REPEAT"):
        least, most, inner = argument
        return "".join(_matching(inner, chance) for _ in range(chance.randint(least, min(int(most), least + 2))))
    if name == "IN":
        return chance.choice([letter for letter in _LETTERS if _in(argument, letter)] or ["?"])
    return chance.choice(_LETTERS) if name in ("ANY", "NOT_LITERAL") else ""


_LETTERS = "ab zZ9_-/.;\t\n\u2003é"


def _in(items: Any, letter: str) -> bool:
    """Tell whether a set of a parsed expression holds a letter."""
    held = False
    for operator, argument in items:
        name = str(operator)
        held |= name == "LITERAL" and chr(argument) == letter
        held |= name == "RANGE" and argument[0] <= ord(letter) <= argument[1]
        held |= name == "CATEGORY" and re.match(_CLASSES[str(argument)], letter) is not None
    return held != (str(items[0][0]) == "NEGATE")


_CLASSES = {
    "CATEGORY_DIGIT": r"\d",
    "CATEGORY_NOT_DIGIT": r"\D",
    "CATEGORY_SPACE": r"\s",
    "CATEGORY_NOT_SPACE": r"\S",
    "CATEGORY_WORD": r"\w",
    "CATEGORY_NOT_WORD": r"\W",
}
