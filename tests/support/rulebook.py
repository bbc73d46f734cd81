"""Rules and events made for a test, in few words."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from replguard.events.event import Event
from replguard.rules.cases import nested
from replguard.rules.engine import Engine
from replguard.rules.load import load
from replguard.rules.model import RuleSet

START = datetime(2026, 1, 1, tzinfo=UTC)


def event(seconds: float = 0, action: str = "process_exec", **fields: Any) -> Event:
    """Return an event; fields are dotted, with ``__`` for the dot."""
    given = nested({name.replace("__", "."): value for name, value in fields.items()})
    meta = {"action": action, "id": f"{action}-{seconds}"} | given.pop("event", {})
    made = {"@timestamp": START + timedelta(seconds=seconds), "event": meta, **given}
    return msgspec.convert(made, Event)


def run(seconds: float, command: str, *lineage: str, **fields: Any) -> Event:
    """Return the start of a process in a lineage."""
    return event(seconds, process__command_line=command, replguard__lineage=list(lineage), **fields)


def ruleset(tmp_path: Path, text: str, **options: Any) -> RuleSet:
    """Return what loading gives for one file of a user's rules, without the shipped ones."""
    folder = tmp_path / "rules"
    folder.mkdir(exist_ok=True)
    (folder / "own.yml").write_text(text)
    return load([folder], shipped=tmp_path / "none", **options)


def good(tmp_path: Path, text: str, **options: Any) -> RuleSet:
    """Return the rules of a file that must have no fault."""
    found = ruleset(tmp_path, text, **options)
    assert found.problems == []
    return found


def engine(tmp_path: Path, text: str) -> Engine:
    """Return an engine over the rules of a file that must have no fault."""
    return Engine(good(tmp_path, text))


def rule(name: str, command: str, level: str = "low", extra: str = "") -> str:
    """Return a rule that matches one word of a command line."""
    return f"""
title: {name}
name: {name}
logsource: {{product: linux, category: process_creation}}
detection:
  selection: {{CommandLine|contains: {command}}}
  condition: selection
level: {level}
{extra}
---"""


def correlation(name: str, body: str, ours: str = "", level: str = "high") -> str:
    """Return a correlation; ``body`` and ``ours`` are flow mappings without their braces."""
    return f"""
title: {name}
name: {name}
correlation: {{{body}}}
level: {level}
replguard: {{{ours}}}
---"""


def fed(judge: Engine, events: Iterable[Event]) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield name, level and the command lines of the evidence of each detection."""
    for one in events:
        for found in judge.feed(one):
            evidence = tuple(str(e.process.command_line) if e.process else e.action for e in found.events)
            yield found.rule.name, found.rule.level, evidence
