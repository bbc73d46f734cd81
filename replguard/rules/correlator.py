"""What every kind of correlation has in common."""

from abc import ABC, abstractmethod
from operator import eq, ge, gt, le, lt, ne

from replguard.rules.history import TOLERANCE
from replguard.rules.matches import Hit, Match, Order, keys_for
from replguard.rules.model import MAX_STAGES, Correlation

COMPARE = {"gt": gt, "gte": ge, "lt": lt, "lte": le, "eq": eq, "neq": ne}


class Correlator(ABC):
    """One correlation and its state. ``evicted`` counts what the bounds of its state threw out."""

    def __init__(self, rule: Correlation) -> None:
        self.rule = rule
        self.evicted = 0
        self._keys = keys_for(rule)

    def feed(self, match: Match) -> list[Hit]:
        """Take a match of one of the rules that this one names; return what it completes."""
        keys = self._keys(match)
        return self.take(Match(match.name, match.order, match.evidence, match.score, keys)) if keys else []

    def rank(self, match: Match) -> tuple[Order, int]:
        """Return the place of a match among others: by event time; for one event its later stages first.

        As in EQL an event that fits two stages continues what is there before it begins anew, and ``until`` comes
        before both.
        """
        if match.name == self.rule.until:
            return match.order, -MAX_STAGES
        return match.order, -next((n for n, name in enumerate(self.rule.rules) if name == match.name), 0)

    @abstractmethod
    def take(self, match: Match) -> list[Hit]:
        """Take a match whose keys are set."""

    @abstractmethod
    def expire(self, before: float) -> None:
        """Forget what happened before a time."""

    @abstractmethod
    def __len__(self) -> int:
        """Return how many matches are kept."""

    def due(self, now: float) -> list[Hit]:  # noqa: ARG002 - most kinds wait for nothing
        """Return what the passing of time completes."""
        return []

    def sweep(self, now: float) -> None:
        """Forget what no event can complete any more, late ones included."""
        self.expire(now - self.rule.timespan - TOLERANCE)
