"""Reads the log back: records in the order of writing, and what is damaged as values with file and line."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from os import SEEK_END
from pathlib import Path
from typing import IO

import msgspec
import zstandard

from replguard.events import wire
from replguard.events.clock import is_sound
from replguard.events.event import Event
from replguard.events.evidence import STATE
from replguard.log import names

MAX_LINE = 4 * 2**20
"""Bytes of the longest line that is read: 128 KiB of arguments, each byte escaped, several times over."""
SEGMENT = 64 * 2**20
"""Bytes of a segment at most; a sixteenth of the limit of its stream where that is less: capping is fine-grained."""
LARGEST = SEGMENT + 2 * MAX_LINE
"""Bytes of a segment at most: what is written at once goes above its end, by the longest line; so do a few seals."""
LINES = LARGEST // 64
"""Lines of a segment at most: no record is as short as that."""
CHUNK = 2**18
OTHER = frozenset({"alert", STATE})
"""Kinds (``event.kind``) of the records that are no events: the rules never saw them."""
BEGINNING = b'{"log":"replguard"'
"""How a line of the log itself begins, a header or a seal; records never do."""
_FRAME = b"\x28\xb5\x2f\xfd"
_REPEATED = 1
"""The type of a block that holds one byte, to be repeated."""
_BLOCKS = 2**20
"""Blocks of a zstd file at most, each of up to 128 KiB."""


class _DamagedError(Exception):
    """What a file holds is not what was put there."""


class Torn(bytes):
    """A last line without an end: it was being written when the writer ended."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Record:
    """One line of a segment: where it stands (line 1-based) and its bytes, without the newline."""

    path: Path
    line: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that could not be read, and where."""

    path: Path
    line: int
    text: str

    def __str__(self) -> str:
        """Render as ``path:line: text``."""
        return f"{self.path}:{self.line}: {self.text}" if self.line else f"{self.path}: {self.text}"


def records(paths: Iterable[Path], stream: str = "raw") -> Iterator[Record | Fault]:
    """Yield the records of files and of the segments of ``stream`` in folders, headers left out.

    Files may be compressed, and need no header. A last line without an end is a record where a file is no segment: of
    one it was never written whole, and nothing vouches for it.
    """
    for path in _files(paths, stream):
        if isinstance(path, Fault):
            yield path
            continue
        for found in lines(path):
            if isinstance(found, Fault):
                yield found
                continue
            torn = _torn(path, *found)
            for number, line in enumerate(found[1], found[0]):
                record = _record(path, number, line)
                if record is not None:
                    yield record if isinstance(record, Fault) else Record(path, number, record)
            if torn is not None:
                yield torn


def header(paths: Iterable[Path], stream: str = "raw") -> names.Header | None:
    """Return the first header in files and folders, None when there is none."""
    for path in paths:
        try:
            files = [segment.path for segment in names.segments(path, stream)] if path.is_dir() else [path]
            for file in files:
                _, (line, *_) = next(_blocks(_chunks(file)), (0, [b""]))
                if (found := _header(line or b"")) is not None:
                    return found
        except (OSError, zstandard.ZstdError, _DamagedError):
            continue
    return None


def events(paths: Iterable[Path], stream: str = "raw") -> Iterator[Event | Fault]:
    """Yield the events of ``records``, decoded strictly; alerts and states, which evidence holds too, are left out."""
    for path in _files(paths, stream):
        if isinstance(path, Fault):
            yield path
            continue
        for found in lines(path):
            if isinstance(found, Fault):
                yield found
                continue
            torn = _torn(path, *found)
            yield from _decoded(path, *found)
            if torn is not None:
                yield torn


def _decoded(path: Path, first: int, lines: list[bytes | None]) -> Iterator[Event | Fault]:
    """Yield the events of lines; most are nothing but that, and it is tried first."""
    decode = wire.decode_event
    for number, line in enumerate(lines, first):
        try:
            event = decode(line or b"")
        except wire.UNREADABLE as error:
            record = _record(path, number, line)
            if record is not None:
                yield record if isinstance(record, Fault) else Fault(path, number, f"not an event: {error}")
            continue
        if event.event.kind not in OTHER:
            yield event if is_sound(event.timestamp) else Fault(path, number, "not an event: its time cannot be")


def _torn(path: Path, first: int, some: list[bytes | None]) -> Fault | None:
    """Take a torn line away from those of a segment, and return what is wrong with it."""
    if not some or not isinstance(some[-1], Torn) or not names.is_segment(path):
        return None
    some.pop()
    return Fault(path, first + len(some), "the last line has no end: it was not written whole")


def _files(paths: Iterable[Path], stream: str) -> Iterator[Path | Fault]:
    for path in paths:
        if path.is_dir():
            yield from _folder(path, stream)
        else:
            yield path


def _folder(folder: Path, stream: str) -> Iterator[Path | Fault]:
    try:
        found = names.one_of_each(names.segments(folder, stream))
    except OSError as error:
        yield Fault(folder, 0, f"cannot be read: {error.strerror}")
        return
    if not found:
        yield Fault(folder, 0, f"holds no {stream} segment")
    before: int | None = None
    for segment in found:
        if before is not None and segment.number != before + 1:
            yield Fault(folder, 0, f"{stream} segments {before + 1} to {segment.number - 1} are missing")
        before = segment.number
        yield names.there(segment).path


def lines(path: Path) -> Iterator[tuple[int, list[bytes | None]] | Fault]:
    """Yield the lines of a file, several with the number of the first, and what cannot be read.

    None stands for a line that is too long; a last one without an end is ``Torn``.
    """
    last = 0
    try:
        for first, some in _blocks(_chunks(path)):
            last = first + len(some) - 1
            if last > LINES and names.is_segment(path):
                raise _DamagedError("it has more lines than any segment")
            yield first, some
    except OSError as error:
        yield Fault(path, last, f"cannot be read: {error.strerror}")
    except (zstandard.ZstdError, _DamagedError) as error:
        yield Fault(path, last, f"damaged: {error}")


def _record(path: Path, number: int, line: bytes | None) -> bytes | Fault | None:
    """Return a line that is a record, what is wrong with it, or None for one that is empty or the log's own."""
    if line is None:
        return Fault(path, number, f"the line is longer than {MAX_LINE} bytes")
    return None if not line or ((number == 1 or line.startswith(BEGINNING)) and _is_own(line)) else line


