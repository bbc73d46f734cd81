"""Collector and analyser joined in one process, without the socket between them."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

from replguard.analyser.analyser import Analyser
from replguard.collector.collector import Collector
from replguard.events.catalogue import PORTABLE
from replguard.frames import Asked, Told, encode, told
from replguard.policy import Policy
from replguard.sensors.registry import Opening

_DECODE = told().decode


class Together:
    """Both halves; what one says goes through the bytes of a frame to the other."""

    def __init__(self, path: Path, *, strict: bool = False, opening: Opening | None = None) -> None:
        self._analyser: Analyser | None = None
        self._early: list[Told] = []
        self.collector = Collector(Policy(path, strict=strict), self._told, opening)
        self.collector.makes = PORTABLE
        self.analyser = self._analyser = Analyser(self.collector.hello(), self._asked)

    def _told(self, frame: Told) -> None:
        if self._analyser is None:
            self._early.append(frame)
        else:
            self._analyser.take(_DECODE(encode(frame)))

    def _asked(self, asked: Asked) -> None:
        self.collector.take(asked)

    def start(self) -> None:
        """Begin, as the daemon does."""
        self.analyser.start()
        for frame in self._early:
            self.analyser.take(frame)
        self.collector.start()

    def close(self) -> None:
        """End, the collector first."""
        self.collector.close()
        self.analyser.close()


@contextlib.contextmanager
def running(path: Path) -> Iterator[Together]:
    """Run both until the block ends."""
    both = Together(path)
    thread = threading.Thread(target=both.start)
    thread.start()
    thread.join(30)
    try:
        yield both
    finally:
        both.close()
