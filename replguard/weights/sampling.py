"""What is read of a file that may hold protected content: all of a small one, windows of a large one."""

import os
from collections.abc import Iterator
from random import Random

import numpy as np

from replguard.weights.anchors import PIECE, REACH, Bytes
from replguard.weights.reading import Reader

MOST = 8 * 2**20
"""Bytes of a round; a file of no more data is read whole."""
WINDOWS = 64
WINDOW = MOST // WINDOWS

Extents = list[tuple[int, int]]


def size(extents: Extents) -> int:
    """Return the bytes of data in a file's extents."""
    return sum(end - start for start, end in extents)


def whole(reader: Reader, extents: Extents) -> Iterator[Bytes]:
    """Read all data, in pieces that overlap by what an anchor reaches. Raises OSError. Each is valid until the next."""
    buffer = np.empty(PIECE + REACH - 1, np.uint8)
    for start, end in extents:
        for at in range(start, end, PIECE):
            yield _read(reader, buffer[: min(len(buffer), end - at)], at)


def windows(reader: Reader, extents: Extents) -> Iterator[Bytes]:
    """Read 64 windows, one at a place that cannot be foretold in each 64th of the data. Raises OSError.

    They come several in a piece: where one ends and the next begins nobody knows an anchor.
    """
    chance = Random(os.urandom(8))  # noqa: S311 - only the seed must be unknown
    buffer, filled = np.empty(PIECE, np.uint8), 0
    for at, length in _places(extents, chance):
        if filled + length > len(buffer):
            yield buffer[:filled]
            filled = 0
        filled += len(_read(reader, buffer[filled : filled + length], at))
    if filled:
        yield buffer[:filled]


def _places(extents: Extents, chance: Random) -> Iterator[tuple[int, int]]:
    stratum = max(WINDOW, size(extents) // WINDOWS)
    done = 0
    for start, end in extents:
        # Strata go on from one extent to the next: many small ones get no more windows than one large one.
        for base in range(start + -done % stratum, end, stratum):
            at = max(start, min(base + chance.randrange(max(1, stratum - WINDOW)), end - WINDOW))
            yield at, min(WINDOW, end - at)
        done += end - start


def _read(reader: Reader, into: Bytes, at: int) -> Bytes:
    return into[: reader.into(into.data, at)]
