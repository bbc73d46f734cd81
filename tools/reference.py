"""Writes the reference pages that are made from the code, so that none can be wrong: docs/reference/*.md.

``make reference`` writes them; a test fails when one is stale.
"""

import ast
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import msgspec

from replguard import config
from replguard.events import names
from replguard.events.catalogue import KINDS
from replguard.events.event import Event

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "reference"
MADE = "% Made from the code by tools/reference.py (make reference). Do not edit.\n\n"
_UNITS = [(2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")]
_SPANS = [(86400, "d"), (3600, "h"), (60, "m")]


def configuration() -> str:
    """Return the page of every configuration key: its type, its default and what it means."""
    head = """# Configuration

`/etc/replguard/replguard.yaml`, then `conf.d/*.yaml` beside it in the order of their names. A later file wins key by
key; a list replaces a list. Every key is optional, an unknown key is an error, and `replguard check` tells every fault
at once with its file and line.

A *size* is a number of bytes: `32MiB`, `2GiB`, `500MB`; a rate adds `/s`. A *time span* is a number of seconds, or
`30s`, `10m`, `2h`, `400d`, `2w`. Relative paths are relative to the working directory.

```{literalinclude} ../examples/replguard.yaml
:language: yaml
:caption: A configuration for an inference host
```

"""
    return MADE + head + "\n".join(_section(config.Config, "", config.Config()))


def _section(struct: type[msgspec.Struct], prefix: str, defaults: Any) -> Iterator[str]:
    """Yield a table of a struct's own keys, then one section for each struct below it."""
    sentences = attribute_docs(struct)
    yield "| key | type | default | meaning |\n|---|---|---|---|"
    below = []
    for field in msgspec.structs.fields(struct):
        key, value, text = prefix + field.encode_name, getattr(defaults, field.name), sentences[field.name]
        if isinstance(value, msgspec.Struct):
            below.append((key, value, text))
            yield f"| [`{key}`](#{_anchor(key)}) | keys | | {text} |"
        else:
            yield f"| `{key}` | {_type(field.type)} | {_value(field.type, value)} | {text} |"
    yield ""
    for key, value, text in below:
        yield f"({_anchor(key)})=\n{'##' + '#' * key.count('.')} `{key}`\n\n{text}\n"
        yield from _section(type(value), key + ".", value)


def attribute_docs(struct: type) -> dict[str, str]:
    """Return the sentence below each field of a class."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(struct))).body
    found = {}
    statements = body.body if isinstance(body, ast.ClassDef) else []
    for field, text in pairwise(statements):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            found[ast.unparse(field.target)] = " ".join(str(text.value.value).split())
    return found


def _type(kind: Any) -> str:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return " \\| ".join(f"`{word}`" for word in arguments)
    if origin is tuple:
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        return f"keys, each {_type(arguments[1])}" if get_origin(arguments[1]) is not dict else "keys"
    if hasattr(kind, "__metadata__"):
        return f"{_type(arguments[0])} ≥ {kind.__metadata__[0].ge}"
    words = {config.Bytes: "size", config.Seconds: "time span", str: "text", bool: "`true` \\| `false`", int: "number"}
    return words[kind]


def _value(kind: Any, value: Any) -> str:
    if kind is config.Bytes:
        return "`" + next(f"{value // unit}{name}" for unit, name in _UNITS if value % unit == 0) + "`"
    if kind is config.Seconds:
        return "`" + next(f"{value / unit:g}{name}" for unit, name in _SPANS if value % unit == 0) + "`"
    return f"`{msgspec.json.encode(value).decode()}`".replace('`"', "`").replace('"`', "`") if value != "" else "empty"


def _anchor(key: str) -> str:
    return "config-" + key.replace(".", "-").replace("_", "-")


def events() -> str:
    """Return the page of every kind of event and every field."""
    head = """# Events

One event is one [ECS](https://www.elastic.co/guide/en/ecs/current/index.html) document. Sensors make events,
provenance adds what it knows and makes *facts* of them, rules match either alike, and the log holds both in the order
in which the rules saw them. A field that is unknown is absent: never 0 and never empty.

## Kinds

`category` is the Sigma log source that a rule asks for.

| `event.action` | area | category | sections | what happened |
|---|---|---|---|---|
"""
    rows = [
        f"| `{kind.action}` | {kind.area} | {f'`{kind.category}`' if kind.category else '–'} "
        f"| {', '.join(f'`{section}`' for section in kind.sections) or '–'} | {kind.doc} |"
        for kind in KINDS.values()
    ]
    return MADE + head + "\n".join(rows) + "\n\n" + "\n".join(_fields())


def _fields() -> Iterator[str]:
    yield "## Sigma names\n\nSysmon's field names work as SigmaHQ's rules use them.\n"
    yield "| Sigma | stands for |\n|---|---|"
    for name, ours in names.SIGMA.items():
        note = "" if not names.NOT_MADE.intersection(ours) else " (no sensor fills it yet: not evaluable)"
        yield f"| `{name}` | {' or '.join(f'`{path}`' for path in ours)}{note} |"
    yield "\n## Fields\n"
    for field in msgspec.structs.fields(Event):
        struct = next((t for t in (field.type, *get_args(field.type)) if _is_struct(t)), None)
        if struct is None:
            continue
        yield f"### `{field.encode_name}`\n\n{_prose(struct)}\n"
        yield ", ".join(f"`{path}`" for path in sorted(names.paths(struct, field.encode_name + "."))) + "\n"


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _prose(struct: type) -> str:
    return (inspect.getdoc(struct) or "").replace("``", "`")


PAGES: dict[str, Callable[[], str]] = {"configuration.md": configuration, "events.md": events}


def stale() -> list[str]:
    """Return the pages whose file is not what the code says."""
    return [name for name, make in PAGES.items() if _read(FOLDER / name) != make()]


def _read(path: Path) -> str:
    return path.read_text("utf-8") if path.exists() else ""


def main() -> int:
    """Write every page that is stale."""
    for name in stale():
        (FOLDER / name).write_text(PAGES[name](), "utf-8")
        print(f"wrote {FOLDER / name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
