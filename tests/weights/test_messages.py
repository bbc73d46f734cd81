"""Frames between the daemon and its examiner."""

import socket
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fingerprints import KEY

from replguard.events import clock
from replguard.weights import messages
from replguard.weights.fingerprint import Match, Target
from replguard.weights.messages import (
    Answer,
    Broken,
    Channel,
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

ORDERS: msgspec.msgpack.Decoder[Order] = msgspec.msgpack.Decoder(Order)
ANSWERS: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)


@pytest.fixture
def ends() -> Iterator[tuple[Channel[Answer], Channel[Order]]]:
    one, other = socket.socketpair()
    channels: tuple[Channel[Answer], Channel[Order]] = (Channel(one, ANSWERS), Channel(other, ORDERS))
    yield channels
    for channel in channels:
        channel.close()


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


def test_what_does_not_go_at_once_waits(ends: tuple[Channel[Answer], Channel[Order]]) -> None:
    """Sending never blocks the daemon, however much there is."""
    daemon, worker = ends
    files = tuple(Target(f"/models/{i:0100}", "m", 1, i, 3, 4, 5) for i in range(20_000))
    daemon.send(Protect(files))
    assert daemon.waiting
    got: list[Order] = []
    while not got:
        got = worker.receive()
        daemon.flush()
    assert got == [Protect(files)]
    assert not daemon.waiting


def test_a_closed_end_is_told(ends: tuple[Channel[Answer], Channel[Order]]) -> None:
    """By reading and by writing."""
    daemon, worker = ends
    worker.close()
    with pytest.raises(Broken):
        daemon.receive()
    with pytest.raises(Broken):
        daemon.send(Retire(((1, 2),)))


@given(st.binary(min_size=1, max_size=200))
def test_bytes_that_are_no_message_break_the_connection(data: bytes) -> None:
    """And nothing else; the process behind it is replaced."""
    one, other = socket.socketpair()
    channel: Channel[Answer] = Channel(one, ANSWERS)
    try:
        other.sendall(len(data).to_bytes(4, "little") + data)
        with pytest.raises(Broken):
            channel.receive()
    finally:
        channel.close()
        other.close()


def test_a_frame_beyond_measure_is_refused(ends: tuple[Channel[Answer], Channel[Order]]) -> None:
    """Before it is waited for."""
    daemon, worker = ends
    worker._end.sendall((messages.MOST + 1).to_bytes(4, "little"))
    with pytest.raises(Broken, match="bytes"):
        daemon.receive()
    assert len(KEY) == 32


def test_what_was_said_before_the_end_is_heard(ends: tuple[Channel[Answer], Channel[Order]]) -> None:
    """A process that was killed has said it all the same."""
    daemon, worker = ends
    order = Retire(((1, 2),))
    daemon.send(order)
    daemon.close()
    assert worker.receive() == [order]
    with pytest.raises(Broken):
        worker.receive()
