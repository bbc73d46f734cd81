"""SigmaHQ's rules, unmodified: those for Linux load and can fire, and each rule with a recorded event matches it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from sigma.rule import SigmaRule

from replguard.rules.compile import compile_rule
from replguard.rules.fields import Layout, mapping_field
from replguard.rules.load import load

CORPUS = Path(__file__).resolve().parents[2].parent / "shared" / "corpora" / "sigma"
pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason="SigmaHQ's rules are not here (../shared/corpora/sigma)")

LINUX_RULES = 135
PAIRS = 202
ALLOWED_MISSES = 1
"""One event of Windows Defender names a field in another way than its rule."""


def test_every_linux_rule_loads_beside_the_shipped_ones():
    """No fault, no clash of names or ids, and only DNS names are data that no sensor makes."""
    found = load([CORPUS / "rules" / "linux"])
    own = [rule for rule in found.known() if not rule.shipped]
    assert found.problems == []
    assert len(own) == LINUX_RULES
    lacking = {entry.rule.name: entry.reason for entry in found.not_evaluable}
    assert set(lacking.values()) <= {"no sensor fills destination.domain"}
    assert len(own) - len(lacking) >= 132


def test_the_threat_hunting_rules_load():
    """They are ordinary rules too."""
    found = load([CORPUS / "rules-threat-hunting"])
    assert found.problems == []
    assert all(entry.rule.shipped is False for entry in found.not_evaluable)


def test_every_rule_matches_the_event_that_was_recorded_for_it():
    """All are of Windows: they test what Sigma means, read by the field names of the events themselves."""
    folders = sorted(path for path in (CORPUS / "regression").iterdir() if path.is_dir())
    missed = [folder.name for folder in folders if not _fires(folder)]
    assert len(folders) == PAIRS
    assert len(missed) <= ALLOWED_MISSES, missed


def test_no_rule_matches_an_empty_event():
    """What has no field fires nothing but rules made of negations, and SigmaHQ has none."""
    for file in (CORPUS / "rules" / "linux").rglob("*.yml"):
        layout = Layout(mapping_field)
        node = compile_rule(SigmaRule.from_dict(yaml.safe_load(file.read_text("utf-8"))), layout)
        assert not node.test(*layout.rows({})), file.name


def _fires(folder: Path) -> bool:
    layout = Layout(mapping_field)
    node = compile_rule(SigmaRule.from_dict(yaml.safe_load((folder / "rule.yml").read_text("utf-8"))), layout)
    return any(node.test(*layout.rows(_flat(event))) for event in _events((folder / "event.json").read_text("utf-8")))


def _events(text: str) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file that holds one, a list, or several after one another."""
    decoder, place = json.JSONDecoder(), 0
    while place < len(text):
        if text[place] in " \t\r\n,":
            place += 1
            continue
        found, place = decoder.raw_decode(text, place)
        yield from found if isinstance(found, list) else [found]


def _flat(event: dict[str, Any]) -> dict[str, Any]:
    """Return a Windows event's fields by the names that Sigma uses."""
    body = event.get("Event", event)
    fields: dict[str, Any] = {}
    for name, value in body.get("System", {}).items():
        if not isinstance(value, dict):
            fields[name] = value
            continue
        attributes = value.get("#attributes") or {}
        fields |= {f"{name}_{attribute}": text for attribute, text in attributes.items()}
        if "#text" in value:
            fields[name] = value["#text"]
    for part in ("EventData", "UserData"):
        fields |= _leaves(body.get(part) or {})
    return fields


def _leaves(value: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, inner in value.items():
        found |= _leaves(inner) if isinstance(inner, dict) else {name: inner}
    return found
