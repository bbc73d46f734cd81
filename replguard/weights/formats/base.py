"""What a format recogniser gets (a bounded source of bytes) and gives (a format, a fault, or nothing)."""

import struct
from typing import Protocol

import msgspec

READ_CAP = 8 * 2**20
"""Bytes that recognising one file may read in all; a header larger than this is not looked into."""
HEADER_CAP = 100 * 10**6
"""Largest header that a file may claim, in bytes: the limit of the safetensors reference implementation."""

FAULTS = (
    ValueError,
    LookupError,
    ArithmeticError,
    RecursionError,
    MemoryError,
    EOFError,
    TypeError,
    struct.error,
    msgspec.MsgspecError,
)
"""What parsing hostile bytes can raise; each means that the file is not what it claims."""


class Format(msgspec.Struct, frozen=True):
    """A recognised weights format.

    ``header`` is the number of bytes before the tensors, ``payload`` the (start, end) byte range that holds them; both
    None where telling would cost more than a few reads. ``complete`` is False where the file ends before its tensors.
    """

    name: str
    header: int | None = None
    payload: tuple[int, int] | None = None
    complete: bool | None = None


class FormatError(msgspec.Struct, frozen=True):
    """A file that begins like a format and breaks its rules. ``reason`` is a sentence."""

    name: str
    reason: str


Verdict = Format | FormatError | None


class Readable(Protocol):
    """Anything of a known size that gives bytes at an offset."""

    size: int

    def read(self, offset: int, length: int) -> bytes: ...


class Memory:
    """A file held in memory."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)

    def read(self, offset: int, length: int) -> bytes:
        return self.data[offset : offset + length]


class Source:
    """Bounded reads of one file: at most READ_CAP bytes in all, the first 64 KiB once."""

    HEAD = 64 * 2**10

    def __init__(self, file: Readable, cap: int = READ_CAP) -> None:
        self.size = file.size
        self._file = file
        self._left = cap
        self.head = self._take(0, self.HEAD)

    def read(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes at ``offset``. Raises EOFError if the file or the allowance ends before."""
        if offset < 0 or length < 0 or offset + length > self.size:
            raise EOFError("the file ends before")
        if offset + length <= len(self.head):
            return self.head[offset : offset + length]
        if length > self._left:
            raise EOFError("more would have to be read than is allowed")
        return self._take(offset, length)

    def unpack(self, form: str, offset: int) -> tuple[int, ...]:
        """Return the integers of a struct format at ``offset``. Raises EOFError as ``read`` does."""
        return struct.unpack(form, self.read(offset, struct.calcsize(form)))

    def _take(self, offset: int, length: int) -> bytes:
        data = self._file.read(offset, min(length, self._left))
        self._left -= len(data)
        return data
