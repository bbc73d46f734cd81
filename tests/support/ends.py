"""Both ends of a connection between the daemon and its examiner."""

import contextlib
import socket
from collections.abc import Iterator

import msgspec

from replguard.channel import Channel
from replguard.weights.messages import Answer, Order

ORDERS: msgspec.msgpack.Decoder[Order] = msgspec.msgpack.Decoder(Order)
ANSWERS: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)


@contextlib.contextmanager
def joined() -> Iterator[tuple[Channel[Answer], Channel[Order]]]:
    """Give the daemon's end and the examiner's; both are closed with the block."""
    one, other = socket.socketpair()
    with contextlib.closing(Channel(one, ANSWERS)) as daemon, contextlib.closing(Channel(other, ORDERS)) as worker:
        yield daemon, worker
