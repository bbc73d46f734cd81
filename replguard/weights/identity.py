"""A digest of a file: whether it is the very same, where it has too little in it for anchors, or was only touched."""

from collections.abc import Iterator

from blake3 import blake3

from replguard.weights.anchors import DISTINCT
from replguard.weights.reading import BLOCK, Reader

GRID = 1024
"""Blocks of a file that are looked at, at most: 4 MiB, a few milliseconds when cached."""
SMALLEST = 256
_RUN = 16


def of(reader: Reader, key: bytes) -> bytes | None:
    """Return a keyed digest of size, every block of the file's grid, and its end; of all content up to 4 MiB.

    None for files that have too little in them to be told apart: under 256 bytes, or of fewer than 12 byte values.
    Raises OSError.
    """
    if reader.size < SMALLEST:
        return None
    state = blake3(reader.size.to_bytes(8, "little"), key=key)
    seen: set[int] = set()
    for block in _blocks(reader):
        state.update(block)
        if len(seen) < DISTINCT:
            seen.update(block)
    tail = reader.read(max(0, reader.size - BLOCK), BLOCK)
    state.update(tail)
    seen.update(tail)
    return state.digest(length=16) if len(seen) >= DISTINCT else None


def step(size: int) -> int:
    """Return the grid of a file: the smallest power of two, from 4 KiB, that needs at most 1,024 blocks."""
    width = BLOCK
    while size > width * GRID:
        width *= 2
    return width


def _blocks(reader: Reader) -> Iterator[bytes | memoryview]:
    """Return the whole blocks of the grid; of a file whose grid has no gaps, many at a time."""
    width = step(reader.size)
    run = _RUN if width == BLOCK else 1
    buffer = memoryview(bytearray(run * BLOCK))
    for at in range(0, reader.size - BLOCK + 1, width * run):
        length = reader.into(buffer[: min(len(buffer), (reader.size - at) // BLOCK * BLOCK)], at)
        yield buffer[: length // BLOCK * BLOCK]
