"""The names of segments and what the first line of each says."""

import re
from dataclasses import dataclass
from pathlib import Path

import msgspec

from replguard.events.host import Host

SCHEMA = 1
ZSTD = ".zst"
_NAME = re.compile(r"(?P<stream>[a-z]+)-(?P<number>\d{6,12})\.jsonl(?P<packed>\.zst)?")


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first record of a segment. ``prev`` is the place of the chain: the hash of the segment before.

    ``host`` is what alerts say of the host, so that a replay elsewhere says the same.
    """

    log: str = "replguard"
    schema: int = SCHEMA
    stream: str
    segment: int
    boot_id: str
    host: Host | None = None
    prev: str | None = None


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """One segment file of a folder."""

    number: int
    packed: bool
    path: Path


def name(stream: str, number: int) -> str:
    """Return the file name of an open segment."""
    return f"{stream}-{number:06d}.jsonl"


def segments(folder: Path, stream: str) -> list[Segment]:
    """Return the segments of a stream in order. Raises OSError when the folder cannot be listed."""
    found = []
    for path in folder.iterdir():
        match = _NAME.fullmatch(path.name)
        if match and match["stream"] == stream:
            found.append(Segment(int(match["number"]), bool(match["packed"]), path))
    return sorted(found)
