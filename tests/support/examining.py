"""Waiting for what an examiner answers."""

import select
from collections.abc import Callable
from typing import Any

from replguard.events import clock
from replguard.weights.examiner import Examination, Examiner, Indexed


def wait(examiner: Examiner, ask: Callable[[], list[Any]], number: int = 1, seconds: float = 30) -> list[Any]:
    """Return the first so many answers, in time."""
    found: list[Any] = []
    deadline = clock.monotonic() + seconds
    while len(found) < number:
        assert clock.monotonic() < deadline
        found += ask()
        select.select([examiner.fileno()], [], [], 0.05)
    return found


def examined(examiner: Examiner, number: int = 1, seconds: float = 30) -> list[Examination]:
    """Return the first so many examinations."""
    return wait(examiner, examiner.results, number, seconds)


def indexed(examiner: Examiner, number: int = 1, seconds: float = 30) -> list[Indexed]:
    """Return what became of the first so many fingerprints."""
    return wait(examiner, examiner.indexed, number, seconds)
