"""A canary for each sensor of the kernel tier: the daemon does something small itself, which has to come back.

What it does itself is never told; a sensor notes that it heard it. One that hears nothing twice in a row has lost what
it listens with: its probe was detached, its marks were removed, its descriptor was taken. That is told, and it is
started again.
"""

import contextlib
import os
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from replguard.events import clock
from replguard.sensors.base import Sensor

EVERY = 30.0
"""Seconds between two acts: a program, a file and a socket."""
TWICE = 2
DEAF = "its canary did not come back twice: the probe, mark or descriptor that it listens with is gone"
_PROGRAM = "/bin/true"


class Canaries:
    """``revive`` starts a sensor again, given its name and why."""

    def __init__(
        self, folder: Path, sensors: Callable[[], Iterable[Sensor]], revive: Callable[[str, str], None]
    ) -> None:
        self._file = folder / "canary"
        self._sensors, self._revive = sensors, revive
        self._acted: float | None = None
        self._missed: Counter[str] = Counter()

    def run(self, stop: threading.Event) -> None:
        """Look and act now and then, until told to stop."""
        while not stop.wait(EVERY):
            self.look()

    def look(self) -> None:
        """See who heard the last act, and act again. A sensor that never heard one here cannot be told deaf."""
        for sensor in self._sensors():
            heard = sensor.heard
            if heard is None or self._acted is None or heard >= self._acted:
                self._missed[sensor.name] = 0
                continue
            self._missed[sensor.name] += 1
            if self._missed[sensor.name] >= TWICE:
                self._missed[sensor.name] = 0
                self._revive(sensor.name, DEAF)
        self._acted = clock.monotonic()
        _start()
        _write(self._file)
        _listen()


def _start() -> None:
    with contextlib.suppress(OSError):
        os.waitpid(os.posix_spawn(_PROGRAM, [_PROGRAM], {}), 0)


def _write(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.write_bytes(b"")
        path.unlink()


def _listen() -> None:
    with contextlib.suppress(OSError), socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen(1)
