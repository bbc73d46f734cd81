"""What processes read of watched files between the kernel's marks: told all the same, for many may read one in parts.

The kernel adds up by process; provenance adds up the processes of one actor. A look at a file's head stays silent.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from replguard.kernel.bpf.volume import Amount

HEAD = 1 << 20
"""Bytes at a file's beginning that anybody may look at (meanings: Touched)."""
PART = 64 << 10
"""The same, where it is not the beginning alone that was read: an archive has its list of contents at its end."""
STEPS, AT_REST = 10, 100
"""Parts of a file of which each is told, once reading came to the first mark: the kernel's own marks lie far apart.
Smaller ones when nothing more is read: then it is told how far it came."""
RESTS = 5
"""Sweeps without growth after which it is asked whether the process has ended, and again after each as many."""

Key = tuple[int, int, int]
"""Process, number of the file, kind of the amount."""


class Mark(NamedTuple):
    """Of a file the bytes at which the kernel itself tells first, which 64ths of it hold its head, and its size."""

    touch: int
    head: int
    size: int


_NONE = Mark(0, 0, 0)


def mark(touch: int, size: int) -> Mark:
    """Return the mark of a file of a size in bytes."""
    return Mark(touch, (1 << min(64, (HEAD * 64 - 1) // max(size, 1) + 1)) - 1, size)


@dataclass(slots=True)
class _Entry:
    start: int
    seen: int = 0
    told: int = 0
    rested: int = 0


class Rests:
    """The kernel's sums of reading, as they were seen last. ``evicted``: how many gave way to others in the kernel.

    ``note`` is called with how much was told of one by now, and the start of its process.
    """

    def __init__(self, note: Callable[[Key, int, int], None] = lambda _, __, ___: None) -> None:
        self._note = note
        self._entries: dict[Key, _Entry] = {}
        self.evicted = 0

    def told(self, amount: Amount) -> None:
        """Take note of what the kernel itself told."""
        key = (amount.pid, amount.slot, amount.kind)
        entry = self._entries.get(key)
        if entry is None or entry.start != amount.start:
            entry = self._entries[key] = _Entry(amount.start)
        entry.told = max(entry.told, amount.bytes)
        self._note(key, entry.start, entry.told)

    def sweep(self, amounts: Iterable[Amount], files: Mapping[int, Mark]) -> Iterator[Amount]:
        """Take all of the kernel's sums and yield those to tell, of these files."""
        before, self._entries = self._entries, {}
        for amount in amounts:
            key = (amount.pid, amount.slot, amount.kind)
            entry = before.pop(key, None)
            if entry is None or entry.start != amount.start or amount.bytes < entry.seen:
                entry = _Entry(amount.start)
            self._entries[key] = entry
            entry.rested = entry.rested + 1 if amount.bytes == entry.seen else 0
            entry.seen = amount.bytes
            mark = files.get(amount.slot, _NONE)
            silent = PART if amount.coverage & ~mark.head else HEAD
            if amount.bytes >= mark.touch:
                silent = max(PART, mark.size // (AT_REST if entry.rested else STEPS))
            if amount.bytes - entry.told > silent and amount.bytes <= mark.size:
                entry.told = amount.bytes
                self._note(key, entry.start, entry.told)
                yield amount
        self.evicted = len(before)

    def resting(self) -> list[Key]:
        """Return those that have not grown for a while, every few sweeps."""
        return [key for key, entry in self._entries.items() if entry.rested and entry.rested % RESTS == 0]

    def forget(self, key: Key) -> None:
        """Take note that the kernel's sum is removed."""
        self._entries.pop(key, None)
