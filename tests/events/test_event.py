"""An event is one ECS document, immutable, the same after any encoding."""

import json
from datetime import UTC, datetime

import msgspec
import pytest

from replguard.events.event import Event, Meta
from replguard.events.process import Process


@pytest.fixture
def small():
    return Event(timestamp=datetime(2026, 1, 1, tzinfo=UTC), event=Meta(action="process_exec"), process=Process(pid=1))


@pytest.mark.parametrize("codec", [msgspec.json, msgspec.msgpack])
def test_every_field_survives_the_round_trip(full_event, codec):
    """Every field of every section comes back equal from JSON and from MessagePack."""
    assert codec.decode(codec.encode(full_event), type=Event) == full_event


def test_names_are_those_of_ecs(full_event):
    """The sections stand under the names that ECS gives them, time as RFC 3339 in UTC."""
    record = json.loads(msgspec.json.encode(full_event))
    assert record["@timestamp"] == "2026-01-02T03:04:05.678901Z"
    assert {"event", "process", "file", "source", "destination", "user", "container", "orchestrator", "host"} <= set(
        record
    )
    assert {"pid", "entity_id", "executable", "command_line", "parent", "working_directory"} <= set(record["process"])


def test_what_is_unknown_is_not_written(small):
    """A section or field that does not apply is absent from the line, and None in the event."""
    assert json.loads(msgspec.json.encode(small)) == {
        "@timestamp": "2026-01-01T00:00:00Z",
        "event": {"action": "process_exec"},
        "process": {"pid": 1},
    }
    assert (small.file, small.user, small.replguard, small.event.sequence) == (None, None, None, None)


def test_an_event_cannot_be_changed(small):
    """Enrichment makes a new event; what a sensor bound stays."""
    with pytest.raises(AttributeError):
        small.message = "changed"


def test_a_record_of_a_later_version_can_be_read(small):
    """A field that this version does not know is passed over."""
    record = json.loads(msgspec.json.encode(small)) | {"later": {"x": 1}}
    assert msgspec.json.decode(json.dumps(record), type=Event) == small


def test_the_action_is_the_kind(small):
    """The kind of an event is what the catalogue lists."""
    assert small.action == small.event.action == "process_exec"
