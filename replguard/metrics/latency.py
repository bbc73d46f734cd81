"""How long it took from the acts to their alerts, as a histogram."""

from bisect import bisect_left

BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Seconds. 0.25 is the kernel tier's goal and 5 the portable one's; above lies what came late."""


class Latency:
    """Written by one thread, read by another: a read sees each bucket at most one observation behind."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count one alert."""
        self._counts[bisect_left(BOUNDS, seconds)] += 1
        self._sum += seconds

    def read(self) -> tuple[list[tuple[str, float]], float]:
        """Return the cumulative buckets as Prometheus names them, and the sum in seconds."""
        total, buckets = 0, []
        for bound, count in zip([*map(str, BOUNDS), "+Inf"], list(self._counts), strict=True):
            total += count
            buckets.append((bound, float(total)))
        return buckets, self._sum
