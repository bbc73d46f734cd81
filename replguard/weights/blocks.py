"""Which blocks of a file are looked at, which of them can tell one model from another, and their keyed hash."""

from collections.abc import Iterator

from blake3 import blake3

from replguard.weights.reading import BLOCK, Reader

GRID = 1024
"""Blocks that a file is looked at on its own grid, at most: 4 MiB, a few milliseconds when cached."""
INDEX_STEP = 256 * 2**10
INDEX_BLOCKS = 32768
WIDEST_STEP = 2**20
DISTINCT = 12
"""Byte values that a block must have at least to be evidence; fewer are masks, padding and zeros."""
_PERIOD = 1024
_RUN = 16


def step(size: int, blocks: int = GRID) -> int:
    """Return the grid of a file: the smallest power of two, from 4 KiB, that needs at most ``blocks`` blocks."""
    width = BLOCK
    while size > width * blocks:
        width *= 2
    return width


def index_step(size: int) -> int:
    """Return the grid on which a protected file is remembered: its own, but never wider than 256 KiB … 1 MiB.

    One entry of 12 bytes in 256 KiB is 0.47 MiB of index for 10 GB. Above 8 GiB a file keeps 32,768 blocks, until the
    grid is 1 MiB wide. All grids are powers of two: that of a shorter copy contains that of its origin.
    """
    return min(step(size), max(INDEX_STEP, min(WIDEST_STEP, step(size, INDEX_BLOCKS))))


def positions(extents: list[tuple[int, int]], width: int, size: int) -> Iterator[int]:
    """Return the grid's offsets at which a whole block lies in data."""
    for start, end in extents:
        yield from range(-(-start // width) * width, min(end, size - BLOCK + 1), width)


def clip(extents: list[tuple[int, int]], inside: tuple[int, int] | None) -> list[tuple[int, int]]:
    """Return the parts of extents that lie in a range; blocks that straddle its end are left out."""
    if inside is None:
        return extents
    low, high = inside
    parts = ((max(start, low), min(end, high - BLOCK + 1)) for start, end in extents)
    return [(start, end) for start, end in parts if start < end]


def read(reader: Reader, offsets: Iterator[int]) -> Iterator[tuple[int, memoryview]]:
    """Return (offset, block) for ascending offsets; neighbours are read together. Raises OSError.

    The view is valid until the next is asked for. Blocks that the file has lost meanwhile are left out.
    """
    buffer = memoryview(bytearray(_RUN * BLOCK))
    for first, count in _runs(offsets):
        length = reader.into(buffer[: count * BLOCK], first)
        for at in range(0, length - BLOCK + 1, BLOCK):
            yield first + at, buffer[at : at + BLOCK]


def _runs(offsets: Iterator[int]) -> Iterator[tuple[int, int]]:
    first, count = -1, 0
    for offset in offsets:
        if count and offset == first + count * BLOCK and count < _RUN:
            count += 1
            continue
        if count:
            yield first, count
        first, count = offset, 1
    if count:
        yield first, count


def tells(block: bytes, *, text: bool) -> bool:
    """Whether a block is evidence of its model: enough byte values, no short period, and no text unless asked."""
    if len(set(block[::16])) < DISTINCT and len(set(block)) < DISTINCT:
        return False
    if not text and block.isascii():
        return False
    period = block.find(block[:32], 1, _PERIOD + 32)
    return period < 0 or block[period:] != block[:-period]


def digest(block: bytes | memoryview, key: bytes) -> int:
    """Return the keyed 64-bit hash of a block; without the key no one can make a stranger's file match."""
    return int.from_bytes(blake3(block, key=key).digest(length=8), "little")


def identity(reader: Reader, key: bytes) -> bytes | None:
    """Return a digest of size, every block of the file's own grid, and its end; of all content up to 4 MiB.

    None for files that have too little in them to be told apart: under 256 bytes, or of fewer than 12 byte values.
    Raises OSError.
    """
    if reader.size < 256:
        return None
    state = blake3(reader.size.to_bytes(8, "little"), key=key)
    seen: set[int] = set()
    for _, block in read(reader, positions([(0, reader.size)], step(reader.size), reader.size)):
        state.update(block)
        if len(seen) < DISTINCT:
            seen.update(block)
    tail = reader.read(max(0, reader.size - BLOCK), BLOCK)
    state.update(tail)
    seen.update(tail)
    return state.digest(length=16) if len(seen) >= DISTINCT else None
