"""What the values of a sliding window come to, kept as it slides: a late event may move it over thousands of them."""

from abc import ABC, abstractmethod
from bisect import bisect_left, insort
from collections import Counter

from replguard.rules.model import Correlation

Value = str | float
BLUR = 1e-9
"""The part of the largest sum by which one that is added to and taken from may be off."""


class Total(ABC):
    """What the values inside come to. ``blur`` is how far it may be off."""

    blur = 0.0

    @abstractmethod
    def add(self, value: Value) -> None:
        """Take in a value that the window reached."""

    @abstractmethod
    def drop(self, value: Value) -> None:
        """Give up a value that the window left."""

    @abstractmethod
    def now(self) -> float:
        """Return what the values inside come to."""


class Distinct(Total):
    """How many different values there are."""

    def __init__(self) -> None:
        self._counts: Counter[Value] = Counter()

    def add(self, value: Value) -> None:
        self._counts[value] += 1

    def drop(self, value: Value) -> None:
        self._counts[value] -= 1
        if not self._counts[value]:
            del self._counts[value]

    def now(self) -> float:
        return len(self._counts)


class Sum(Total):
    """The sum of the values, or their mean."""

    def __init__(self, *, mean: bool = False) -> None:
        self._sum, self._size, self._count, self._mean = 0.0, 0.0, 0, mean

    def add(self, value: Value) -> None:
        number = float(value)
        self._sum += number
        self._size += abs(number)
        self._count += 1
        self.blur = self._size * BLUR

    def drop(self, value: Value) -> None:
        self._sum -= float(value)
        self._count -= 1

    def now(self) -> float:
        return self._sum / self._count if self._mean and self._count else self._sum


class Ordered(Total):
    """The value that a part of all do not exceed; the median where no part is named."""

    def __init__(self, percent: float | None = None) -> None:
        self._values: list[float] = []
        self._percent = percent

    def add(self, value: Value) -> None:
        insort(self._values, float(value))

    def drop(self, value: Value) -> None:
        del self._values[bisect_left(self._values, float(value))]

    def now(self) -> float:
        values = self._values
        if self._percent is not None:
            return values[nearest(len(values), self._percent)]
        middle = len(values) // 2
        return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


def nearest(count: int, percent: float) -> int:
    """Return the place of the nearest rank among so many ordered values."""
    return max(0, -int(-count * percent // 100) - 1)


def total(rule: Correlation) -> Total:
    """Return what the values of a correlation come to, nothing inside yet."""
    match rule.type:
        case "value_count":
            return Distinct()
        case "value_median":
            return Ordered()
        case "value_percentile":
            return Ordered(rule.percentile or 50)
        case _:
            return Sum(mean=rule.type == "value_avg")
