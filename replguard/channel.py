"""Typed MessagePack in length-prefixed frames between our own processes, never pickle."""

import socket
from typing import Generic, TypeVar

import msgspec

MOST = 64 * 2**20
"""Bytes of one frame at most; a longer one means that the other side lost its mind."""
_PREFIX = 4
Got = TypeVar("Got")


class Broken(Exception):  # noqa: N818 - a state of the connection
    """The other side is gone, or what it sends cannot be understood."""


class Channel(Generic[Got]):
    """One end of a socket pair that never blocks: what cannot be sent at once waits here."""

    def __init__(self, end: socket.socket, got: msgspec.msgpack.Decoder[Got]) -> None:
        self._end = end
        self._end.setblocking(False)
        self._got = got
        self._encoder = msgspec.msgpack.Encoder()
        self._in = bytearray()
        self._out = bytearray()

    @property
    def waiting(self) -> bool:
        """Whether something is still to be sent."""
        return bool(self._out)

    def fileno(self) -> int:
        """Return the descriptor to poll."""
        return self._end.fileno()

    def close(self) -> None:
        """Close this end; the other reads the end of the stream."""
        self._end.close()

    @property
    def backlog(self) -> int:
        """How many bytes are still to be sent."""
        return len(self._out)

    def send(self, message: msgspec.Struct) -> None:
        """Queue a message and send what goes. Raises Broken."""
        self.post(self._encoder.encode(message))

    def post(self, body: bytes) -> None:
        """Queue a message that is encoded already, and send what goes. Raises Broken."""
        self._out += len(body).to_bytes(_PREFIX, "little") + body
        self.flush()

    def flush(self) -> None:
        """Send as much as the socket takes. Raises Broken."""
        try:
            while self._out:
                del self._out[: self._end.send(self._out)]
        except BlockingIOError:
            pass
        except OSError as error:
            raise Broken(str(error)) from None

    def receive(self) -> list[Got]:
        """Return the messages that have come in whole; Broken is raised when all were returned and no more can come."""
        over: str | None = None
        try:
            while data := self._end.recv(2**16):
                self._in += data
                if len(self._in) > MOST + _PREFIX:
                    break
            else:
                over = "the other side has closed the connection"
        except BlockingIOError:
            pass
        except OSError as error:
            over = str(error)
        found = self._decode()
        if over is not None and not found:
            raise Broken(over)
        return found

    def _decode(self) -> list[Got]:
        found = []
        while len(self._in) >= _PREFIX:
            end = _PREFIX + int.from_bytes(self._in[:_PREFIX], "little")
            if end > MOST:
                raise Broken(f"a message of {end} bytes")
            if len(self._in) < end:
                break
            try:
                found.append(self._got.decode(memoryview(self._in)[_PREFIX:end].tobytes()))
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                raise Broken(f"a message that is none: {error}") from None
            del self._in[:end]
        return found
