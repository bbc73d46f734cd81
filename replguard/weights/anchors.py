"""Anchors: places that content chooses by itself, so that every copy has the same, at whatever byte it begins."""

import numpy as np
import numpy.typing as npt
from blake3 import blake3

PIECE = 2**20
"""Bytes that are looked at in one go: what fits the cache of a core, with the steps in between."""
REACH = 64
"""Bytes of an anchor: twelve choose it, all 64 are hashed into its entry."""
CHECK = 3
"""Bytes of that hash in an entry."""
SPACINGS = (98304, 24576, 6144, 1536, 256)
"""Bytes from anchor to anchor on average; a wider spacing takes a subset of the anchors of a narrower one."""
DISTINCT = 12
"""Byte values that an anchor must have at least to be evidence; fewer are masks, padding and zeros."""
ENOUGH = 256
"""Anchors of a file from which the next wider spacing will do."""
_OFFSETS = np.arange(REACH)
_PASSES = 256  # of so many offsets one passes the first stage
_PERIODS = range(DISTINCT, 33)
_FLOOD = 64
_WORDS = 3
_REST = bytes(4 - CHECK)
_ATTEMPTS = 64
_SPREAD = (0.7, 1.4)

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint64]
Places = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]


def spacing(size: int) -> int:
    """Return the spacing of a protected file: the widest that leaves 256 anchors, the narrowest for small ones."""
    return next((wide for wide in SPACINGS if size >= wide * ENOUGH), SPACINGS[-1])


def ceiling(wide: int) -> np.uint64:
    """Return the greatest sum of an anchor at a spacing."""
    return np.uint64(2**64 * _PASSES // max(wide, _PASSES) - 1)


class Scheme:
    """How one install chooses and hashes anchors: all of it follows from its key. Not safe for threads."""

    def __init__(self, key: bytes) -> None:
        self.key = key
        self._hasher = blake3(key=key)
        self._buffers = [np.empty(PIECE + REACH, np.uint8) for _ in range(2)]
        self._passed = np.empty(PIECE + REACH, np.bool_)
        for attempt in range(_ATTEMPTS):
            self._derive(attempt)
            if self._even():
                return

    def _derive(self, attempt: int) -> None:
        drawn = blake3(b"anchors %d" % attempt, key=self.key).digest(length=40)
        self._a, self._b = np.uint8(drawn[0] | 1), np.uint8(drawn[1] | 1)
        self._c = np.uint8(drawn[2] or 1)  # never 0, which is what zeros give
        self._factors = np.frombuffer(drawn[8:40], "<u8").astype(np.uint64) | np.uint64(1)

    def _even(self) -> bool:
        """Whether anchors are as dense as they should be in values of every width, and in noise."""
        chance = np.random.default_rng(1)
        values = chance.normal(0, 0.02, 2**17).astype("<f4")
        short = values.view("<u4") >> np.uint32(16)
        samples = (
            chance.integers(0, 256, 2**18, np.uint8),
            values.view(np.uint8),
            short.astype("<u2").view(np.uint8),
            values.astype("<f2").view(np.uint8),
        )
        low, high = _SPREAD
        return all(low < len(self._candidates(data, len(data))) * _PASSES / len(data) < high for data in samples)

    def find(self, data: Bytes, most: np.uint64) -> tuple[Places, Words]:
        """Return where the anchors begin whose sum is at most ``most``, and the sums; of a MiB and its reach.

        What lies at the end and is shorter than an anchor is left to the piece that begins there.
        """
        count = min(len(data) - REACH + 1, PIECE)
        if count <= 0:
            return np.empty(0, np.intp), np.empty(0, np.uint64)
        places, sums = self._sum(data, self._candidates(data, count), most)
        if len(places) * _FLOOD > count:
            # A pattern that repeats: each of its anchors once is enough.
            sums, first = np.unique(sums, return_index=True)
            places = places[first]
        return places, sums

    def _candidates(self, data: Bytes, count: int) -> Places:
        """Stage 1, on every byte: products and sums modulo 256, of which one in 256 comes out right."""
        count = min(count, len(data) - 3)
        first, second = self._buffers[0][: count + 2], self._buffers[1][:count]
        np.multiply(data[: count + 2], self._a, out=first)
        np.add(first, data[1 : count + 3], out=first)
        np.multiply(first[:count], self._b, out=second)
        np.add(second, first[2:], out=second)
        places = _set(np.equal(second, self._c, out=self._passed[:count]))
        if len(places) * _FLOOD > count:
            # One byte value over and over: only where it begins.
            places = places[np.diff(places, prepend=-2) > 1]
        return places

    def _sum(self, data: Bytes, places: Places, most: np.uint64) -> tuple[Places, Words]:
        """Stage 2, on the candidates: a keyed sum of the next eight bytes; where it is low enough is an anchor."""
        sums = np.ndarray((len(data) - 7,), "<u8", data, 0, (1,))[places + 4]
        sums *= self._factors[0]
        chosen = np.flatnonzero(sums <= most)
        return places[chosen], sums[chosen]

    def heads(self, rows: Bytes) -> Words:
        """Return the upper halves of entries: a keyed hash of 24 bytes in 32 bits, above 32 zeros."""
        words = np.ascontiguousarray(rows[:, : 8 * _WORDS]).view("<u8")
        mixed: Words = (words * self._factors[1 : _WORDS + 1]).sum(axis=1, dtype=np.uint64)
        mixed ^= mixed >> np.uint64(29)
        mixed *= self._factors[0]
        mixed ^= mixed >> np.uint64(32)
        return mixed << np.uint64(32)

    def entries(self, rows: Bytes) -> Words:
        """Return the entries of anchors: below the head, 24 bits of a keyed BLAKE3 of all their bytes.

        That half takes the key: without it, nobody can make a stranger's file match.
        """
        raw, checks = rows.tobytes(), bytearray()
        for at in range(0, len(raw), REACH):
            hasher = self._hasher.copy()  # cheaper than to begin one
            hasher.update(raw[at : at + REACH])
            checks += hasher.digest(length=CHECK) + _REST
        entries: Words = self.heads(rows) | np.frombuffer(checks, "<u4")
        return entries


def _set(flags: Mask) -> Places:
    """Return where flags are set, that are few: eight at a time are looked at, which halves the time."""
    whole = len(flags) // 8 * 8
    eights = flags[:whole].view(np.uint64)
    places = np.flatnonzero(eights != 0)
    bits = np.flatnonzero(eights[places].view(np.bool_))
    found = places[bits >> 3]
    found <<= 3
    bits &= 7
    found += bits
    rest = np.flatnonzero(flags[whole:])
    return np.concatenate((found, rest + whole)) if len(rest) else found


def blocks(data: Bytes, places: Places) -> Bytes:
    """Return the bytes of anchors, one a row."""
    rows: Bytes = data[places[:, np.newaxis] + _OFFSETS]
    return rows


def tell(rows: Bytes, *, text: bool) -> Mask:
    """Say which anchors are evidence: of enough byte values, no short period, and no text unless asked for.

    Many at once cost little more than one.
    """
    ordered = np.sort(rows, axis=1)
    distinct = (ordered[:, 1:] != ordered[:, :-1]).sum(axis=1) + 1
    good: Mask = distinct >= DISTINCT
    if not text:
        good &= ordered[:, -1] >= 128
    # What repeats has no more values than its period is long.
    few = np.flatnonzero(good & (distinct < _PERIODS.stop))
    rows = rows[few]
    for period in _PERIODS if len(few) else ():
        good[few] &= (rows[:, period:] != rows[:, :-period]).any(axis=1)
    return good
