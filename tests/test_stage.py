"""A stage takes within bounds, and whatever one item meets, the next is carried on."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from support.credentials import PLAIN
from support.halves import Halves, probe, with_one_rule

from replguard.events.event import Event, Meta
from replguard.events.health import Health
from replguard.events.process import Process
from replguard.stage import QUEUE, health


@pytest.fixture
def both(tmp_path: Path) -> Iterator[Halves]:
    """Both halves with one rule and a log under the test's folder."""
    made = with_one_rule(tmp_path)
    yield made
    made.close()


def test_a_full_queue_refuses_and_never_waits(both: Halves) -> None:
    """A sensor learns at once that there is no room, and counts the loss."""
    event = health("test", "started")
    for stage in (both.observer, both.judge):
        assert all(stage.put(event) for _ in range(QUEUE))
        assert stage.put(event) is False
        assert stage.waiting == QUEUE


def test_giant_command_lines_wait_within_bounds(both: Halves) -> None:
    """A flood of them is refused before it takes the memory; small events still find room, and room comes back."""
    line = "x" * 2**20
    giant = Event(
        timestamp=datetime.now(UTC), event=Meta(action="process_exec"), process=Process(pid=5, command_line=line)
    )
    taken = 0
    while both.observer.put(giant):
        taken += 1
        assert taken < 100
    assert taken >= 8
    assert both.observer.put(health("x", "tick"))
    stop = threading.Event()
    stop.set()
    both.observer.run(stop)
    assert both.observer.put(giant)


def test_what_we_say_of_ourselves_holds_no_credential(both: Halves) -> None:
    """A reason quotes errors, and an error what it was given."""
    both.observe(health("webhook", "failed", f"https://me:{PLAIN}@example.org refused: password={PLAIN}"))
    both.raw.flush(datetime.now(UTC))
    text = both.raw.path.read_text()
    assert PLAIN not in text
    assert "https://me:***@example.org refused: password=***" in text


def test_what_fails_is_told_once_and_counted(both: Halves, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others of its kind are a number."""
    monkeypatch.setattr(both.provenance, "feed", lambda _: 1 / 0)
    for _ in range(3):
        both.observer.put(probe())
    stop = threading.Event()
    stop.set()
    both.observer.run(stop)
    assert both.observer.flow.failed["process_exec"] == 3
    assert both.raw.path.read_text().count("ZeroDivisionError") == 1


def test_what_is_said_of_ourselves_is_on_record_and_in_the_diagnostics(both: Halves) -> None:
    """By either half, with how much was lost; nothing of it moves a terminal."""
    for stage in (both.observer, both.judge):
        with capture_logs() as logs:
            stage.report(Health(component="sink.x", state="failed", reason="no\x1b[2J", lost=3))
        assert [(line["event"], line["log_level"]) for line in logs] == [("sink.x failed", "warning")]
        assert "\x1b" not in logs[0]["reason"]
        assert stage.waiting == 1
