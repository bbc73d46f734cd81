"""What rules read of an event: each field once, as text, in a row that every rule of that kind of event shares."""

import ast
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, cast

import msgspec

from replguard.events import names
from replguard.events.event import Event
from replguard.rules.families import Searches
from replguard.rules.parts import Parts

Text = str | tuple[str, ...] | None
"""A field's value: one text, several (any may match), or none."""
Reader = Callable[[Any], Any]
Resolver = Callable[[str], Reader | None]
"""Field name → reader; None when no event can hold the field."""
Row = list[Text]

UNREAD: Text = ("a place of a row that nobody has asked for",)
KEYWORDS = "*"
"""The name under which a layout holds every text of the event, for values that no field binds."""
MAX_TEXT = 32 * 1024
"""Characters of one text that rules look at, half from each end: anybody may start a program with 2 MiB of arguments,
and a hundred expressions over each would take the time of all others. The log keeps it whole."""
MAX_DEPTH = 8
"""Levels of an event that a keyword search descends; ours have five."""


def text(value: Any) -> Text:
    """Return a value as rules compare it: numbers and booleans by their text, empty lists as nothing."""
    if value.__class__ is str or value is None:
        return value
    if isinstance(value, (tuple, list, set, frozenset)):
        several = tuple([t for item in value if isinstance(t := text(item), str)])
        return several or None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    return str(value)


def bounded(value: Text) -> Text:
    """Return a text without the middle of one that is longer than rules look at."""
    if value.__class__ is str:
        return value if len(value) <= MAX_TEXT else f"{value[: MAX_TEXT // 2]}\n{value[-MAX_TEXT // 2 :]}"
    return tuple([str(bounded(part)) for part in value]) if value else value


def fold(value: Text) -> Text:
    """Return a text without its case. Folding is per character, so that a part of a text folds to a part."""
    if value.__class__ is str:
        return value.casefold()
    return tuple([part.casefold() for part in value]) if value else None


def event_field(name: str) -> Reader | None:
    """Return the reader of a field of our events by its ECS or Sysmon name.

    A name that stands for several fields reads the distinct values of all.
    """
    if name == "Image":
        return _image
    getters = [names.getter(path) for path in names.resolve(name)]
    if len(getters) <= 1:
        return getters[0] if getters else None
    if len(getters) == 2:
        return _either(*getters)

    def read(event: Event) -> Any:
        found = {value: None for get in getters if (value := get(event)) is not None}
        return tuple(found) if len(found) > 1 else next(iter(found), None)

    return read


def together(fields: Iterable[str]) -> Reader:
    """Return the reader of all that several fields are made of, as one tuple that a dictionary may be asked for.

    A function made for it, because it runs for most events: each section is asked for once, and nothing is called.
    """
    held, body = {"": "event"}, list[ast.stmt]()

    def read(path: str) -> ast.expr:
        section, _, last = path.rpartition(".")
        if section not in held:
            inside = read(section)
            held[section] = f"section_{len(held)}"
            body.append(ast.Assign([ast.Name(held[section], ast.Store())], inside))
        found = ast.Attribute(ast.Name(held[section], ast.Load()), last, ast.Load())
        none = ast.Constant(value=None)
        asked = ast.Compare(ast.Name(held[section], ast.Load()), [ast.Is()], [none])
        return ast.IfExp(asked, none, found) if section else found

    paths = dict.fromkeys(path for field in fields for path in names.resolve(field))
    values = [read("timestamp" if path == "@timestamp" else path) for path in paths]
    module = ast.parse("def read(event): return ()")
    cast("ast.FunctionDef", module.body[0]).body = [*body, ast.Return(ast.Tuple(values, ast.Load()))]
    made: dict[str, Any] = {}
    exec(compile(ast.fix_missing_locations(module), "<fields>", "exec"), made)  # noqa: S102 - of our own names alone
    return cast("Reader", made["read"])


def _image(event: Event) -> Any:
    """Read where a program lies and how it was asked for, in one step: most rules ask for it."""
    process = event.process
    if process is None:
        return None
    one, other = process.executable, process.invoked
    if other is None or one == other:
        return one
    return other if one is None else (one, other)


def _either(first: Reader, second: Reader) -> Reader:
    def read(event: Event) -> Any:
        one, other = first(event), second(event)
        if one is None or one == other:
            return other
        return one if other is None else (one, other)

    return read


def mapping_field(name: str) -> Reader:
    """Return the reader of a key of a plain mapping, for events that are not ours."""
    return lambda event: event.get(name)


def every_text(event: Any) -> tuple[str, ...]:
    """Return every text in an event, for keyword search."""
    return tuple(_texts(event if isinstance(event, dict) else msgspec.to_builtins(event), MAX_DEPTH))


def _texts(value: Any, depth: int) -> Iterable[str]:
    if isinstance(value, dict):
        parts: Iterable[Any] = value.values()
    elif isinstance(value, (list, tuple)):
        parts = value
    else:
        single = text(value)
        return (single,) if isinstance(single, str) else ()
    return (found for part in parts for found in _texts(part, depth - 1)) if depth else ()


def plain_text(value: Any) -> Text:
    """Return a value as rules look at it."""
    if value is None or (value.__class__ is str and len(value) <= MAX_TEXT):
        return cast("Text", value)
    return bounded(text(value))


class Layout:
    """The fields that a set of rules reads, their places in a row, and what is looked for in them."""

    def __init__(self, resolve: Resolver = event_field) -> None:
        self.searches = Searches()
        self._resolve = resolve
        self._slots: dict[str, int] = {}
        self._names: list[str] = []
        self._readers: list[Reader] = []
        self._parts: list[Parts] = []

    def slot(self, name: str) -> int:
        """Return the place of a field in a row. Raises KeyError for a field that no event has."""
        if name not in self._slots:
            reader = every_text if name == KEYWORDS else self._resolve(name)
            if reader is None:
                raise KeyError(name)
            self._slots[name] = len(self._readers)
            self._names.append(name)
            self._readers.append(reader)
            self._parts.append(Parts())
        return self._slots[name]

    def __len__(self) -> int:
        """Return how many places a row has."""
        return len(self._readers)

    def name(self, slot: int) -> str:
        """Return the field that is read into a place of a row."""
        return self._names[slot]

    def parts(self, slot: int) -> Parts:
        """Return the texts that are looked for inside the field of a place."""
        return self._parts[slot]

    def reader(self, slot: int) -> Reader:
        """Return what reads one place of a row from an event."""
        return self._readers[slot]

    def fill(self, slots: Iterable[int], event: Any, plain: Row, low: Row) -> None:
        """Put the texts of some places into rows that begin with ``UNREAD`` everywhere."""
        for slot in slots:
            if plain[slot] is UNREAD:
                plain[slot] = found = plain_text(self._readers[slot](event))
                low[slot] = fold(found)

    def rows(self, event: Any) -> tuple[Row, Row]:
        """Return the texts of an event, as they are and folded."""
        plain: Row = [UNREAD] * len(self)
        low: Row = [UNREAD] * len(self)
        self.fill(range(len(self)), event, plain, low)
        return plain, low
