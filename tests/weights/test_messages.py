"""Frames between the daemon and its examiner."""

from collections.abc import Iterator

import pytest
from support.ends import joined

from replguard.channel import Channel
from replguard.events import clock
from replguard.weights.fingerprint import Match, Target
from replguard.weights.messages import (
    Answer,
    Examination,
    Examine,
    Indexed,
    Order,
    Progress,
    Protect,
    Request,
    Retire,
    Settings,
)


@pytest.fixture
def ends() -> Iterator[tuple[Channel[Answer], Channel[Order]]]:
    with joined() as both:
        yield both


def test_every_message_arrives_as_it_was(ends: tuple[Channel[Answer], Channel[Order]]) -> None:
    """In both directions, in order."""
    daemon, worker = ends
    request = Request("/a\n\udcff".encode(errors="backslashreplace").decode(), 1, 2, "copy")
    orders: list[Order] = [
        Settings("/state", ("/i",), 5, True),
        Protect((Target("/p", "m", 1, 2, 3, 4, 5, "gguf", True),)),
        Retire(((1, 2),)),
        Examine(request),
    ]
    match = Match("m", "/p", None, None, 0.5, 3, 6, 7)
    answers: list[Answer] = [
        Examination(request, clock.now(), "/p", 1, 2, 3, "gguf", (match,)),
        Indexed("/p", 1, 2, 3, "failed", "why"),
        Progress(None, 0),
    ]
    for order in orders:
        daemon.send(order)
    for answer in answers:
        worker.send(answer)
    assert worker.receive() == orders
    assert daemon.receive() == answers
    assert daemon.receive() == []
