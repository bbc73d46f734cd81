"""The fingerprint of one protected file: keyed hashes of blocks on a grid of its tensors, and a digest of its whole."""

from array import array
from collections import Counter
from collections.abc import Generator
from itertools import chain

import msgspec

from replguard.weights import blocks, formats
from replguard.weights.reading import BLOCK, Reader

REPEATS = 4
"""Places at which one block may stand in one file; what repeats more often is filling."""
FOREIGN = -1
"""Device of files that an imported index names: they have none on this host."""
_YIELD_EVERY = 32


class Target(msgspec.Struct, frozen=True):
    """A protected file as the inventory lists it; sizes in bytes, times in nanoseconds since the epoch.

    ``discovered`` tells that no path of the configuration leads to it.
    """

    path: str
    model: str
    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    format: str | None = None
    scaffold: bool = False
    discovered: bool = False

    @property
    def key(self) -> tuple[int, int]:
        """The file's identity on this host."""
        return self.device, self.inode


class Fingerprint(msgspec.Struct):
    """What is remembered of a file. ``hashes`` (u64, ascending) and ``places`` (u32, in blocks) are parallel."""

    target: Target
    width: int
    identity: bytes | None
    hashes: bytes
    places: bytes
    current: bool = True
    seen: float = 0.0

    @property
    def entries(self) -> int:
        """How many blocks are remembered."""
        return len(self.places) // 4


class Match(msgspec.Struct, frozen=True):
    """Content of a protected file found in another.

    ``share`` (0..1) is how much of the origin the file holds, estimated from the ``samples`` blocks of the origin that
    were looked for and the ``hits`` found. ``device`` and ``inode`` are None for an origin from an imported index.
    ``current`` is False where the origin itself is gone or was replaced since.
    """

    model: str
    path: str
    device: int | None
    inode: int | None
    share: float
    hits: int
    samples: int
    size: int
    scaffold: bool = False
    current: bool = True


class Changed(Exception):  # noqa: N818 - a state of the file, not a fault of ours
    """The file was written to while it was read."""


def build(reader: Reader, target: Target, key: bytes) -> Generator[int, None, Fingerprint]:
    """Read a protected file's blocks and return its fingerprint; yields the bytes read since the last yield.

    Only tensors are remembered where the format tells their range: headers and tokenizers are shared by strangers.
    Raises OSError, and Changed if the file was written to meanwhile.
    """
    width = blocks.index_step(reader.size)
    text = target.scaffold or target.format is None
    parts = blocks.clip(reader.extents(), None if text else _payload(reader))
    yield BLOCK
    found: list[tuple[int, int]] = []
    fresh = 0
    for offset, view in blocks.read(reader, blocks.positions(parts, width, reader.size)):
        block = bytes(view)
        fresh += 1
        if blocks.tells(block, text=text):
            found.append((blocks.digest(block, key), offset // BLOCK))
        if fresh >= _YIELD_EVERY:
            yield fresh * BLOCK
            fresh = 0
    yield fresh * BLOCK
    whole = blocks.identity(reader, key)
    yield min(reader.size, blocks.GRID * BLOCK)
    if reader.changed():
        raise Changed
    return pack(target, width, whole, found)


def pack(target: Target, width: int, identity: bytes | None, found: list[tuple[int, int]]) -> Fingerprint:
    """Return the fingerprint of (hash, block number) pairs, without those that repeat too often."""
    often = {value for value, count in Counter(value for value, _ in found).items() if count > REPEATS}
    kept = sorted(pair for pair in found if pair[0] not in often)
    hashes = array("Q", (value for value, _ in kept)).tobytes()
    return Fingerprint(target, width, identity, hashes, array("I", (place for _, place in kept)).tobytes())


def _payload(reader: Reader) -> tuple[int, int] | None:
    verdict = formats.recognise(reader)
    if not isinstance(verdict, formats.Format):
        return None
    return formats.payload(reader, verdict)


def span(fingerprint: Fingerprint) -> int:
    """Return the bytes that this fingerprint takes in memory and on disk, roughly."""
    return sum(map(len, chain((fingerprint.hashes, fingerprint.places), (fingerprint.target.path,))))
