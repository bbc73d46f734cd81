"""Many expressions looked for in one pass over a text, by RE2."""

from collections.abc import Iterable, Sequence

import re2  # type: ignore[import-untyped]


def options() -> re2.Options:
    """Return how RE2 is to search: it tells whether, and not where."""
    found = re2.Options()
    found.log_errors = False
    found.never_capture = True
    return found


class Scan:
    """A set of expressions as RE2 writes them. ``known`` are the numbers of those that it looks for.

    Not among them is what RE2 does not know; none is, where all together take more than ``memory`` bytes.
    """

    def __init__(self, sources: Iterable[str], memory: int) -> None:
        how = options()
        how.max_mem = memory
        self._set = re2.Set.SearchSet(how)
        taken = [self._takes(source) for source in sources]
        self._numbers = [number for number, takes in enumerate(taken) if takes]
        self._is_whole = all(taken)
        try:
            self._set.Compile()
        except re2.error:
            self._numbers = []
        self.known = frozenset(self._numbers)

    def _takes(self, source: str) -> bool:
        try:
            self._set.Add(source)
        except (re2.error, UnicodeEncodeError):
            return False
        return True

    def found(self, data: bytes) -> Sequence[int]:
        """Return the numbers of the expressions that are found in a text, in UTF-8."""
        found: list[int] = self._set.Match(data) or []
        return found if self._is_whole else [self._numbers[place] for place in found]
