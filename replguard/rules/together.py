"""``temporal``: the matches of several rules within a time span, in any order."""

from replguard.events.alert import LEVELS
from replguard.rules.correlator import COMPARE, Correlator
from replguard.rules.history import History
from replguard.rules.matches import Hit, Match, key_name
from replguard.rules.model import Correlation

HOPS = 2
"""Steps from match to match: joined with this one, or with one that is. More would chain strangers together."""


class Together(Correlator):
    """Matches of several rules within a time span. After a hit a group starts anew; with ``join`` matches stay."""

    def __init__(self, rule: Correlation) -> None:
        super().__init__(rule)
        self._history = History()
        self._needed = frozenset(rule.rules) - rule.optional

    def __len__(self) -> int:
        return len(self._history)

    def take(self, match: Match) -> list[Hit]:
        if match.name == self.rule.until:
            before = [one for one in self._history.joined(match, 1) if one.order < match.order]
            self._history.drop(before)
        if match.name not in self.rule.rules:
            return []
        self._history.add(match)
        self.evicted = self._history.evicted
        found = self._window(match)
        if found is None:
            return []
        if not self.rule.join:
            self._history.drop(self._history.joined(match, 1))
        return [self._hit(found, match)]

    def _window(self, match: Match) -> list[Match] | None:
        """Return the newest match of each rule in the last time span around this match that holds enough of them."""
        span = self.rule.timespan
        near = [one for one in self._history.joined(match, HOPS) if abs(one.time - match.time) <= span]
        ends = sorted({one.time for one in near if one.time >= match.time})
        for end in ends:
            inside = {one.name: one for one in near if end - span <= one.time <= end}
            inside[match.name] = match
            if self._enough(inside):
                return sorted(inside.values(), key=lambda one: one.order)
        return None

    def _enough(self, inside: dict[str, Match]) -> bool:
        if self.rule.needs_all:
            return self._needed <= inside.keys()
        return len(inside) > 1 and bool(COMPARE[self.rule.op](len(inside), self.rule.count))

    def _hit(self, found: list[Match], match: Match) -> Hit:
        stages = tuple(one.name for one in found)
        levels = [self.rule.levels[name] for name in stages if name in self.rule.levels]
        level = max(levels, key=LEVELS.index) if levels else None
        others = {key for one in found if one is not match for key in one.keys}
        key = next((key for key in match.keys if key in others), match.keys[0])
        return Hit(tuple(found), key_name(key), level, stages)

    def expire(self, before: float) -> None:
        self._history.expire(before)
