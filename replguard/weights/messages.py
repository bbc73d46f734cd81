"""What the daemon and its examiner say to each other: typed MessagePack in length-prefixed frames, never pickle."""

import socket
from datetime import datetime
from typing import Generic, Literal, TypeVar

import msgspec

from replguard.weights.fingerprint import Match, Target

MOST = 64 * 2**20
"""Bytes of one frame at most; a longer one means that the other side lost its mind."""
_PREFIX = 4


Rank = Literal["toucher", "agent", "other"]


class Request(msgspec.Struct, frozen=True):
    """A wish to have a file examined. ``reason`` is free text of the asker, given back with the answer.

    ``rank`` is who made the file: somebody who touched weights, an agent, or anybody else. ``uid`` is the owner of the
    file, None if unknown: requests of one rank wait in fair shares by it. ``again`` marks a request that was
    refused before; refused once more, it is not counted once more. ``handle`` is the file itself, on the filesystem
    that ``mount`` lies on: a name may mean another file by the time that it is opened.
    """

    path: str
    device: int | None = None
    inode: int | None = None
    reason: str = ""
    uid: int | None = None
    again: bool = False
    rank: Rank = "other"
    handle: bytes | None = None
    mount: str | None = None


class Examination(msgspec.Struct, frozen=True, tag="examination"):
    """What a file holds; a protected file holds itself.

    ``device``, ``inode`` and ``size`` (bytes) are those found, None if the file could not be opened.
    ``traces`` are origins of which less was found than makes a match: parts that tell nothing alone, and add up.
    ``error`` is the reason why there is no answer (then ``matches`` is empty); ``changed`` tells that the file was
    written to meanwhile, ``index_ready`` False that some protected files had no fingerprint yet: ask again later.
    """

    request: Request
    time: datetime
    path: str
    device: int | None = None
    inode: int | None = None
    size: int | None = None
    format: str | None = None
    matches: tuple[Match, ...] = ()
    traces: tuple[Match, ...] = ()
    error: str | None = None
    changed: bool = False
    index_ready: bool = False


class Indexed(msgspec.Struct, frozen=True, tag="indexed"):
    """What became of the fingerprint of one protected file."""

    path: str
    device: int
    inode: int
    size: int
    state: str
    reason: str | None = None


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """A sign of life while fingerprints are made; ``path`` is the file at work, None when there is none left."""

    path: str | None
    pending: int
    cache_error: str | None = None


class Settings(msgspec.Struct, frozen=True, tag="settings"):
    """The examiner's part of the configuration. ``rate`` in bytes per second; 0 is no limit."""

    state_dir: str | None
    index: tuple[str, ...] = ()
    rate: int = 200 * 2**20
    scan_network: bool = False


class Protect(msgspec.Struct, frozen=True, tag="protect"):
    """Protected files to know of besides those told before."""

    targets: tuple[Target, ...]


class Retire(msgspec.Struct, frozen=True, tag="retire"):
    """Protected files that are gone or replaced; their content stays known for 30 days."""

    keys: tuple[tuple[int, int], ...]


class Examine(msgspec.Struct, frozen=True, tag="examine"):
    """One request; the next is sent when its answer came."""

    request: Request


Order = Settings | Protect | Retire | Examine
Answer = Examination | Indexed | Progress
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

    def send(self, message: Order | Answer) -> None:
        """Queue a message and send what goes. Raises Broken."""
        body = self._encoder.encode(message)
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
