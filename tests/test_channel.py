"""Frames between our own processes: whole, bounded, and never waited for."""

import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.ends import ANSWERS, joined

from replguard.channel import MOST, Broken, Channel
from replguard.weights.fingerprint import Target
from replguard.weights.messages import Answer, Order, Protect, Retire


@pytest.fixture
def ends() -> Iterator[tuple[Channel[Answer], Channel[Order]]]:
    """Both ends of a connection."""
    with joined() as both:
        yield both


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
    worker._end.sendall((MOST + 1).to_bytes(4, "little"))
    with pytest.raises(Broken, match="bytes"):
        daemon.receive()


def test_what_was_said_before_the_end_is_heard(ends: tuple[Channel[Answer], Channel[Order]]) -> None:
    """A process that was killed has said it all the same."""
    daemon, worker = ends
    order = Retire(((1, 2),))
    daemon.send(order)
    daemon.close()
    assert worker.receive() == [order]
    with pytest.raises(Broken):
        worker.receive()
