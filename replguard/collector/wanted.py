"""Which names of files the rules ask for, as the analyser says: a host makes thousands a second that none can match."""

from collections.abc import Iterable
from typing import Any

import re2  # type: ignore[import-untyped]

MEMORY = 64 * 2**20
"""Bytes that the search may take; beyond them every name is wanted."""


class Wants:
    """``signs`` are folded texts and where in a path they are: all of it, its last part, or anywhere.

    None wants every name. Where a rule asks for words, a text that is part of one is wanted as well: the rule decides.
    """

    def __init__(self, signs: Iterable[tuple[str, str]] | None = None) -> None:
        self._every = signs is None
        self._whole: set[str] = set()
        self._last: set[str] = set()
        inside: set[str] = set()
        for place, text in signs or ():
            {"whole": self._whole, "last": self._last}.get(place, inside).add(text)
        self._inside = self._search(inside) if inside else None

    def __call__(self, path: str) -> bool:
        """Whether a rule may match an event of this path."""
        if self._every:
            return True
        folded = path.casefold()
        if folded in self._whole or folded[folded.rfind("/") :] in self._last:
            return True
        return self._inside is not None and self._found(self._inside, folded)

    @staticmethod
    def _found(inside: Any, folded: str) -> bool:
        try:
            return bool(inside.search(folded))
        except UnicodeEncodeError:  # no UTF-8: the rule decides
            return True

    def _search(self, texts: set[str]) -> Any:
        options = re2.Options()
        options.max_mem, options.literal, options.log_errors = MEMORY, False, False
        try:
            return re2.compile("|".join(map(re2.escape, sorted(texts))), options)
        except re2.error:
            self._every = True
            return None
