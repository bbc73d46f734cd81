"""A bounded memory in fair shares: who fills it pushes out what is its own, and nobody else's."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from itertools import islice
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Fair(Generic[Key, Value]):
    """Values by key, each with an owner. Full, it forgets the oldest of the owner who has most, and counts that.

    Owners are kept by how many values they have, so that finding the largest costs nothing, however many there are.
    """

    def __init__(self, most: int, let_go: Callable[[Value], object] | None = None) -> None:
        """``let_go`` is given each value that is forgotten for want of room."""
        self._most = most
        self._let_go = let_go
        self._values: dict[Key, tuple[Hashable, Value]] = {}
        self._shares: dict[Hashable, OrderedDict[Key, None]] = {}
        self._sized: dict[int, dict[Hashable, None]] = {}
        self._largest = 0
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def values(self) -> Iterator[Value]:
        """Yield all values."""
        for _, value in list(self._values.values()):
            yield value

    def shares(self) -> list[tuple[Key, Value, Hashable]]:
        """Return all keys with their values and owners, the oldest first."""
        return [(key, value, owner) for key, (owner, value) in self._values.items()]

    def oldest(self, most: int) -> list[tuple[Key, Value]]:
        """Return what was put longest ago, with its keys, the oldest first."""
        return [(key, value) for key, (_, value) in islice(self._values.items(), most)]

    def get(self, key: Key) -> Value | None:
        """Return the value of a key, None if it has none."""
        found = self._values.get(key)
        return None if found is None else found[1]

    def owner(self, key: Key) -> Hashable | None:
        """Return whose a key is, None if it has no value."""
        found = self._values.get(key)
        return None if found is None else found[0]

    def of(self, owner: Hashable, most: int) -> list[Value]:
        """Return what an owner put last, the newest first."""
        keys = islice(reversed(self._shares.get(owner, OrderedDict())), most)
        return [self._values[key][1] for key in keys]

    def disown(self, owner: Hashable) -> int:
        """Forget all that is an owner's; return how much that was."""
        keys = list(self._shares.get(owner, ()))
        for key in keys:
            self.pop(key)
        return len(keys)

    def put(self, key: Key, value: Value, owner: Hashable) -> None:
        """Remember a value as the newest of its owner's, in place of the key's former one."""
        self.pop(key)
        self._values[key] = (owner, value)
        share = self._shares.setdefault(owner, OrderedDict())
        share[key] = None
        self._resize(owner, len(share) - 1, len(share))
        while len(self._values) > self._most:
            first = next(iter(self._sized[self._largest]))
            gone = self._values[oldest := next(iter(self._shares[first]))][1]
            self.pop(oldest)
            self.evicted += 1
            if self._let_go is not None:
                self._let_go(gone)

    def pop(self, key: Key) -> Value | None:
        """Forget a key; return its value, None if it has none."""
        if key not in self._values:
            return None
        owner, value = self._values.pop(key)
        share = self._shares[owner]
        del share[key]
        self._resize(owner, len(share) + 1, len(share))
        if not share:
            del self._shares[owner]
        return value

    def _resize(self, owner: Hashable, before: int, after: int) -> None:
        """Note how many values an owner has now."""
        if before:
            alike = self._sized[before]
            del alike[owner]
            if not alike:
                del self._sized[before]
        if after:
            self._sized.setdefault(after, {})[owner] = None
        self._largest = max(self._largest, after)
        while self._largest and self._largest not in self._sized:
            self._largest -= 1
