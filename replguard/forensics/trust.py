"""What is known of a log besides itself: keys and checkpoints as people keep them, and what one stream tells of all."""

import base64
import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from replguard.errors import ReplguardError
from replguard.events import evidence, wire
from replguard.events.evidence import CHECKPOINT, Kept
from replguard.forensics import register
from replguard.log import names
from replguard.log.chain import checkpoint
from replguard.log.reader import Fault

_CHECKPOINT = re.compile(r"^(\S+)\n(\d{1,18})\n([A-Za-z0-9+/]{43}=)$", re.MULTILINE)
_RECORD = b'"action":"%s"' % CHECKPOINT.encode()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What was said of a log at one time: after so many blocks its tree has this root (base64)."""

    origin: str
    size: int
    root: str


@dataclass(frozen=True, slots=True)
class Told:
    """A checkpoint that stands in the evidence of the log itself: of which stream, and where."""

    stream: str
    kept: Checkpoint
    path: Path
    line: int


def text(found: Checkpoint) -> str:
    """Return a checkpoint as it is kept."""
    return checkpoint(found.origin, found.size, base64.b64decode(found.root)).decode()


def read(given: str) -> list[str | Checkpoint]:
    """Return the key or the checkpoints that somebody trusts: the key itself, or a file. Raises ReplguardError.

    A file holds checkpoints as they are printed, with signatures or without, or lines of JSON as a sink wrote them.
    """
    if _is_key(given):  # before any file of that name, which may lie in the folder of whoever is not trusted
        return [given]
    said = given
    with contextlib.suppress(OSError):
        said = Path(given).read_text("utf-8", "replace")
    kept = _kept("\n".join((said, *_notes(said))))
    if kept:
        return [*kept]
    if _is_key(said.strip()):
        return [said.strip()]
    raise ReplguardError(
        f"{given!r} is neither a key nor a checkpoint: give the 44 characters that `verify` prints as the log's first"
        " key, or a file with a checkpoint (its name, its number of blocks and its root, one a line)"
    )


def _is_key(said: str) -> bool:
    try:
        return len(base64.b64decode(said, validate=True)) == 32
    except ValueError:
        return False


def told(folder: Path) -> list[Told]:
    """Return the checkpoints that the evidence holds, of every stream. Raises OSError."""
    found: list[Told] = []
    paths = {segment.number: segment.path for segment in names.segments(folder, register.STREAM)}
    for line in register.picked(folder, lambda data: _RECORD in data):
        record = None if isinstance(line, Fault) else _record(line.data)
        if record is not None and not isinstance(line, Fault):
            where = paths.get(line.segment, folder), line.line
            found += [Told(record.stream, kept, *where) for kept in _kept(record.note)[:1]]
    return found


def _kept(said: str) -> list[Checkpoint]:
    return [Checkpoint(name, int(size), root) for name, size, root in _CHECKPOINT.findall(said)]


def _notes(said: str) -> Iterator[str]:
    for line in said.splitlines():
        if line.startswith("{") and (record := _record(line.encode(errors="replace"))) is not None:
            yield record.note


def _record(line: bytes) -> evidence.Checkpoint | None:
    try:
        return msgspec.json.decode(line, type=Kept).checkpoint
    except wire.UNREADABLE:
        return None
