"""The names of segments and what the first line of each says."""

import re
import stat
from dataclasses import dataclass
from pathlib import Path

import msgspec

from replguard.events.host import Host

SCHEMA = 1
ZSTD = ".zst"
MOST = 10**9
"""No log has so many segments: one whose number is higher was put there."""
_NAME = re.compile(r"(?P<stream>[a-z]+)-(?P<number>[0-9]{6,12})\.jsonl(?P<packed>\.zst)?")


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first line of a segment. ``host`` is what alerts say of the host: a replay elsewhere says the same.

    The rest is the place in the chain. ``prev`` is the hash of all that stands before, ``size`` and ``edge`` are the
    tree of the blocks before. ``oldest`` is the first segment that is kept: older ones go by the limits, once this
    said so. ``key`` signs the seals of this segment; the key of the segment before vouches for it: ``signature`` is
    over this header without itself, by ``by``. ``origin`` names the log in checkpoints. Hashes are in hexadecimal,
    keys (Ed25519) and signatures in base64.
    """

    log: str = "replguard"
    schema: int = SCHEMA
    stream: str
    segment: int
    boot_id: str
    host: Host | None = None
    origin: str | None = None
    prev: str | None = None
    oldest: int = 1
    size: int = 0
    edge: tuple[str, ...] = ()
    key: str | None = None
    by: str | None = None
    signature: str | None = None


class Seal(msgspec.Struct, frozen=True, kw_only=True):
    """A line after each block of records: ``chain`` is the hash up to here, which is leaf ``seal`` of the tree.

    ``marks`` are the first bytes of the hash after each of its lines, so that a changed one is found. ``signature``
    is over the checkpoint of the tree with this leaf.
    """

    log: str = "replguard"
    seal: int
    chain: str
    marks: str
    signature: str


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
    """Return the segments of a stream in order: regular files alone, under the very names that the writer gives.

    Raises OSError when the folder cannot be listed.
    """
    found = []
    for path in folder.iterdir():
        match = _NAME.fullmatch(path.name)
        if match is None or match["stream"] != stream:
            continue
        number, packed = int(match["number"]), bool(match["packed"])
        if path.name == name(stream, number) + ZSTD * packed and _is_regular(path):
            found.append(Segment(number, packed, path))
    return sorted(found)


def is_segment(path: Path) -> bool:
    """Tell whether a file has the name of a segment."""
    return _NAME.fullmatch(path.name) is not None


def one_of_each(found: list[Segment]) -> list[Segment]:
    """Return one file of each segment: the packed one where both stand, for then it is whole."""
    return list({segment.number: segment for segment in found}.values())


def there(segment: Segment) -> Segment:
    """Return a segment as it stands now: packed, where it was packed since the folder was listed."""
    packed = segment.path.with_name(segment.path.name + ZSTD)
    return segment if segment.packed or not packed.exists() else Segment(segment.number, packed=True, path=packed)


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False
