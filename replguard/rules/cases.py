"""Fixture files read: the events of each case, built as the engine takes them, with every fault at its line."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

from replguard import yamlfile
from replguard.errors import ConfigError, Problem
from replguard.events.alert import LEVELS, Level
from replguard.events.catalogue import KINDS
from replguard.events.event import Event
from replguard.rules import suggest
from replguard.rules.load import read
from replguard.yamlfile import Document, Place

Kind = Literal["fires", "silent", "near_miss"]
KINDS_OF_CASE: tuple[Kind, ...] = ("fires", "silent", "near_miss")
START = datetime(2026, 1, 1, tzinfo=UTC)
"""When every case begins."""
MAX_REPEAT = 100_000
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_CONTROL = frozenset({"at", "action", "repeat", "every"})


@dataclass(frozen=True, slots=True)
class Case:
    """One case of a fixture file. ``level`` is the highest that the rule must raise, where the case says so.

    ``rule`` is the name of the rule that it is about, in a file that holds several; None for each of them.
    """

    kind: Kind
    name: str
    path: str
    line: int
    level: Level | None
    events: tuple[Event, ...]
    rule: str | None = None


def read_cases(path: Path) -> list[Case]:
    """Return the cases of a fixture file. Raises ConfigError with every fault in it."""
    problems: list[Problem] = []
    cases: list[Case] = []
    for document in yamlfile.parse(read(path), str(path)):
        if not isinstance(document.value, dict):
            problems.append(document.problem((), "expected the keys fires, silent and near_miss"))
            continue
        _unknown_keys(document, (), KINDS_OF_CASE, problems)
        for kind in KINDS_OF_CASE:
            cases += _cases(document, kind, problems)
    if problems:
        raise ConfigError(problems)
    return cases


def _unknown_keys(document: Document, place: Place, known: tuple[str, ...], problems: list[Problem]) -> None:
    value = document.value
    for part in place:
        value = value[part]
    problems += [document.problem((*place, key), yamlfile.unknown_key(key, known)) for key in value if key not in known]


def _cases(document: Document, kind: Kind, problems: list[Problem]) -> list[Case]:
    entries = document.value.get(kind) or []
    if not isinstance(entries, list):
        problems.append(document.problem((kind,), f"'{kind}' must be a list of cases"))
        return []
    return [made for n, entry in enumerate(entries) if (made := _case(document, kind, (kind, n), entry, problems))]


def _case(document: Document, kind: Kind, place: Place, entry: Any, problems: list[Problem]) -> Case | None:
    before = len(problems)
    if not isinstance(entry, dict) or not isinstance(entry.get("events"), list):
        problems.append(document.problem(place, "a case needs 'name' and a list of 'events'"))
        return None
    _unknown_keys(document, place, ("name", "rule", "level", "events"), problems)
    level = entry.get("level")
    if level not in {None, *LEVELS}:
        problems.append(document.problem((*place, "level"), f"'{level}' is no level"))
    events: list[Event] = []
    for number, item in enumerate(entry["events"]):
        _events(document, (*place, "events", number), item, events, problems)
    if len(problems) > before:
        return None
    about = str(entry["rule"]) if "rule" in entry else None
    return Case(kind, str(entry.get("name", "")), document.path, document.line(place), level, tuple(events), about)


def _events(document: Document, place: Place, item: Any, events: list[Event], problems: list[Problem]) -> None:
    """Add the event or events of one entry, or a problem."""
    try:
        if not isinstance(item, dict) or "action" not in item:
            raise ValueError(f"an event needs 'action', one of {', '.join(sorted(KINDS))}")
        if str(item["action"]) not in KINDS:
            raise ValueError(
                f"no event has the action '{item['action']}'{suggest.choice(item['action'], sorted(KINDS))}"
            )
        count, gap, start = int(item.get("repeat", 1)), _span(item.get("every", 0)), _span(item.get("at", 0))
        if not 1 <= count <= MAX_REPEAT:
            raise ValueError(f"'repeat' must be 1 to {MAX_REPEAT}")
        fields = nested({key: value for key, value in item.items() if key not in _CONTROL})
        unknown = _unknown(fields, Event)
        if unknown:
            raise ValueError(f"no event has the field '{unknown}'")
        for number in range(count):
            events.append(_event(fields, item["action"], start + number * gap, len(events) + 1))
    except (ValueError, TypeError, OverflowError) as error:
        problems.append(document.problem(place, str(error)))


def _event(fields: dict[str, Any], action: str, seconds: float, sequence: int) -> Event:
    meta = {"action": action, "id": f"fixture-{sequence}", "sequence": sequence}
    meta["kind"] = "enrichment" if KINDS[action].fact else "event"
    whole = {"@timestamp": START + timedelta(seconds=seconds), **fields, "event": meta | fields.get("event", {})}
    return msgspec.convert(whole, Event)


def nested(fields: dict[str, Any]) -> dict[str, Any]:
    """Return dotted and nested keys as nested ones. Raises ValueError where one name is a value and a section."""
    made: dict[str, Any] = {}
    for key, value in fields.items():
        *sections, last = str(key).split(".")
        inner = made
        for section in sections:
            inner = inner.setdefault(section, {})
            if not isinstance(inner, dict):
                raise ValueError(f"'{key}': '{section}' is a value already")  # noqa: TRY004 - it is the author's text
        whole = nested(value) if isinstance(value, dict) else value
        if isinstance(whole, dict) and isinstance(inner.get(last), dict):
            whole = inner[last] | whole
        inner[last] = whole
    return made


def _unknown(fields: dict[str, Any], struct: type[msgspec.Struct], prefix: str = "") -> str | None:
    """Return the first field that an event does not have."""
    known = {field.encode_name: field.type for field in msgspec.structs.fields(struct)}
    for key, value in fields.items():
        if key not in known:
            return prefix + key
        kinds = (known[key], *get_args(known[key]))
        inner = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, msgspec.Struct)), None)
        if inner is not None and isinstance(value, dict):
            found = _unknown(value, inner, f"{prefix}{key}.")
            if found:
                return found
    return None


def _span(value: Any) -> float:
    """Return seconds of ``0s``, ``5m``, ``1h30m``, or of a plain number."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    text = str(value)
    parts = _SPAN.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"'{value}' is not a time span; write for example 0s, 30s, 5m or 2h")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
