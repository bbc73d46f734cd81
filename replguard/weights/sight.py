"""What one index recognises in one file: anchors are counted as pieces come, and judged at the end."""

import numpy as np

from replguard.weights import anchors
from replguard.weights.anchors import SPACINGS, Bytes, Scheme, Words
from replguard.weights.table import Table

TESTED = 2048
"""Anchors of a file of which is looked whether they are evidence; of more the rest is reckoned from these."""
THIN = 0.6
"""Part of the anchors to be expected below which content counts by them, and not by its bytes: the rest is filling."""
_TOGETHER = 64
_MANY = 8192
_NONE = np.empty(0, np.uint64)


class Sight:
    """Anchors of one file, as a scheme finds them, and the streams of a table that have the same."""

    def __init__(self, scheme: Scheme, table: Table, finest: int, expected: int, *, text: bool) -> None:
        """``expected`` is the bytes that will be looked at; ``finest`` the narrowest spacing in the table."""
        self._scheme, self._table, self._text = scheme, table, text
        self._most = anchors.ceiling(finest)
        tested = next((wide for wide in reversed(SPACINGS) if wide * TESTED >= expected), SPACINGS[0])
        self._tested = anchors.ceiling(max(tested, finest))
        self._spacing = max(tested, finest)
        self._fresh: list[tuple[Bytes, Words]] = []
        self._waiting = 0
        self._evidence: list[Words] = []
        self._all: list[Words] = []
        self._found: dict[int, list[int]] = {}
        self.looked = 0

    def look(self, data: Bytes) -> None:
        """Take in a piece of the file, of a MiB and its reach at most."""
        self.looked += max(0, len(data) - anchors.REACH + 1)
        places, sums = self._scheme.find(data, self._most)
        self._fresh.append((anchors.blocks(data, places), sums))
        self._waiting += len(places)
        if len(self._fresh) >= _TOGETHER or self._waiting >= _MANY:
            self._recognise()

    @property
    def found(self) -> dict[int, list[int]]:
        """The entries that were recognised, each with the numbers of the streams that have it."""
        self._recognise()
        return self._found

    def _recognise(self) -> None:
        """Take in the anchors of the last pieces: to try many together is as cheap as one."""
        if not self._fresh:
            return
        rows, sums = (np.concatenate(parts) for parts in zip(*self._fresh, strict=True))
        self._fresh, self._waiting = [], 0
        tested = np.flatnonzero(sums <= self._tested)
        self._evidence.append(sums[tested[anchors.tell(rows[tested], text=self._text)]])
        self._all.append(sums)
        known = self._table.may_hold(self._scheme.heads(rows))
        if known.any():
            self._found |= self._table.owners(self._scheme.entries(rows[known]))

    def anchors(self, spacing: int) -> int:
        """Return how many anchors of a spacing were seen that are evidence, each once."""
        self._recognise()
        evidence, most = np.unique(np.concatenate([_NONE, *self._evidence])), anchors.ceiling(spacing)
        if most <= self._tested:
            return int((evidence <= most).sum())
        every = np.unique(np.concatenate([_NONE, *self._all]))
        tested = int((every <= self._tested).sum())
        return round(int((every <= most).sum()) * len(evidence) / tested) if tested else 0

    def filled(self) -> float:
        """Return the part (0..1) of what was looked at that has anchors as dense as trained values."""
        dense = self.anchors(self._spacing) * self._spacing / max(1, self.looked)
        return 1.0 if dense >= THIN else dense
