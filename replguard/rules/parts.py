"""The texts that rules look for inside one field, and which of them the index has found in a long value."""

from collections.abc import Iterable


class Parts:
    """The texts of one field by number, and the numbers of those inside of the long value that was looked at last.

    A value that was made to hold many is gone through once for all of them, before rules are held against it: a search
    for each takes as long.
    """

    __slots__ = ("inside", "texts", "value")

    def __init__(self) -> None:
        self.texts: dict[str, int] = {}
        self.value: str | None = None
        self.inside: frozenset[int] = frozenset()

    def numbers(self, texts: Iterable[str]) -> frozenset[int]:
        """Return the numbers of some texts; new ones get one."""
        return frozenset([self.texts.setdefault(text, len(self.texts)) for text in texts])
