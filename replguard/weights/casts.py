"""Values of one width written in another: bf16, f16 and f32, told by how their bytes are spread, and re-typed."""

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from replguard.weights import anchors
from replguard.weights.anchors import Bytes

KINDS = ("bf16", "f16", "f32")
WIDTH = {"bf16": 2, "f16": 2, "f32": 4}
_UNIT, _SMALL_UNIT = 32 * 2**10, 8 * 2**10
_UNITS = ((16 * 2**20, 1), (32 * 2**20, 2), (64 * 2**20, 4), (512 * 2**20, 8))
SPARSEST = 128
_DENSE = 6144
_SAMPLE = 4 * 2**10
_FEWEST = 512
_COLUMNS = np.arange(0, 1024, 256)
_TELLS = np.arange(_SAMPLE) * np.log2(np.maximum(np.arange(_SAMPLE), 1))  # n log n: to look it up is quicker
_FULL, _SPREAD, _NARROW, _OCTAVES = 6.5, 6.2, 3.6, 2.4

Floats = npt.NDArray[np.float32]


def every(size: int) -> int:
    """Return of how many units of a file one is remembered in its casts: all of a small one, few of a large one."""
    return next((count for most, count in _UNITS if size <= most), SPARSEST)


def unit(size: int) -> int:
    """Return the bytes of a file whose casts are remembered together: small and many find more than large and few."""
    return _SMALL_UNIT if every(size) == SPARSEST else _UNIT


def spacing(size: int) -> int:
    """Return the spacing of anchors in casts: narrower where few units are remembered."""
    return _DENSE if every(size) == SPARSEST else anchors.spacing(size)


def guess(data: Bytes) -> tuple[str, int] | None:
    """Return the kind of a piece's values and the byte at which one begins, None if they are not of these kinds.

    Sign and exponent of trained values vary little and their last bits much, so the bytes of each column tell.
    """
    sample = data[: min(len(data), _SAMPLE) // 4 * 4].reshape(-1, 4)
    if len(sample) < _FEWEST:
        return None
    # All four columns in one go: the values of each get numbers of their own.
    columns = np.bincount((sample + _COLUMNS).ravel(), minlength=1024).reshape(4, 256)
    spread = _entropy(columns)
    for last in range(4):
        if _is_single(spread, last):
            return "f32", (last + 1) % 4
    for last in (1, 0):
        if all(0.3 < spread[at] < _SPREAD and spread[at - 1] > _FULL for at in (last, last + 2)):
            both = columns[last] + columns[last + 2]
            (octaves,) = _entropy(both[np.newaxis, :128] + both[np.newaxis, 128:])
            return ("bf16" if octaves < _OCTAVES else "f16"), (last + 1) % 2
    return None


def _is_single(spread: list[float], last: int) -> bool:
    """Whether one column in four holds the exponents: the next is full, the others are full or empty alike."""
    if not (0.3 < spread[last] < _NARROW and spread[last - 1] > 6.0):
        return False
    low = spread[last - 2], spread[last - 3]
    return all(value > _FULL for value in low) or (low[1] < 0.1 and (low[0] < 0.1 or low[0] > 1.5))


def _entropy(counts: npt.NDArray[np.intp]) -> list[float]:
    """Return the bits that a value of each row's distribution tells."""
    total = int(counts[0].sum())
    told = _TELLS.take(counts).sum(axis=1)
    spread: list[float] = (np.log2(total) - told / total).tolist()
    return spread


def aligned(data: Bytes, kind: str, start: int) -> Bytes:
    """Return the whole values of a piece, of which the first begins at ``start``."""
    width = WIDTH[kind]
    return data[start : start + (len(data) - start) // width * width]


def retyped(data: Bytes, kind: str) -> dict[str, Bytes]:
    """Return whole values as their bytes are in each of the other kinds, rounded to the nearest."""
    if WIDTH[kind] == 2:
        numbers = np.frombuffer(data, "<u2")
        return {other: table.take(numbers).view(np.uint8) for other, table in _tables(kind).items()}
    return _rounded(np.frombuffer(data, "<f4"), kind)


@cache
def _tables(kind: str) -> dict[str, npt.NDArray[Any]]:
    """Return what each value of two bytes is in the other kinds: to look it up is quicker than to round it."""
    every = np.arange(2**16, dtype="<u2")
    values = every.view("<f2").astype("<f4") if kind == "f16" else (every.astype("<u4") << np.uint32(16)).view("<f4")
    made = _rounded(values, kind)
    return {other: data.view("<u2" if WIDTH[other] == 2 else "<u4") for other, data in made.items()}


def _rounded(values: Floats, kind: str) -> dict[str, Bytes]:
    with np.errstate(all="ignore"):  # hostile bytes may be values that overflow, or are none
        return {other: _written(values, other) for other in KINDS if other != kind}


def _written(values: Floats, kind: str) -> Bytes:
    if kind == "f32":
        return np.ascontiguousarray(values).view(np.uint8)
    if kind == "f16":
        return np.ascontiguousarray(values.astype("<f2")).view(np.uint8)
    bits = values.view("<u4")
    even = (bits >> np.uint32(16)) & np.uint32(1)
    rounded = ((bits + even + np.uint32(0x7FFF)) >> np.uint32(16)).astype("<u2")
    return np.ascontiguousarray(rounded).view(np.uint8)
