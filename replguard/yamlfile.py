"""YAML that remembers its lines, and its conversion into typed structs every fault reported, not only the first."""

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec
import yaml

from replguard.errors import ConfigError, Problem

Place = tuple[str | int, ...]
T = TypeVar("T", bound=msgspec.Struct)
MAX_BYTES = 4 * 1024 * 1024
"""A configuration file larger than this is a mistake; reading it would only cost memory."""
MAX_NODES = 200_000
"""Values in one file, aliases expanded: nine lines of YAML can stand for a billion, and cost as much memory."""
MAX_DEPTH = 64
"""Deepest nesting. Ours is eight; PyYAML's composer dies of a stack overflow at some ten thousand."""
_PLAIN_TAGS = frozenset({"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})

_UNIONS = (Union, UnionType)
_SWITCH = {False: "off", True: "on"}
"""YAML 1.1 reads a bare ``off`` as false; where words are asked for, the word was meant."""
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_STYLE: dict[str, Any] = {"sort_keys": False, "default_flow_style": None, "width": 1 << 20}


@dataclass(slots=True)
class Document:
    """One YAML document: its plain ``value``, and the line (1-based) of each place in it."""

    path: str
    value: Any
    lines: dict[Place, int] = field(default_factory=dict)

    def line(self, place: Place) -> int:
        """Return the line of a place, or of the nearest place around it."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)

    def problem(self, place: Place, text: str) -> Problem:
        """Return a problem at a place of this document."""
        return Problem(self.path, self.line(place), text)


def written(document: dict[str, Any]) -> str:
    """Return a document as people write it: in its order, short lists on one line.

    libyaml is ten times as fast, and cannot write what is no Unicode text.
    """
    try:
        return str(yaml.dump(document, Dumper=_Dumper, **_STYLE))
    except UnicodeEncodeError:
        return str(yaml.safe_dump(document, **_STYLE))


def read(path: Path, problems: list[Problem] | None = None) -> list[Document]:
    """Return the documents of a file. Raises ConfigError with file and line for anything that is not YAML.

    With ``problems`` a value that is none is added to them and read as nothing: the rest is still worth a look.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError([Problem(str(path), 0, f"cannot be read: {error.strerror}")]) from error
    except ValueError as error:
        raise ConfigError([Problem(repr(str(path)), 0, f"cannot be read: {error}")]) from error
    if len(data) > MAX_BYTES:
        raise ConfigError([Problem(str(path), 0, f"is larger than {MAX_BYTES} bytes")])
    return parse(data, str(path), problems)


def parse(data: bytes, path: str, problems: list[Problem] | None = None) -> list[Document]:
    """Return the documents in ``data``. Raises ConfigError; duplicate keys are errors too."""
    try:
        _bound(data, path)
        return _documents(data, path, problems)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 0
        raise ConfigError([Problem(path, line, f"not YAML: {error.problem or error.context}")]) from error
    except yaml.reader.ReaderError as error:
        line = data.count(b"\n", 0, error.position) + 1
        raise ConfigError([Problem(path, line, f"not YAML: {error.reason}")]) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigError([Problem(path, 0, f"not YAML that can be read: {type(error).__name__}: {error}")]) from error


def _bound(data: bytes, path: str) -> None:
    """Refuse what would exhaust the composer, which is C code that recurses: its stack ends the process, no error."""
    depth = nodes = 0
    for event in yaml.parse(data, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        nodes += isinstance(event, yaml.NodeEvent)
        if depth > MAX_DEPTH or nodes > MAX_NODES:
            line = event.start_mark.line + 1 if event.start_mark else 0
            text = f"nested deeper than {MAX_DEPTH}" if depth > MAX_DEPTH else f"more than {MAX_NODES} values"
            raise ConfigError([Problem(path, line, text)])


def _documents(data: bytes, path: str, problems: list[Problem] | None) -> list[Document]:
    documents, reader = [], _Reader(path)
    for node in yaml.compose_all(data, Loader=_Loader):
        reader.document = Document(path, None)
        reader.document.value = reader.plain(node, ())
        documents.append(reader.document)
    if reader.problems and problems is None:
        raise ConfigError(reader.problems)
    if problems is not None:
        problems += reader.problems
    return documents


class _Reader:
    """Turns nodes into plain values. Aliases are expanded, so what they expand to is counted over the whole file."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.document = Document(path, None)
        self.problems: list[Problem] = []
        self.nodes = 0
        self._loader = _Loader(b"")

    def plain(self, node: yaml.Node, place: Place) -> Any:
        """Return the value of a node, and note its line."""
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise ConfigError([*self.problems, self._problem(node, f"its aliases make more than {MAX_NODES} values")])
        if len(place) > MAX_DEPTH:
            raise ConfigError([*self.problems, self._problem(node, f"nested deeper than {MAX_DEPTH}, or in itself")])
        self.document.lines.setdefault(place, node.start_mark.line + 1)
        if isinstance(node, yaml.CollectionNode) and node.tag not in _PLAIN_TAGS:
            self.problems.append(self._problem(node, f"'{node.tag}' is not a plain value"))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place)
        if isinstance(node, yaml.SequenceNode):
            return [self.plain(item, (*place, i)) for i, item in enumerate(node.value)]
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, place: Place) -> dict[Any, Any]:
        result: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value if _is_word(key_node) else None
            if isinstance(key_node, yaml.ScalarNode) and key is None and not key_node.tag.endswith(":merge"):
                key = self._scalar(key_node)
            if not isinstance(key, (str, int)):
                self.problems.append(self._problem(key_node, "a key must be a plain word"))
                continue
            if key in result:
                self.problems.append(self._problem(key_node, f"'{key}' is given twice"))
            self.document.lines[(*place, key)] = key_node.start_mark.line + 1
            result[key] = self.plain(value_node, (*place, key))
        return result

    def _scalar(self, node: yaml.Node) -> Any:
        try:
            value = self._loader.construct_object(node, deep=True)
        except (yaml.YAMLError, ValueError, OverflowError) as error:
            self.problems.append(self._problem(node, f"not a plain value: {error}".split("\n")[0]))
            return None
        if isinstance(value, str) and "\0" in value:
            self.problems.append(self._problem(node, "holds a NUL character, which no path or name can"))
        return value

    def _problem(self, node: yaml.Node, text: str) -> Problem:
        return Problem(self.path, node.start_mark.line + 1, text)


def _is_word(node: yaml.Node) -> bool:
    """Tell ``on``, ``yes`` and ``off``: YAML 1.1 takes them for truth values, a key means the word."""
    return isinstance(node, yaml.ScalarNode) and node.tag.endswith(":bool")


def convert(
    document: Document,
    struct: type[T],
    problems: list[Problem],
    place: Place = (),
    dec_hook: Callable[[type, Any], Any] | None = None,
) -> T | None:
    """Return ``struct`` filled from a place of the document, or None after adding every fault to ``problems``."""
    value = document.value
    for part in place:
        value = value[part]
    if not isinstance(value, dict):
        problems.append(document.problem(place, f"expected keys and values, got {type(value).__name__}"))
        return None
    fields = {f.encode_name: f for f in msgspec.structs.fields(struct)}
    before = len(problems)
    values: dict[str, Any] = {}
    for key, item in value.items():
        here = (*place, key)
        if key not in fields:
            problems.append(document.problem(here, unknown_key(key, fields)))
            continue
        values[fields[key].name] = _field(document, fields[key].type, item, here, problems, dec_hook)
    for name, info in fields.items():
        if info.required and name not in value:
            problems.append(document.problem(place, f"'{name}' is missing"))
    if len(problems) > before:
        return None
    try:
        return struct(**values)
    except (ValueError, TypeError) as error:
        problems.append(document.problem(place, str(error)))
        return None


def _field(document: Document, kind: Any, item: Any, place: Place, problems: list[Problem], dec_hook: Any) -> Any:
    for candidate in (kind, *(get_args(kind) if get_origin(kind) in _UNIONS else ())):
        origin, arguments = get_origin(candidate), get_args(candidate)
        if isinstance(item, list) and origin in {tuple, list} and arguments:
            made = [
                _field(document, arguments[0], entry, (*place, i), problems, dec_hook) for i, entry in enumerate(item)
            ]
            return origin(made)
        if isinstance(item, dict) and origin is dict:
            pairs = item.items()
            return {k: _field(document, arguments[1], v, (*place, k), problems, dec_hook) for k, v in pairs}
        if isinstance(item, dict) and isinstance(candidate, type) and issubclass(candidate, msgspec.Struct):
            return convert(document, candidate, problems, place, dec_hook)
    if get_origin(kind) is Literal:
        item = _SWITCH.get(item, item) if isinstance(item, bool) else item
        if item not in get_args(kind):
            problems.append(
                document.problem(place, f"'{_name(place)}': '{item}' is none of {', '.join(get_args(kind))}")
            )
        return item
    try:
        return msgspec.convert(item, kind, dec_hook=dec_hook)
    except (msgspec.ValidationError, ValueError, OverflowError) as error:
        problems.append(document.problem(place, f"'{_name(place)}': {_plainly(error)}"))
        return None


def _name(place: Place) -> object:
    """Return the key that a place belongs to: that of the list for an item of a list."""
    return next((part for part in reversed(place) if isinstance(part, str)), place[-1] if place else "")


def _plainly(error: Exception) -> str:
    """Return msgspec's sentence in the words of YAML."""
    text = str(error).split(" - at `")[0].replace("Invalid RFC3339 encoded date", "not a date, for example 2027-01-31")
    return re.sub(r"`([^`]*)`", lambda found: " or ".join(_WORDS.get(w, w) for w in found[1].split(" | ")), text)


_WORDS = {"object": "keys and values", "array": "a list", "str": "text", "null": "nothing", "bool": "true or false"}


def unknown_key(key: object, known: Any) -> str:
    """Return the sentence for a key that does not exist, with the nearest one that does."""
    near = difflib.get_close_matches(str(key), list(known), n=1)
    return f"unknown key '{key}'" + (
        f", did you mean '{near[0]}'?" if near else f" (known: {', '.join(sorted(known))})"
    )


def is_there(path: Path) -> bool:
    """Tell whether a file exists, also one that we may not reach: to that the answer is an error, not a default."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        pass
    return True


def drop_ins(folder: Path, problems: list[Problem]) -> list[Path]:
    """Return the files of a ``conf.d`` by name. One that cannot be listed is a problem, not an empty one."""
    try:
        found = sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        problems.append(Problem(str(folder), 0, f"cannot be read: {error.strerror}"))
        return []
    return [file for file in found if file.suffix == ".yaml" and not file.name.startswith(".")]
