"""The alert that leaves the host keeps its names and its scale."""

import json
from datetime import UTC, datetime
from typing import get_args

import msgspec

from replguard import config
from replguard.events.alert import LEVELS, SEVERITY, Alert, AlertContext, AlertMeta, Level
from replguard.events.fact import Actor

WHEN = datetime(2026, 1, 1, tzinfo=UTC)


def test_every_field_survives_the_round_trip(full_alert):
    """What was written to alerts.jsonl reads back equal."""
    assert msgspec.json.decode(msgspec.json.encode(full_alert), type=Alert) == full_alert


def test_the_names_that_receivers_rely_on(full_alert):
    """The interface of design: fields are added, none goes and none changes its place."""
    record = json.loads(msgspec.json.encode(full_alert))
    assert {"@timestamp", "message", "event", "rule", "process", "file", "destination", "user", "host"} <= set(record)
    assert {"id", "kind", "severity"} <= set(record["event"])
    assert record["event"]["kind"] == "alert"
    assert {"id", "name", "level", "tags"} <= set(record["rule"])
    promised = (
        "schema incident state count first_seen last_seen actor model technique confidence attribution generation tier "
        "degraded drill latency_ms evidence allow contain runbook"
    )
    assert set(promised.split()) <= set(record["replguard"])
    assert {"kind", "id", "name", "principal", "agent"} <= set(record["replguard"]["actor"])


def test_what_receivers_ask_first_is_always_written():
    """Kind, severity, agent, standing and degraded stand in every alert, though they have defaults."""
    assert msgspec.to_builtins(AlertMeta(id="1")) == {"id": "1", "kind": "alert", "severity": 0}
    actor = Actor(kind="session", id="a", principal="p")
    assert msgspec.to_builtins(actor) | {"agent": False, "standing": "unknown"} == msgspec.to_builtins(actor)
    context = AlertContext(schema=1, incident="i", state="firing", count=1, first_seen=WHEN, last_seen=WHEN)
    assert msgspec.to_builtins(context)["degraded"] is False


def test_severity_grows_with_the_level():
    """Every level has its number, and a higher level the higher one."""
    assert get_args(Level) == LEVELS == get_args(config.Level)
    numbers = [SEVERITY[level] for level in LEVELS]
    assert numbers == sorted(set(numbers))
