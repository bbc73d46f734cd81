"""What is said over the control socket: whole, small, in time, and of the known types only."""

import socket
import struct
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replguard.control import messages
from replguard.control.messages import Answer, Live, Maintenance, Question, Refused, Reload, Status


@pytest.mark.parametrize("question", [Status(), Reload(), Maintenance(), Maintenance(60.0, "why"), Live("a", "/b")])
def test_each_question_comes_as_it_was_sent(question: Question) -> None:
    """The tag says which it is."""
    here, there = socket.socketpair()
    with here, there:
        messages.send(here, question)
        assert messages.receive(there, Question, largest=1024, seconds=5) == question


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (struct.pack("!I", 5000), "the most"),
        (struct.pack("!I", 2) + b"{}", "no message of ours"),
        (struct.pack("!I", 18) + b'{"type":"destroy"}', "no message of ours"),
        (struct.pack("!I", 3) + b"\xff\xfe\xfd", "no message of ours"),
        (struct.pack("!I", 9) + b"{", "closed"),
        (b"", "closed"),
    ],
)
def test_what_is_no_message_is_refused(data: bytes, why: str) -> None:
    """Too long, of no known type, no JSON, or cut."""
    here, there = socket.socketpair()
    with there:
        with here:
            here.sendall(data)
        with pytest.raises(Refused, match=why):
            messages.receive(there, Question, largest=1024, seconds=5)


@given(st.binary(max_size=200))
def test_whatever_comes_is_a_message_or_refused(data: bytes) -> None:
    """No other error reaches the server."""
    here, there = socket.socketpair()
    with there:
        with here:
            here.sendall(data)
        try:
            assert isinstance(messages.receive(there, Question, largest=1024, seconds=5), Question)
        except Refused:
            pass


def test_who_says_nothing_or_a_byte_at_a_time_is_given_up() -> None:
    """The time is for all of a message."""
    here, there = socket.socketpair()
    stop = threading.Event()

    def drip() -> None:
        here.sendall(struct.pack("!I", 1000))
        while not stop.wait(0.02):
            here.sendall(b" ")

    with here, there:
        with pytest.raises(Refused, match="in time"):
            messages.receive(there, Question, largest=1024, seconds=0.05)
        thread = threading.Thread(target=drip)
        thread.start()
        with pytest.raises(Refused, match="in time"):
            messages.receive(there, Question, largest=1024, seconds=0.2)
        stop.set()
        thread.join()


def test_an_answer_carries_what_is_told_as_it_is() -> None:
    """Raw JSON, which need not be decoded to be passed on."""
    here, there = socket.socketpair()
    with here, there:
        messages.send(here, Answer(ok=True, text="x"))
        assert messages.receive(there, Answer, largest=1024, seconds=5).text == "x"
