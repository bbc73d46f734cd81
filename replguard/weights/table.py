"""The entries of all anchors, sorted, and whose they are: looked up for a thousand anchors at once."""

from collections import defaultdict

import numpy as np
import numpy.typing as npt

from replguard.weights.anchors import Mask, Places, Words

Owners = npt.NDArray[np.uint32]
_HEAD = np.uint64(0xFFFFFFFF00000000)


class Table:
    """Pairs of (entry, number of a stream) in arrays that are merged as they grow, like a log-structured tree.

    Adding never costs more than what was added since costs together, and each pair takes 12 bytes.
    """

    def __init__(self) -> None:
        self._levels: list[tuple[Words, Owners]] = []
        self._gone: set[int] = set()

    def __len__(self) -> int:
        return sum(len(keys) for keys, _ in self._levels)

    def add(self, number: int, keys: Words) -> None:
        """Take in the sorted entries of a stream."""
        if not len(keys):
            return
        self._levels.append((keys, np.full(len(keys), number, np.uint32)))
        while len(self._levels) > 1 and len(self._levels[-1][0]) * 2 >= len(self._levels[-2][0]):
            self._levels[-2:] = [self._merged(*self._levels[-2:])]

    def remove(self, number: int) -> None:
        """Forget a stream; its entries go with the next merge."""
        self._gone.add(number)
        if len(self._gone) > 64:
            self._levels = [self._merged(level) for level in self._levels]
            self._gone.clear()

    def _merged(self, *levels: tuple[Words, Owners]) -> tuple[Words, Owners]:
        keys = np.concatenate([level[0] for level in levels])
        owners = np.concatenate([level[1] for level in levels])
        if self._gone:
            alive = ~np.isin(owners, list(self._gone))
            keys, owners = keys[alive], owners[alive]
        order = np.argsort(keys, kind="stable")
        return keys[order], owners[order]

    def may_hold(self, heads: Words) -> Mask:
        """Say for which heads, the upper halves of entries, there is any entry."""
        found = np.zeros(len(heads), np.bool_)
        for keys, _ in self._levels:
            at = np.searchsorted(keys, heads)
            at[at == len(keys)] = 0
            if len(keys):
                found |= keys[at] & _HEAD == heads
        return found

    def owners(self, wanted: Words) -> dict[int, list[int]]:
        """Return those of the entries that there are, with the numbers of the streams that have them."""
        found: defaultdict[int, list[int]] = defaultdict(list)
        for keys, owners in self._levels:
            first, last = np.searchsorted(keys, wanted, "left"), np.searchsorted(keys, wanted, "right")
            for at in np.flatnonzero(first < last).tolist():
                found[int(wanted[at])] += [
                    owner for owner in owners[first[at] : last[at]].tolist() if owner not in self._gone
                ]
        return {key: numbers for key, numbers in found.items() if numbers}

    def of(self, number: int) -> Words:
        """Return the entries of one stream, in order."""
        parts = [keys[owners == number] for keys, owners in self._levels]
        return np.sort(np.concatenate([np.empty(0, np.uint64), *parts]))

    def by_owner(self) -> dict[int, Words]:
        """Return the entries of every stream, in order."""
        keys, owners = self._merged(*self._levels) if self._levels else (np.empty(0, np.uint64), np.empty(0, np.uint32))
        order: Places = np.argsort(owners, kind="stable")
        keys, owners = keys[order], owners[order]
        numbers, first = np.unique(owners, return_index=True)
        return dict(zip(numbers.tolist(), np.split(keys, first[1:]), strict=True)) if len(numbers) else {}
