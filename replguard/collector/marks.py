"""Up to when all that happened is in the log: known once the analyser has written the frames that told of it."""

import threading
from collections import deque
from collections.abc import Callable
from datetime import datetime

MOST = 4096
"""Frames that are waited for one by one; of more, the later ones stand for the earlier."""


class Marks:
    """``carried`` is told the time, by whichever thread finds out."""

    def __init__(self, carried: Callable[[datetime], None]) -> None:
        self._carried = carried
        self._lock = threading.Lock()
        self._waiting: deque[tuple[int, datetime]] = deque(maxlen=MOST)
        self._written = 0

    def sent(self, number: int, until: datetime) -> None:
        """Note that all before a time is told by the frames up to this number."""
        with self._lock:
            if number <= self._written:
                self._carried(until)
                return
            if self._waiting and self._waiting[-1][0] == number:
                self._waiting.pop()
            self._waiting.append((number, until))

    def written(self, number: int) -> None:
        """Note that the frames up to this number are in the log."""
        with self._lock:
            self._written = max(self._written, number)
            until: datetime | None = None
            while self._waiting and self._waiting[0][0] <= number:
                until = self._waiting.popleft()[1]
            if until is not None:
                self._carried(until)
