"""The sum of scores: what several weak rules add up to for one actor, each rule counted once."""

from replguard.rules.correlator import COMPARE, Correlator
from replguard.rules.matches import Hit, Key, Match, key_name
from replguard.rules.model import Correlation
from replguard.rules.window import GROUPS


class Score(Correlator):
    """Sums the scores of the newest match of each rule. After a hit the group starts anew."""

    def __init__(self, rule: Correlation) -> None:
        super().__init__(rule)
        self._groups: dict[Key, dict[str, Match]] = {}
        self._compare = COMPARE[rule.op]

    def __len__(self) -> int:
        return sum(map(len, self._groups.values()))

    def take(self, match: Match) -> list[Hit]:
        if not match.score:
            return []
        key = match.keys[0]
        held = self._groups.pop(key, {})
        self._groups[key] = held
        if match.name not in held or held[match.name].order < match.order:
            held[match.name] = match
        while len(self._groups) > GROUPS:
            del self._groups[next(iter(self._groups))]
            self.evicted += 1
        newest = max(one.time for one in held.values())
        inside = [one for one in held.values() if one.time >= newest - self.rule.timespan]
        total = sum(one.score for one in inside)
        if len(inside) < self.rule.distinct_rules or not self._compare(total, self.rule.count):
            return []
        del self._groups[key]
        inside.sort(key=lambda one: one.order)
        return [Hit(tuple(inside), key_name(key), None, tuple(one.name for one in inside))]

    def expire(self, before: float) -> None:
        for key, held in list(self._groups.items()):
            kept = {name: one for name, one in held.items() if one.time >= before}
            if kept:
                self._groups[key] = kept
            else:
                del self._groups[key]
