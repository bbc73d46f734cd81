"""Every rule held against a second, plain evaluator, on events that are made from the rule itself."""

import random
from pathlib import Path
from typing import Any

import msgspec
import yaml
from support import plainsigma, synthesis
from support.rulebook import START

from replguard.events import names
from replguard.events.event import Event
from replguard.rules.cases import nested
from replguard.rules.index import Index
from replguard.rules.load import load
from replguard.rules.model import Rule

CORPUS = Path(__file__).resolve().parents[2].parent / "shared" / "corpora" / "sigma" / "rules" / "linux"
ROUNDS = 6
"""Events that are made of each rule, before each is changed in several ways."""
NEEDED = {
    "replguard.actor": {"kind": "unknown", "id": "x", "principal": "x"},
    "replguard.instance": {"id": "x"},
    "replguard.authorised": {"by": "manifest", "entry": "x"},
    "replguard.origin": {"path": "/x"},
    "file": {"path": "/x"},
    "health": {"component": "x", "state": "started"},
}
"""What a section has in every event."""
MET = 0.97
"""The share of rules that what is made from them has to meet; a few ask for what no text alone gives."""


def real(rule: Rule, given: dict[str, str]) -> Event | None:
    """Return the event with these fields, None where one of them cannot hold such a value."""
    made = nested({path: text for field, text in given.items() for path in names.resolve(field)[-1:]})
    for section, needed in NEEDED.items():
        *above, last = section.split(".")
        inside = made.get(above[0], {}) if above else made
        if last in inside:
            inside[last] = needed | inside[last]
    action = {"action": min(rule.actions), "id": "b-1"}
    try:
        return msgspec.convert({**made, "@timestamp": START, "event": action}, Event, strict=False)
    except msgspec.ValidationError:
        return None


def seen(event: Event, fields: tuple[str, ...]) -> dict[str, Any]:
    """Return an event's fields by the names that a rule has for them, read off its document."""
    document, found = msgspec.to_builtins(event), {}
    for field in fields:
        each: dict[str, None] = {}
        for path in names.resolve(field):
            value: Any = document
            for part in path.split("."):
                value = value.get(part) if isinstance(value, dict) else None
            for one in value if isinstance(value, list) else [] if value is None else [value]:
                each[str(one).lower() if isinstance(one, bool) else str(one)] = None
        found[field] = tuple(each) or None
    return found


def detection(rule: Rule) -> dict[str, Any]:
    """Return what a rule's file says under ``detection``."""
    documents = yaml.safe_load_all(Path(rule.path).read_text("utf-8"))
    return next(one["detection"] for one in documents if rule.id in (one.get("id"), one.get("name")))


def test_every_rule_agrees_with_the_plain_evaluator():
    """On what matches, on near misses and on Unicode; and nearly every rule is met by what is made from it."""
    ruleset = load([CORPUS] if CORPUS.is_dir() else [])
    index, chance, met, held = Index(ruleset.rules), random.Random(7), set(), 0
    for rule in ruleset.rules:
        detections = detection(rule)
        condition = plainsigma.parsed(detections.pop("condition"), list(detections))
        for _ in range(ROUNDS):
            base = synthesis.fields(detections, condition, chance)
            for given in (base, *synthesis.near(base, chance)):
                made = real(rule, given)
                if made is None:
                    continue
                expected = plainsigma.holds(condition, detections, seen(made, rule.fields))
                matched = rule in index.matches(made)
                assert matched is expected, (rule.name, given)
                held += 1
                met |= {rule.name} if expected else set()
    assert held > len(ruleset.rules) * ROUNDS
    assert len(met) >= MET * len(ruleset.rules), {rule.name for rule in ruleset.rules} - met
    assert index.failed == 0
