"""Zircolite beside ours: the same rules and events, what each rule matches, and the CPU time of both.

It is not part of the project: ``REPLGUARD_ZIRCOLITE`` names its folder, ``REPLGUARD_ZIRCOLITE_PYTHON`` a Python that
has what it needs (this one where nothing is said). It knows no kinds of events, so that it gets each kind by itself,
with the rules for it; a field that an event lacks is an empty text for it, because SQL matches no negation of nothing.
"""

import gc
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

from bench.host import Lacking

from replguard.events import names, wire
from replguard.events.catalogue import KINDS
from replguard.events.event import Event
from replguard.rules.engine import Engine
from replguard.rules.index import Index
from replguard.rules.load import load
from replguard.rules.model import Rule, RuleSet

FOLDER, PYTHON = "REPLGUARD_ZIRCOLITE", "REPLGUARD_ZIRCOLITE_PYTHON"
CATEGORIES = ("process_creation", "file_event", "network_connection")
TIMEOUT = 1200
TURNS = 3
"""Times that each is run: of both the quickest counts."""


def beside(events: Iterable[Event], rules: Path) -> dict[str, Any]:
    """Return events a second of both, and the rules on whose counts they differ."""
    place = os.environ.get(FOLDER)
    if not place:
        raise Lacking(f"{FOLDER} names no folder of Zircolite")
    if not rules.is_dir():
        raise Lacking("SigmaHQ's rules are not here")
    ruleset = load([rules], shipped=Path("/nonexistent"))
    evaluable = [rule for rule in ruleset.rules if rule.actions]
    fields = sorted({field for rule in evaluable for field in rule.fields})
    kept: dict[str, list[Event]] = {category: [] for category in CATEGORIES}
    for event in events:
        if (category := KINDS[event.action].category) in kept:
            kept[str(category)].append(event)
    gc.collect()
    theirs: Counter[str] = Counter()
    took = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for category in CATEGORIES:
            chosen = _linked(Path(folder, category), [rule for rule in evaluable if _is_of(rule, category)])
            lines = [json.dumps(_flat(event, fields)) for event in kept[category]]
            _run(Path(place), chosen, lines[:1], Path(folder))
            start = min(_run(Path(place), chosen, lines[:1], Path(folder))[0] for _ in range(TURNS))
            whole, found = min(
                (_run(Path(place), chosen, lines, Path(folder)) for _ in range(TURNS)), key=itemgetter(0)
            )
            took += whole - start
            theirs += found
    lines = [[wire.encode(event) for event in found] for found in kept.values()]
    ours, mine = min((_ours(evaluable, ruleset, lines) for _ in range(TURNS)), key=itemgetter(0))
    count = sum(map(len, kept.values()))
    titles = {rule.title for rule in evaluable}
    different = {title: [mine[title], theirs[title]] for title in titles if mine[title] != theirs[title]}
    found_ = {"events": count, "rules": len(evaluable), "matches": mine.total(), "different": different}
    return {**found_, "ours": count / ours, "theirs": count / took, "ratio": took / ours}


def _is_of(rule: Rule, category: str) -> bool:
    return rule.sigma.logsource.category == category


def _linked(folder: Path, rules: list[Rule]) -> Path:
    """Return a folder that holds these rules and no others."""
    folder.mkdir()
    for rule in rules:
        (folder / Path(rule.path).name).symlink_to(rule.path)
    return folder


def _flat(event: Event, fields: list[str]) -> dict[str, Any]:
    """Return an event as a record of the names that rules have for its fields."""
    found: dict[str, Any] = {"Row": event.event.id}
    for field in fields:
        values = (names.getter(path)(event) for path in names.resolve(field))
        value = next((value for value in values if value is not None), "")
        found[field] = str(value).lower() if isinstance(value, bool) else value
    return found


def _run(place: Path, rules: Path, lines: list[str], folder: Path) -> tuple[float, Counter[str]]:
    """Return the CPU seconds that Zircolite takes, and how often each rule matched, by its title."""
    events, out = folder / "events.jsonl", folder / "out.json"
    events.write_text("\n".join(lines) + "\n")
    out.unlink(missing_ok=True)
    command = [os.environ.get(PYTHON, sys.executable), "zircolite.py", "--events", events, "--jsononly"]
    command += ["--ruleset", rules, "--outfile", out, "--no-parallel", "--no-event-filter"]
    command += ["--logfile", folder / "zircolite.log"]
    before = _children()
    ended = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    took = _children() - before
    if ended.returncode:
        raise Lacking(f"Zircolite does not run: {ended.stderr.strip()[-200:]}")
    found = json.loads(out.read_text() or "[]") if out.exists() else []
    return took, Counter({one["title"]: one["count"] for one in found})


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _ours(rules: list[Rule], ruleset: RuleSet, lines: list[list[bytes]]) -> tuple[float, Counter[str]]:
    """Return the CPU seconds that we take, and the matches; without the start, which is the first line of each kind."""
    index = Index(ruleset.rules)
    for kind in lines:
        Engine(ruleset, index).feed(wire.event(kind[0]))
    engine = Engine(ruleset, index)
    began = time.thread_time()
    for line in (line for kind in lines for line in kind):
        engine.feed(wire.event(line))
    took = time.thread_time() - began
    return took, Counter({rule.title: engine.matches[rule.name] for rule in rules})


def page(found: dict[str, Any]) -> Iterator[str]:
    """Yield the lines for the page."""
    yield ""
    yield (
        f"Beside Zircolite, on {found['events']} events and {found['rules']} of SigmaHQ's rules, {found['matches']}"
        f" matches: {found['ours']:,.0f} events/s against {found['theirs']:,.0f} ({found['ratio']:.0f} times), CPU time"
        f" without that of starting. Rules on whose counts they differ: {len(found['different'])}."
    )
