"""YAML that remembers its lines, and its conversion into typed structs with every fault reported, not only the first."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_args

import msgspec
import yaml

from replguard.errors import ConfigError, Problem

Place = tuple[str | int, ...]
T = TypeVar("T", bound=msgspec.Struct)
MAX_BYTES = 4 * 1024 * 1024
"""A configuration file larger than this is a mistake; reading it would only cost memory."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


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


def read(path: Path) -> list[Document]:
    """Return the documents of a file. Raises ConfigError with file and line for anything that is not YAML."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError([Problem(str(path), 0, f"cannot be read: {error.strerror}")]) from error
    if len(data) > MAX_BYTES:
        raise ConfigError([Problem(str(path), 0, f"is larger than {MAX_BYTES} bytes")])
    return parse(data, str(path))


def parse(data: bytes, path: str) -> list[Document]:
    """Return the documents in ``data``. Raises ConfigError; duplicate keys are errors too."""
    try:
        return [_document(node, path) for node in yaml.compose_all(data, Loader=_Loader)]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 0
        raise ConfigError([Problem(path, line, f"not YAML: {error.problem or error.context}")]) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError([Problem(path, 0, f"not YAML: {error}".replace("\n", " "))]) from error
    except (RecursionError, ValueError) as error:
        raise ConfigError([Problem(path, 0, f"not YAML that can be read: {type(error).__name__}: {error}")]) from error


def _document(node: yaml.Node, path: str) -> Document:
    document = Document(path, None)
    problems: list[Problem] = []
    constructor = _Loader(b"")
    document.value = _plain(node, (), document, problems, constructor)
    if problems:
        raise ConfigError(problems)
    return document


def _plain(node: yaml.Node, place: Place, document: Document, problems: list[Problem], loader: Any) -> Any:
    document.lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        result: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = loader.construct_object(key_node, deep=True) if isinstance(key_node, yaml.ScalarNode) else None
            if not isinstance(key, (str, int)):
                problems.append(Problem(document.path, key_node.start_mark.line + 1, "a key must be a plain word"))
                continue
            if key in result:
                problems.append(Problem(document.path, key_node.start_mark.line + 1, f"'{key}' is given twice"))
            document.lines[(*place, key)] = key_node.start_mark.line + 1
            result[key] = _plain(value_node, (*place, key), document, problems, loader)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*place, i), document, problems, loader) for i, item in enumerate(node.value)]
    try:
        return loader.construct_object(node, deep=True)
    except (yaml.YAMLError, ValueError) as error:
        problems.append(Problem(document.path, node.start_mark.line + 1, f"not a plain value: {error}".split("\n")[0]))
        return None


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
    inner = _struct_in(kind)
    if inner is not None and isinstance(item, dict):
        return convert(document, inner, problems, place, dec_hook)
    if inner is not None and isinstance(item, list):
        made = [_field(document, inner, entry, (*place, i), problems, dec_hook) for i, entry in enumerate(item)]
        return tuple(made)
    try:
        return msgspec.convert(item, kind, dec_hook=dec_hook)
    except (msgspec.ValidationError, ValueError) as error:
        problems.append(document.problem(place, f"'{place[-1]}': {error}"))
        return None


def _struct_in(kind: Any) -> type[msgspec.Struct] | None:
    for candidate in (kind, *get_args(kind)):
        if isinstance(candidate, type) and issubclass(candidate, msgspec.Struct):
            return candidate
    return None


def unknown_key(key: object, known: Any) -> str:
    """Return the sentence for a key that does not exist, with the nearest one that does."""
    near = difflib.get_close_matches(str(key), list(known), n=1)
    return f"unknown key '{key}'" + (
        f", did you mean '{near[0]}'?" if near else f" (known: {', '.join(sorted(known))})"
    )
