"""What is said over the control socket: JSON of fixed types, each behind its length in four bytes."""

import socket
import struct
from typing import Any

import msgspec

from replguard.errors import ReplguardError
from replguard.events import clock

LARGEST = 64 * 2**10
"""Bytes of a question."""
LARGEST_ANSWER = 8 * 2**20
_LENGTH = struct.Struct("!I")


class Refused(ReplguardError):  # noqa: N818 - says what the other end did
    """What came is no message, came too slowly, or the other end went away."""


class Status(msgspec.Struct, frozen=True, tag="status", forbid_unknown_fields=True):
    """Asks for what `replguard status` shows."""


class Reload(msgspec.Struct, frozen=True, tag="reload", forbid_unknown_fields=True):
    """Asks for configuration, manifest and rules to be read again."""


class Maintenance(msgspec.Struct, frozen=True, tag="maintenance", forbid_unknown_fields=True):
    """Begins a window of so many seconds, ends it (0), or shows it (None)."""

    seconds: float | None = None
    reason: str = ""


class Live(msgspec.Struct, frozen=True, tag="live", forbid_unknown_fields=True):
    """Announces a drill by the asking process, on weights in a folder. Its alerts follow until the connection ends."""

    name: str
    weights: str


Question = Status | Reload | Maintenance | Live


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """``ok``: it was done. ``text`` says what was, or why not; ``told`` is the status, or an alert of a drill."""

    ok: bool
    text: str = ""
    told: msgspec.Raw = msgspec.Raw(b"null")


def send(to: socket.socket, message: Any) -> None:
    """Send one message. Raises OSError."""
    data = msgspec.json.encode(message)
    to.sendall(_LENGTH.pack(len(data)) + data)


def receive(come: socket.socket, kind: Any, *, largest: int, seconds: float) -> Any:
    """Return the next message, which has to be whole in so many seconds. Raises Refused and OSError."""
    end = clock.monotonic() + seconds
    (length,) = _LENGTH.unpack(_exactly(come, _LENGTH.size, end))
    if length > largest:
        raise Refused(f"a message of {length} bytes, where {largest} are the most")
    try:
        return msgspec.json.decode(_exactly(come, length, end), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(f"no message of ours: {error}") from error


def _exactly(come: socket.socket, count: int, end: float) -> bytes:
    data = bytearray()
    while len(data) < count:
        left = end - clock.monotonic()
        if left <= 0:
            raise Refused("nothing whole was said in time")
        come.settimeout(left)
        try:
            part = come.recv(min(65536, count - len(data)))
        except TimeoutError:
            raise Refused("nothing whole was said in time") from None
        if not part:
            raise Refused("the other end has closed the connection")
        data += part
    return bytes(data)
