import json
from datetime import UTC, datetime

import pytest

from replguard.events import wire
from replguard.events.event import Event, Meta
from replguard.events.file import File

WHEN = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)


def made(path):
    return Event(timestamp=WHEN, event=Meta(action="file_create", id="b-1", sequence=1), file=File(path=path))


@pytest.mark.parametrize(
    "path",
    ["/plain", "/é漢\U0001f600", "/new\nline", "/\x1b[2J", "/\x7f", "/\x9b0m", "/\x85", "/\u2028\u202e", "/\U000e0001"],
)
def test_round_trip(path):
    """Any name comes back as it was, and its line is one printable line."""
    line = wire.encode(made(path))
    assert wire.event(line) == made(path)
    assert line.decode().isprintable()
    assert len(line.decode().splitlines()) == 1
    assert json.loads(line)["@timestamp"] == "2026-01-02T03:04:05.678901Z"


def test_surrogates_become_visible():
    """A string that UTF-8 cannot hold is written with escapes instead of raising."""
    assert wire.event(wire.encode(made("/a\udcffb"))).file.path == "/a\\udcffb"


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b'{"event":{}}', b"\xff", b"[" * 100_000, b'{"@timestamp":1}'])
def test_hostile_lines_are_value_errors(line):
    """Whatever is not an event or alert gives a ValueError with a sentence."""
    for decode in (wire.event, wire.alert):
        with pytest.raises(ValueError, match=r"."):
            decode(line)
