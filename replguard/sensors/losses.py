"""What a part of a sensor could not watch or was not told: counted at once, told as health now and then."""

from collections import Counter
from collections.abc import Iterator

from replguard.events import clock
from replguard.events.event import Event
from replguard.sensors.base import Sensor

EVERY = 5.0
"""Seconds between tellings: whoever floods a table must not flood the log with it."""


class Losses:
    """The losses of one sensor, by stage and reason. Used by its thread alone."""

    def __init__(self, sensor: Sensor) -> None:
        self._sensor = sensor
        self._untold: Counter[tuple[str, str]] = Counter()
        self._due = 0.0

    def add(self, stage: str, reason: str, count: int = 1) -> None:
        """Count what was lost; nothing is no loss."""
        if count:
            self._sensor.counters.lose(stage, reason, count)
            self._untold[stage, reason] += count

    def tell(self) -> Iterator[Event]:
        """Yield what was lost since it was last told, if it is time to."""
        if not self._untold or clock.monotonic() < self._due:
            return
        self._due = clock.monotonic() + EVERY
        for (stage, reason), lost in self._untold.items():
            yield self._sensor.health("loss", reason, stage=stage, lost=lost)
        self._untold.clear()