def _chunks(path: Path) -> Iterator[bytes]:
    """Yield the content of a file in bounded chunks, and of a segment no more than the writer makes."""
    got = 0
    with path.open("rb") as file:
        for chunk in _unpacked(file) if path.suffix == names.ZSTD else iter(partial(file.read, CHUNK), b""):
            got += len(chunk)
            if got > LARGEST and names.is_segment(path):
                raise _DamagedError("it unpacks to more than any segment holds")
            yield chunk


def _unpacked(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the content of a zstd file; the library itself takes a cut-off one, or one with more behind, for whole."""
    with zstandard.ZstdDecompressor().stream_reader(file, closefd=False) as reader:
        while chunk := reader.read(CHUNK):
            yield chunk
    packed, size = _frame(file), file.seek(0, SEEK_END)
    if packed != size:
        raise _DamagedError(f"it has {size} bytes, and what was packed {packed}")


def _frame(file: IO[bytes]) -> int:
    """Return the bytes of the zstd frame that a file begins with, as its blocks tell (RFC 8878, 3.1.1)."""
    file.seek(0)
    start = file.read(18)
    if not start.startswith(_FRAME):
        raise _DamagedError("it does not begin with what was packed")
    at = zstandard.frame_header_size(start)
    for _ in range(_BLOCKS):
        file.seek(at)
        if len(head := file.read(3)) < 3:
            break
        block = int.from_bytes(head, "little")
        at += 3 + (1 if block >> 1 & 3 == _REPEATED else block >> 3)
        if block & 1:
            return at + 4 * zstandard.get_frame_parameters(start).has_checksum
    raise _DamagedError("it is cut off")


def _blocks(chunks: Iterable[bytes]) -> Iterator[tuple[int, list[bytes | None]]]:
    """Yield the number of a line, and its content and that of those after it; None for what is longer than a line.

    Many at a time, for a log has millions. Memory stays bounded whatever the file holds. Zeros to the end are what a
    power cut may leave of a line, however many: its end was not written.
    """
    number, rest, skipping, zeros = 1, b"", False, False
    for chunk in chunks:
        if zeros and chunk.strip(b"\0"):
            rest, skipping, zeros = b"", True, False
        *whole, tail = chunk.split(b"\n")
        if whole:
            whole[0] = rest + whole[0]
            lines: list[bytes | None] = [*whole]
            if skipping or max(map(len, whole)) > MAX_LINE:
                lines = [line if len(line) <= MAX_LINE else None for line in whole]
                lines[0] = None if skipping else lines[0]
            yield number, lines
            number, rest, skipping = number + len(whole), b"", False
        rest += tail
        if len(rest) > MAX_LINE:
            rest, zeros = rest.rstrip(b"\0") + b"\0", rest.endswith(b"\0")
        if len(rest) > MAX_LINE:
            rest, skipping, zeros = b"", True, False
    if rest or skipping:
        yield number, [None if skipping else Torn(rest)]


def _is_own(line: bytes) -> bool:
    """Tell whether a line is a header or a seal."""
    if _header(line) is not None:
        return True
    try:
        return msgspec.json.decode(line, type=names.Seal).log == "replguard"
    except wire.UNREADABLE:
        return False


def _header(line: bytes) -> names.Header | None:
    try:
        found = msgspec.json.decode(line, type=names.Header)
    except wire.UNREADABLE:
        return None
    return found if found.log == "replguard" else None
