"""What the run before left is said and gone on from, whatever stands in the log."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from replguard.analyser import earlier
from replguard.analyser.earlier import Earlier
from replguard.events.event import Event
from replguard.log.ending import Ending, Kept

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_an_end_without_a_word_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing where there was no run before."""
    said: list[Event] = []
    one = Earlier(tmp_path, NOON, said.append)
    one.look(lambda _: True)
    assert one.meanwhile(NOON, "b", Kept(), 0) is None
    monkeypatch.setattr(earlier, "ending", lambda *_: Ending(NOON, "b", stopped=False))
    one.look(lambda _: True)
    told = one.meanwhile(NOON, "b", Kept(), 0)
    assert told is not None
    assert "blind for 0 s" in (told.reason or "")


def test_a_log_that_cannot_be_read_holds_nothing_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told in the diagnostics."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(earlier, "ending", broken)
    one = Earlier(tmp_path, NOON, lambda _: None)
    with capture_logs() as logs:
        one.look(lambda _: True)
    assert [line["event"] for line in logs] == ["how the log ended cannot be told"]
    assert one.meanwhile(NOON, "b", Kept(), 0) is None


def test_what_was_passed_over_is_said(tmp_path: Path) -> None:
    """With how much it was."""
    said: list[Event] = []
    Earlier(tmp_path, NOON, said.append)._passed_over(2)
    assert said[0].health is not None
    assert "2 older segments left out" in (said[0].health.reason or "")


def test_a_collector_that_was_lost_is_an_end_as_well(tmp_path: Path) -> None:
    """The analyser knows when it spoke last; one that said that it stops is no news."""
    one = Earlier(tmp_path, NOON, lambda _: None)
    one.ended(NOON - timedelta(seconds=3), "b", stopped=False)
    told = one.meanwhile(NOON, "b", Kept(), 0)
    assert told is not None
    assert "blind for 3 s" in (told.reason or "")
    one.ended(NOON, "b", stopped=True)
    assert one.meanwhile(NOON, "b", Kept(), 0) is None
