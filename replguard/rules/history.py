"""The matches that a correlation still needs, found by what they join by; bounded."""

import math
from collections.abc import Iterable

from replguard.rules.matches import Key, Match

LIMIT = 8192
"""Matches, and partial sequences, that one correlation keeps; the oldest are evicted and counted."""
COMPONENT = 512
"""Joined matches that are looked at together."""
TOLERANCE = 600.0
"""Seconds that an event may come late and still take its place in the order."""


class History:
    """Matches by key, oldest first. Everything older than ``expire`` says is forgotten."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._by_key: dict[Key, dict[int, Match]] = {}
        self._all: dict[int, Match] = {}
        self._limit = limit
        self._oldest = math.inf
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._all)

    def add(self, match: Match) -> None:
        """Remember a match; past the limit the one remembered longest is evicted."""
        self._all[id(match)] = match
        self._oldest = min(self._oldest, match.time)
        for key in match.keys:
            self._by_key.setdefault(key, {})[id(match)] = match
        if len(self._all) > self._limit:
            self.drop([next(iter(self._all.values()))])
            self.evicted += 1

    def drop(self, matches: Iterable[Match]) -> None:
        """Forget matches."""
        for match in matches:
            if self._all.pop(id(match), None) is None:
                continue
            for key in match.keys:
                held = self._by_key[key]
                del held[id(match)]
                if not held:
                    del self._by_key[key]

    def joined(self, match: Match, hops: int) -> list[Match]:
        """Return the matches that share a key with this one, or with one that does, and so on for ``hops`` steps.

        In order of event time, this one included, no more than ``COMPONENT`` of them.
        """
        found = {id(match): match}
        edge: list[Match] = [match]
        seen: set[Key] = set()
        for _ in range(hops):
            keys = {key: None for one in edge for key in one.keys if key not in seen}
            seen.update(keys)
            edge = []
            for key in keys:
                for one in reversed(self._by_key.get(key, {}).values()):
                    if len(found) >= COMPONENT:
                        break
                    if id(one) not in found:
                        found[id(one)] = one
                        edge.append(one)
            if not edge:
                break
        return sorted(found.values(), key=lambda one: one.order)

    def expire(self, before: float) -> None:
        """Forget the matches of events before a time; where none can be so old, none is looked at."""
        if self._oldest < before:
            self.drop([match for match in self._all.values() if match.time < before])
            self._oldest = min((match.time for match in self._all.values()), default=math.inf)
