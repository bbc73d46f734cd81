"""The index of all fingerprints: tells whether a file, or a part of it, is content of a protected one."""

import os
from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator
from heapq import merge
from random import Random

from replguard.events import clock
from replguard.weights import blocks
from replguard.weights.fingerprint import FOREIGN, Fingerprint, Match
from replguard.weights.reading import BLOCK, Reader

NEEDED = 3
"""Hits at one and the same shift before blocks count as a match; a 64-bit hash alone hits a stranger in 2**64."""
COMMON = 2
"""Models that may share a block; one in more of them tells nothing, unless the file consists of such blocks."""
MOST_MATCHES = 16
WINDOWS = 64
WINDOW = 64 * 2**10
"""Bytes of a window; 64 of them and the grid are the 8 MiB that one examination reads at most."""
PATIENCE = 2.0
"""Seconds after which a slow disk gets no finer grid; coarser samples still estimate the share."""
_SHIFTS = 4
_FEW = 16

Table = tuple["array[int]", "array[int]"]
Hits = dict[int, Counter[int]]


class Index:
    """Fingerprints made with one key, and the lookup over their hashes.

    Tables of (hash, file) are sorted and merged like a log-structured tree: adding a file never costs more than
    the files added since cost together, and 12 bytes a block are kept twice at most.
    """

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.files: list[Fingerprint | None] = []
        self._numbers: dict[tuple[int, int], int] = {}
        self._tables: list[Table] = []
        self._sizes: dict[int, list[int]] = defaultdict(list)
        self._shared: dict[int, frozenset[int]] = {}

    def __iter__(self) -> Iterator[Fingerprint]:
        return (file for file in self.files if file is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def get(self, key: tuple[int, int]) -> Fingerprint | None:
        """Return the fingerprint of the file with this (device, inode)."""
        number = self._numbers.get(key)
        return None if number is None else self.files[number]

    def add(self, fingerprint: Fingerprint) -> None:
        """Take a fingerprint in, in place of an older one of the same inode."""
        self.remove(fingerprint.target.key)
        number = len(self.files)
        self.files.append(fingerprint)
        self._numbers[fingerprint.target.key] = number
        self._sizes[fingerprint.target.size].append(number)
        hashes = _unpack("Q", fingerprint.hashes)
        self._push((hashes, array("I", [number]) * len(hashes)))
        self._shared.clear()

    def remove(self, key: tuple[int, int]) -> None:
        """Forget the file with this (device, inode), if it is known."""
        number = self._numbers.pop(key, None)
        file = None if number is None else self.files[number]
        if number is None or file is None:
            return
        self.files[number] = None
        self._sizes[file.target.size].remove(number)
        self._shared.clear()

    def _push(self, table: Table) -> None:
        self._tables.append(table)
        while len(self._tables) > 1 and len(self._tables[-1][0]) * 2 >= len(self._tables[-2][0]):
            pairs = merge(*(zip(*t, strict=True) for t in self._tables[-2:]))
            hashes, numbers = array("Q"), array("I")
            for value, number in pairs:
                if self.files[number] is not None:
                    hashes.append(value)
                    numbers.append(number)
            self._tables[-2:] = [(hashes, numbers)]

    def _with(self, value: int) -> set[int]:
        """Return the numbers of the files that hold a block of this hash."""
        found: set[int] = set()
        for hashes, numbers in self._tables:
            at = bisect_left(hashes, value)
            while at < len(hashes) and hashes[at] == value:
                found.add(numbers[at])
                at += 1
        return {number for number in found if self.files[number] is not None} if found else found

    def sample(self, reader: Reader) -> list[Match]:
        """Return what protected content a file holds, the largest share first. Raises OSError.

        Reads at most 8 MiB: first the file's own grid, coarse to fine; then, if that found nothing, windows in which
        content that was moved by a multiple of 4 KiB is found as well. Only for a file of the exact size of a
        protected one that has hardly a telling block, up to 4 MiB more are compared.
        """
        if not self._numbers:
            return []
        hits: Hits = defaultdict(Counter)
        seen: set[int] = set()
        extents = reader.extents()
        self._grid(reader, extents, hits, seen)
        if not any(count >= NEEDED for shifts in hits.values() for count in shifts.values()):
            self._collect(reader, _windows(reader, extents), hits, seen)
        matches = [match for number, shifts in hits.items() if (match := self._judge(number, shifts, seen, reader))]
        matches += self._same_whole(reader, {match.path for match in matches})
        matches.sort(key=lambda match: (-match.share, not match.current, match.path))
        return matches[:MOST_MATCHES]

    def _grid(self, reader: Reader, extents: list[tuple[int, int]], hits: Hits, seen: set[int]) -> None:
        width = blocks.step(sum(end - start for start, end in extents))
        started = clock.monotonic()
        for level in (width * 16, width * 4, width) if width > BLOCK else (width,):
            self._collect(reader, blocks.positions(extents, level, reader.size), hits, seen)
            if clock.monotonic() - started > PATIENCE:
                break

    def _collect(self, reader: Reader, offsets: Iterator[int], hits: Hits, seen: set[int]) -> None:
        wanted = (offset for offset in offsets if offset // BLOCK not in seen)
        for offset, block in blocks.read(reader, wanted):
            place = offset // BLOCK
            seen.add(place)
            value = blocks.digest(block, self.key)
            for number in self._with(value):
                for origin in self._places(number, value):
                    hits[number][place - origin] += 1

    def _places(self, number: int, value: int) -> list[int]:
        file = self.files[number]
        if file is None or value in self._common(number):
            return []
        hashes = memoryview(file.hashes).cast("Q")
        places = memoryview(file.places).cast("I")
        at = bisect_left(hashes, value)
        found = []
        while at < len(hashes) and hashes[at] == value:
            found.append(places[at])
            at += 1
        return found

    def _common(self, number: int) -> frozenset[int]:
        """Return the hashes of a file that too many models share, unless more than half of it is such."""
        if number not in self._shared:
            file = self.files[number]
            hashes = _unpack("Q", file.hashes) if file else array("Q")
            common = frozenset(value for value in hashes if self._models(value) > COMMON)
            self._shared[number] = common if len(common) * 2 <= len(hashes) else frozenset()
        return self._shared[number]

    def _models(self, value: int) -> int:
        """Return how many different models hold a block; files of the same content count as one."""
        numbers = self._with(value)
        if len(numbers) <= COMMON:
            return len(numbers)
        alike: dict[bytes, str] = {}
        models = set()
        for number in sorted(numbers):
            file = self.files[number]
            if file is not None:
                models.add(alike.setdefault(file.identity or file.hashes[:64], file.target.model))
        return len(models)

    def _judge(self, number: int, shifts: Counter[int], seen: set[int], reader: Reader) -> Match | None:
        file = self.files[number]
        best = [(shift, count) for shift, count in shifts.most_common(_SHIFTS) if count >= NEEDED]
        if file is None or not best:
            return None
        common = self._common(number)
        kept = [
            place
            for value, place in zip(_unpack("Q", file.hashes), _unpack("I", file.places), strict=True)
            if value not in common
        ]
        end = reader.size // BLOCK
        share, found, looked = 0.0, 0, 0
        for shift, count in best:
            covered = sum(1 for place in kept if place + shift in seen)
            inside = sum(1 for place in kept if 0 <= place + shift < end)
            if covered:
                share += count / covered * inside / len(kept)
                found, looked = found + count, looked + covered
        return _match(file, min(1.0, share), found, looked)

    def _same_whole(self, reader: Reader, known: set[str]) -> list[Match]:
        """Return protected files of the same size and digest that blocks did not tell (tiny or of little entropy)."""
        files = [file for number in self._sizes.get(reader.size, ()) if (file := self.files[number])]
        files = [file for file in files if file.identity and _is_poor(file) and file.target.path not in known]
        if not files:
            return []
        whole = blocks.identity(reader, self.key)
        count = max(1, min(blocks.GRID, reader.size // BLOCK))
        return [_match(file, 1.0, count, count) for file in files if file.identity == whole]


def _match(file: Fingerprint, share: float, hits: int, samples: int) -> Match:
    target = file.target
    here = target.device != FOREIGN
    return Match(
        model=target.model,
        path=target.path,
        device=target.device if here else None,
        inode=target.inode if here else None,
        share=round(share, 4),
        hits=hits,
        samples=samples,
        size=target.size,
        scaffold=target.scaffold,
        current=file.current,
    )


def _is_poor(file: Fingerprint) -> bool:
    """Whether so few blocks of a file tell anything that a copy of it might give no hits."""
    return file.entries < _FEW or file.entries * file.width * 4 < file.target.size


def _windows(reader: Reader, extents: list[tuple[int, int]]) -> Iterator[int]:
    """Return block offsets of 64 windows, one at a place that cannot be foretold in each 64th of the data."""
    chance = Random(int.from_bytes(os.urandom(8), "little"))  # noqa: S311 - only the seed must be unknown
    total = sum(end - start for start, end in extents)
    stratum = max(WINDOW, total // WINDOWS)
    done = 0
    for start, end in extents:
        first = start + (-done % stratum)
        for base in range(first, end, stratum):
            at = base + chance.randrange(max(1, (stratum - WINDOW) // BLOCK)) * BLOCK
            at = -(-min(at, max(start, end - WINDOW)) // BLOCK) * BLOCK
            yield from range(at, min(at + WINDOW, reader.size - BLOCK + 1), BLOCK)
        done += end - start


def _unpack(code: str, data: bytes) -> "array[int]":
    values: array[int] = array(code)
    values.frombytes(data)
    return values
