"""Writes the reference pages that are made from the code, so that none can be wrong: docs/reference/*.md.

``make reference`` writes them; a test fails when one is stale.
"""

import ast
import importlib
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click
import msgspec
import yaml

from replguard import cli, config, sinks, standing
from replguard.events import evidence, names, overview
from replguard.events.catalogue import KINDS
from replguard.events.event import Event
from replguard.events.standing import SensorLine, Serves
from replguard.forensics import views
from replguard.kernel import bpf
from replguard.kernel.hooks import spell
from replguard.metrics import table
from replguard.rules.schema import schema
from replguard.sensors import registry

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "reference"
SCHEMA = ROOT / "rules" / "rule.schema.json"
MADE = "% Made from the code by tools/reference.py (make reference). Do not edit.\n\n"
_UNITS = [(2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B")]
_SPANS = [(86400, "d"), (3600, "h"), (60, "m"), (1, "s")]


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
    return MADE + head + "\n".join((*_section(config.Config, "", config.Config()), *_sinks()))


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


def _sinks() -> Iterator[str]:
    """Yield a section for each sink: what it does and loses, and its options."""
    yield "## `sinks`\n\nEach sink has its own queue and thread: one that hangs or fails delays no other.\n"
    yield f"{_prose(sinks.Common)}\n"
    for name in sinks.names():
        module = importlib.import_module(f"replguard.sinks.{name}")
        yield f"(config-sinks-{name})=\n### `sinks.{name}`\n\n{_prose(module)}\n\n{_prose(module.Settings)}\n"
        fields = msgspec.structs.fields(module.Settings)
        if fields:
            yield "| key | type | default |\n|---|---|---|"
            yield "\n".join(
                f"| `sinks.{name}.{field.encode_name}` | {_type(field.type)} | {_default(field)} |" for field in fields
            )
            yield ""


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.default is not msgspec.NODEFAULT:
        return "none" if field.default is None else _value(field.type, field.default)
    return "required" if field.default_factory is msgspec.NODEFAULT else "`{}`"


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
    if kind is config.Hooks:
        return " \\| ".join(f"`{word}`" for word in config.Hooks.KNOWN)
    if hasattr(kind, "__metadata__"):
        return f"{_type(arguments[0])} ≥ {kind.__metadata__[0].ge}"
    words = {
        config.Bytes: "size",
        config.Seconds: "time span",
        str: "text",
        config.Expression: "expression",
        bool: "`true` \\| `false`",
        int: "number",
    }
    return words.get(kind, "any")


def _value(kind: Any, value: Any) -> str:
    if kind is config.Bytes:
        return "`" + next(f"{value // unit}{name}" for unit, name in _UNITS if value % unit == 0) + "`"
    if kind is config.Seconds:
        return "`" + next(f"{value / unit:g}{name}" for unit, name in _SPANS if value % unit == 0) + "`"
    if kind is config.Hooks:
        return f"`{value}`"
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
    return MADE + head + "\n".join([*rows, "", *_states(), "", *_fields()])


def _states() -> Iterator[str]:
    """Yield what the evidence stream holds besides."""
    yield "## States\n"
    yield "The evidence stream holds each fact, each alert, each event that an alert names, and with these what"
    yield "follows, of `event.kind` *state*: it tells an incident when the raw stream is gone. Rules never see it.\n"
    yield "| `event.action` | section | what it says |\n|---|---|---|"
    yield f"| `{evidence.LINEAGE}` | `process` | An acting process, or one above it up to the entry point. |"
    sections = ((evidence.SNAPSHOT, "snapshot"), (evidence.RULE, "rule"), (evidence.CHECKPOINT, "checkpoint"))
    told = {"snapshot": evidence.Snapshot, "rule": evidence.RuleText, "checkpoint": evidence.Checkpoint}
    for action, section in sections:
        first = _prose(told[section]).splitlines()[0].split(". ")[0].rstrip(".")
        yield f"| `{action}` | `{section}` | {first}. |"
    for section, struct in told.items():
        yield f"\n### `{section}`\n\n{_prose(struct)}\n"
        yield ", ".join(f"`{path}`" for path in sorted(names.paths(struct, section + ".")))


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


def _prose(struct: Any) -> str:
    return (inspect.getdoc(struct) or "").replace("``", "`")


def command_line() -> str:
    """Return the page of every verb with its arguments and options."""
    head = """# Command line

Exit codes: 0 fine, 1 something was found or failed, 2 wrong usage or configuration. In a checkout `replguard` is
`.venv/bin/python -m replguard`.

"""
    context = click.Context(cli.group, info_name="replguard")
    return MADE + head + "\n".join(_verbs(cli.group, context, 2))


def _verbs(group: click.Group, context: click.Context, depth: int) -> Iterator[str]:
    for name in group.list_commands(context):
        verb = group.get_command(context, name)
        if verb is not None:
            yield from _verb(verb, click.Context(verb, info_name=name, parent=context), depth)


def _verb(verb: click.Command, context: click.Context, depth: int) -> Iterator[str]:
    pieces = " ".join(piece for parameter in verb.params for piece in parameter.get_usage_pieces(context))
    yield f"{'#' * depth} `{context.command_path}`\n"
    if not isinstance(verb, click.Group):
        options = " [OPTIONS]" if any(isinstance(p, click.Option) for p in verb.params) else ""
        yield f"```text\n{context.command_path}{options} {pieces}".rstrip() + "\n```\n"
    yield textwrap.dedent(inspect.cleandoc(verb.help or "")).replace("\b\n", "").replace("``", "`") + "\n"
    options = [parameter for parameter in verb.params if isinstance(parameter, click.Option)]
    if options:
        yield "| option | meaning |\n|---|---|"
        yield "\n".join(f"| {_option(option)} | {option.help or ''} |" for option in options) + "\n"
    if isinstance(verb, click.Group):
        yield from _verbs(verb, context, depth + 1)


def _option(option: click.Option) -> str:
    value = "" if option.is_flag or option.count else f" {option.make_metavar(click.Context(click.Command('')))}"
    return ", ".join(
        f"`{name}{value if name.startswith('--') or len(option.opts) == 1 else ''}`" for name in option.opts
    )


def metrics() -> str:
    """Return the page of every metric."""
    head = f"""# Metrics

A Prometheus page at `/metrics` of the address in `metrics.listen`, by default
`http://{config.Metrics().listen}/metrics`. Names and labels are a stable interface. No label holds a pid, a path, a
user, or anything that they chose. Every rule's counter is there at 0 as soon as the rules are loaded.
{{doc}}`../alerting` has the rules to page on, and a dashboard.

| metric | type | labels | meaning |
|---|---|---|---|
"""
    rows = [
        f"| `{table.PREFIX}{metric.name}` | {metric.kind} "
        f"| {', '.join(f'`{label}`' for label in metric.labels) or '–'} | {metric.help} |"
        for metric in table.METRICS.values()
    ]
    return MADE + head + "\n".join(rows) + "\n"


def sensors() -> str:
    """Return the page of every sensor in its own words."""
    head = """# Sensors

What each sensor says of itself. `replguard doctor` says which of them work on a host, and why not in a better mode.

"""
    folder = Path(str(registry.__file__)).parent
    modules = {file.stem: ast.parse(file.read_text("utf-8")) for file in sorted(folder.glob("*.py"))}
    parts = [
        f"## `{name}`\n\n{(ast.get_docstring(tree) or '').replace('``', '`')}\n"
        for name, tree in modules.items()
        if {"open", "AREA"} <= _top_level(tree)
    ]
    return MADE + head + "\n".join(parts)


def _top_level(tree: ast.Module) -> set[str]:
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    return functions | {ast.unparse(node.targets[0]) for node in tree.body if isinstance(node, ast.Assign)}


def hooks() -> str:
    """Return the page of every hook in the kernel: since when it is there, and what is lost without it."""
    head = """# Hooks in the kernel

Where the probes of the kernel tier stand. A hook that a kernel lacks is left out alone; `replguard doctor` says which
are used on a host, and what is lost. *Since* is the first kernel with the hook and all that its program calls, as
released by kernel.org: distributions carry some of them back, and only loading says what is true.
`sensors.hooks: "5.15"` leaves out what that kernel lacks. All of them need BTF (`CONFIG_DEBUG_INFO_BTF`), and
`libbpf.so.1`.

"""
    parts = []
    for name, decoder in bpf.decoders().items():
        columns = "| hook | program | since | until | without it | what is then lost |\n|---|---|---|---|---|---|"
        parts.append(f"## `{name}`\n\n{columns}")
        parts += [
            f"| `{hook.point}` | `{hook.program}` | {spell(hook.since)} "
            f"| {spell(hook.until) if hook.until else '–'} | {hook.instead} | {hook.lost} |"
            for hook in decoder.HOOKS
        ]
        parts[-1] += "\n"
    return MADE + head + "\n".join(parts)


ROWS = """Looking around: its own files, models, processes, devices
Probing local ports
A copy on the host
A second name without a byte copied
A second server of the original files
Weights brought into another form
Weights packed
Weights sent off the host at once
Weights sent off slowly, or by several ways
A reverse tunnel
A start on another host or cluster
Dependencies installed
A model server started
A call to the replica, to see whether it lives or to give it orders
Device memory taken
Conflicts cleared: kills, deletions, a reboot
Replication before a shutdown
Something that starts it again
Hidden copies, changed file times
The watcher blinded
Replicas without bound
A server that only pretends
Other oversight switched off
A replica without weights: its program and keys""".splitlines()
"""What a model or who drives it may do to replicate, row by row; a rule names its rows by ``replguard.row-N``."""


def rules() -> str:
    """Return the page of every shipped rule: what it says, what to do, what it takes for one, what it cannot see."""
    head = """# The shipped rules

An alert names its rule by `rule.name` and `rule.id`. Rules of `stages/` raise nothing by themselves: correlations name
them. `replguard rules list` says which can be evaluated on this host, `replguard rules explain NAME` what one needs.

"""
    families = {
        folder.name: [yaml.safe_load(file.read_text("utf-8")) for file in sorted(folder.glob("*.yml"))]
        for folder in sorted((ROOT / "rules").iterdir())
        if folder.is_dir()
    }
    parts = [*_coverage(families), *_mapping(families)]
    for family, some in families.items():
        parts += [f"## {family}\n", *map(_rule, some)]
    return MADE + head + "\n".join(parts)


def _coverage(families: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    """Yield the table of what may be done, and the rules that tell it by themselves."""
    yield "## What they cover\n\nBy behaviour; the parts of sequences, which tell nothing by themselves, left out.\n"
    yield "| row | behaviour | rules |\n|---|---|---|"
    telling = [rule for family, some in families.items() if family != "stages" for rule in some]
    for number, behaviour in enumerate(ROWS, 1):
        names_ = [_link(rule) for rule in telling if f"replguard.row-{number}" in rule["tags"]]
        yield f"| {number} | {behaviour} | {', '.join(names_)} |"
    yield ""


def _mapping(families: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    """Yield the table of every rule with its tags."""
    yield "## What each is tagged with\n"
    yield "| rule | family | level | rows | ATT&CK | ATLAS |\n|---|---|---|---|---|---|"
    for family, some in families.items():
        for rule in some:
            tags = [str(tag) for tag in rule["tags"]]
            rows, attack, atlas = (
                ", ".join(tag.removeprefix(before) for tag in tags if tag.startswith(before)) or "–"
                for before in ("replguard.row-", "attack.", "atlas.")
            )
            yield f"| {_link(rule)} | {family} | {rule['level']} | {rows} | {attack} | {atlas} |"
    yield ""


def _link(rule: dict[str, Any]) -> str:
    return f"[{rule['name']}](#{rule['name']})"


def _rule(rule: dict[str, Any]) -> str:
    ours = rule.get("replguard", {})
    lists = [
        ("First", [ours["triage"]] if "triage" in ours else []),
        ("False positives", rule.get("falsepositives", [])),
        ("Blind spots", ours.get("blind_spots", [])),
    ]
    told = [f"{name}: " + " ".join(" ".join(str(text).split()) for text in texts) for name, texts in lists if texts]
    tags = ", ".join(f"`{tag}`" for tag in rule.get("tags", []))
    text = [
        f"({rule['name']})=\n### {rule['title']}\n",
        f"`{rule['name']}`, {rule.get('level', 'medium')}. {' '.join(str(rule.get('description', '')).split())}\n",
        *(f"- {line}" for line in told),
        *([f"- Tags: {tags}"] if tags else []),
    ]
    return "\n".join(text) + "\n"


def query() -> str:
    """Return the page of every view that the log can be asked by, and every column."""
    head = """# Views of the log

What `replguard query` asks; {doc}`../investigating` shows how. Times are in UTC. A column is NULL where a record does
not say it. Views and columns are a stable interface: some are added, none changes its meaning.

| view | records |
|---|---|
"""
    table_ = "| column | type | meaning |\n|---|---|---|"
    parts = [
        *(f"| [`{view.name}`](#view-{view.name}) | {view.meaning} |" for view in views.VIEWS),
        f"\n(view-records)=\n## `records`\n\n{views.VIEWS[0].meaning}\n\n{table_}",
        *(f"| `{column.name}` | {column.kind} | {column.meaning} |" for column in views.COLUMNS),
        *map(_view, views.VIEWS[1:]),
    ]
    return MADE + head + "\n".join(parts)


def _view(view: views.View) -> str:
    columns = ", ".join(f"`{name}`" for name in view.columns)
    fault = f" `{views.FAULT.name}`: {views.FAULT.meaning}" if views.FAULT.name in view.columns else ""
    return f"\n(view-{view.name})=\n## `{view.name}`\n\n{view.meaning}{fault}\n\n{columns}\n"


def status() -> str:
    """Return the page of what the daemon says of itself: each object with its fields."""
    head = (
        """# What `status --json` says

"""
        + MADE
        + """One object: `status` as below, `metrics` with the value of each {doc}`metric <metrics>` (its name without
the prefix, and the values of its labels, joined by `/`), and `trouble`: why there are none. Fields are added and never
change their meaning. The same `status` stands in `status.json` in the state folder, written anew every two seconds and
readable by its owner alone. It is masked and cut for a screen; what is proven stands in the log.

"""
    )
    objects = (standing.Status, SensorLine, Serves, *_OVERVIEW)
    return head + "\n".join(f"## {each.__name__}\n\n{_prose(each)}\n\n{_annotated(each)}\n" for each in objects)


_OVERVIEW = (
    overview.Overview,
    overview.Flow,
    overview.Served,
    overview.Case,
    overview.Told,
    overview.Way,
    overview.Stream,
    overview.Part,
)


def _annotated(struct: type) -> str:
    """Return a table of the fields of a class as its source has them."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(struct))).body
    fields = [each for each in getattr(body, "body", []) if isinstance(each, ast.AnnAssign)]
    types = (ast.unparse(each.annotation).replace(" | ", " or ") for each in fields)
    rows = (f"| `{ast.unparse(each.target)}` | `{kind}` |" for each, kind in zip(fields, types, strict=True))
    return "\n".join(("| field | type |\n|---|---|", *rows))


def rule_schema() -> str:
    """Return the schema of the rule format, which is shipped beside the rules: editors need a file."""
    return msgspec.json.format(msgspec.json.encode(schema()), indent=1).decode() + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "configuration.md": configuration,
    "events.md": events,
    "cli.md": command_line,
    "metrics.md": metrics,
    "sensors.md": sensors,
    "hooks.md": hooks,
    "rules.md": rules,
    "query.md": query,
    "status.md": status,
}


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
    text = rule_schema()
    if _read(SCHEMA) != text:
        SCHEMA.write_text(text, "utf-8")
        print(f"wrote {SCHEMA}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
