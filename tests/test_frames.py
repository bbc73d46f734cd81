"""What one half says is what the other hears, whatever an attacker chose of it."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import convert

from replguard import frames
from replguard.config import Config, dec_hook
from replguard.events.event import Event, Meta
from replguard.events.host import Host
from replguard.events.process import Process
from replguard.frames import Changed, Events, Hello, Told, Wanted, Written

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_a_configuration_arrives_as_it_was_read() -> None:
    """With our own kinds of numbers in it."""
    config = convert({"weights": {"min_size": "5MiB"}, "log": {"mask": ["a.*b"]}}, Config, dec_hook=dec_hook)
    hello = Hello("r", "1", Host(id="h"), config, None, (0, 1000), ("file_create",))
    assert frames.told().decode(frames.encode(hello)) == hello


@given(st.text(), st.binary(max_size=20))
def test_events_arrive_as_they_were_told(text: str, raw: bytes) -> None:
    """Also names that are no UTF-8: their bytes show as escapes, as in the log."""
    odd = raw.decode("utf-8", "surrogateescape")
    process = Process(pid=1, executable=text, command_line=odd)
    event = Event(timestamp=NOON, event=Meta(action="process_exec"), process=process)
    (heard,) = _heard(Events("r", 1, (event,))).events
    assert heard.timestamp == NOON
    assert heard.process is not None
    assert heard.process.executable == text
    assert heard.process.command_line == odd.encode("utf-8", "backslashreplace").decode()


def _heard(frame: Told) -> Events:
    found = frames.told().decode(frames.encode(frame))
    assert isinstance(found, Events)
    return found


def test_each_side_hears_its_own_frames_alone() -> None:
    """What the analyser may say cannot be said to it, and the other way round."""
    for asked in (Written("r", 3), Wanted((("in", "x"),)), Wanted(None), Changed(None, "rules: x")):
        assert frames.asked().decode(frames.encode(asked)) == asked
        with pytest.raises(msgspec.ValidationError):
            frames.told().decode(frames.encode(asked))
    with pytest.raises(msgspec.ValidationError):
        frames.asked().decode(frames.encode(Events("r", 1, ())))
