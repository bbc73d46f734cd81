"""Looks at what may not answer."""

import threading
from pathlib import Path

import pytest
from support import deadmount

from replguard.events import clock
from replguard.weights.patience import Patience


def test_an_answer_in_time_is_given() -> None:
    """Or raised."""
    patience = Patience(10)
    assert patience.look("a", lambda: 7) == 7
    assert patience.look("a", lambda: 8) == 8
    with pytest.raises(ZeroDivisionError):
        patience.look("a", lambda: 1 // 0)


def test_a_late_answer_is_taken_by_a_later_look() -> None:
    """Which does not wait again, nor begin another."""
    patience, go, begun = Patience(0.05), threading.Event(), []

    def slow() -> int:
        begun.append(1)
        go.wait(20)
        return 5

    assert patience.look("slow", slow) is None
    started = clock.monotonic()
    for _ in range(100):
        assert patience.look("slow", slow) is None
    assert clock.monotonic() - started < 2
    assert patience.look("other", lambda: 3) == 3
    go.set()
    end = clock.monotonic() + 20
    while (found := patience.look("slow", slow)) is None:
        assert clock.monotonic() < end
    assert (found, len(begun)) == (5, 1)


@pytest.mark.root
def test_a_dead_mount_holds_nobody_up(tmp_path: Path) -> None:
    """A real one: whoever asks it is stuck in the kernel."""
    with deadmount.mounted(tmp_path / "dead"):
        patience = Patience(0.2)
        started = clock.monotonic()
        assert patience.look("dead", lambda: list((tmp_path / "dead").iterdir())) is None
        assert clock.monotonic() - started < 10
