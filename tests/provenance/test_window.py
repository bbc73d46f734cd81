"""A maintenance window: whom it covers, how long it lasts, and that a restart knows it."""

from datetime import timedelta
from pathlib import Path

import pytest
from support.story import START

from replguard.events.fact import Actor, ActorKind, Context, Standing
from replguard.provenance.window import FILE, LONGEST, Windows

OPERATOR = Actor(kind="unknown", id="shell#1", principal="0:/bin/bash", name="bash", pid=9, standing="unknown")


def about(kind: ActorKind, standing: Standing, who: str = "x", generation: int | None = None) -> Context:
    actor = Actor(kind=kind, id=who, principal=who, standing=standing, agent=kind == "agent")
    return Context(actor=actor, generation=generation)


@pytest.mark.parametrize(
    ("context", "covered"),
    [
        (about("session", "session"), True),
        (about("service", "service"), True),
        (about("session", "allowed"), True),
        (about("unknown", "unknown", "shell#1"), True),
        (about("unknown", "unknown"), False),
        (about("agent", "agent"), False),
        (about("agent", "agent", "shell#1"), False),
        (about("container", "service"), False),
        (about("service", "service", generation=2), False),
        (Context(), False),
        (None, False),
    ],
)
def test_it_covers_people_and_services_and_whoever_began_it(context: Context | None, *, covered: bool) -> None:
    """Never an agent, a replica or a container; nor somebody else whom nothing explains."""
    assert Windows(None).begin(START, timedelta(hours=1), "x", OPERATOR).covers(context) is covered


def test_it_ends_by_itself_and_lasts_a_day_at_the_most() -> None:
    """Also where the clock was set back."""
    windows = Windows(None)
    window = windows.begin(START, timedelta(days=9), "x", OPERATOR)
    assert window.until - window.since == LONGEST
    assert windows.over(START + timedelta(hours=23)) is None
    assert windows.over(START + LONGEST) == window
    assert (windows.window, windows.over(START)) == (None, None)
    windows.begin(START, timedelta(hours=1), "x", OPERATOR)
    assert windows.over(START - timedelta(hours=1)) is not None


def test_a_restart_knows_it_for_the_rest_of_its_time(tmp_path: Path) -> None:
    """Not longer, and not after its end."""
    before = Windows(tmp_path)
    window = before.begin(START, timedelta(hours=1), "upgrade", OPERATOR)
    after = Windows(tmp_path)
    after.load(START + timedelta(minutes=59))
    assert after.window == window
    late = Windows(tmp_path)
    late.load(START + timedelta(minutes=61))
    assert late.window is None
    before.end()
    assert not (tmp_path / FILE).exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"since":"2026-01-01T00:00:00Z","until":"2036-01-01T00:00:00Z","reason":"x","by":"x","actor":"x"}',
        '{"since":"2026-01-01T00:00:00","until":"2026-01-01T01:00:00","reason":"x","by":"x","actor":"x"}',
        '{"since":"2026-01-02T00:00:00Z","until":"2026-01-02T01:00:00Z","reason":"x","by":"x","actor":"x"}',
    ],
)
def test_what_somebody_put_in_its_place_is_no_window(tmp_path: Path, text: str) -> None:
    """Nonsense, one of ten years, one without a zone, one that has not begun."""
    (tmp_path / FILE).write_text(text)
    windows = Windows(tmp_path)
    windows.load(START)
    assert windows.window is None


def test_a_folder_that_cannot_be_written_costs_only_the_memory(tmp_path: Path) -> None:
    """The window is open all the same."""
    windows = Windows(tmp_path / "gone")
    windows.begin(START, timedelta(hours=1), "x", OPERATOR)
    assert windows.window is not None
    assert windows.end() is not None
