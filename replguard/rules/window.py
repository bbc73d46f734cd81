"""``event_count`` and the ``value_`` kinds: matches of one group within a sliding time span, counted or summed."""

import math
from bisect import bisect_left, insort
from collections.abc import Callable
from statistics import mean, median

from replguard.rules.correlator import COMPARE, Correlator
from replguard.rules.fields import Reader, event_field, text
from replguard.rules.history import LIMIT
from replguard.rules.matches import Hit, Key, Match, Order, key_name
from replguard.rules.model import Correlation
from replguard.rules.totals import Total, Value, total

Entry = tuple[Order, int, Match, Value]
GROUPS = 4096
"""Groups that one correlation counts at a time; the one that was quiet longest is evicted."""
AT_END = frozenset({"lt", "lte", "eq"})
"""Operators that only the end of a time span can judge."""


def percentile(values: list[float], percent: float) -> float:
    """Return the nearest-rank percentile: the smallest value that ``percent`` of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


class Window(Correlator):
    """Counts or sums the matches of each group. After a hit the group starts anew."""

    def __init__(self, rule: Correlation) -> None:
        super().__init__(rule)
        self._groups: dict[Key, list[Entry]] = {}
        self._size = 0
        self._limit = max(LIMIT, int(2 * rule.count)) if rule.type in {"event_count", "value_count"} else LIMIT
        self._number = 0
        self._judge_at = math.inf
        self._readers = {name: self._reader(name) for name in rule.rules}
        self._total = _TOTALS[rule.type]
        self._compare = COMPARE[rule.op]

    def _reader(self, name: str) -> Reader | None:
        field = self.rule.value
        return event_field(self.rule.aliases.get(field, {}).get(name, field)) if field else None

    def __len__(self) -> int:
        return self._size

    def take(self, match: Match) -> list[Hit]:
        value = self._value(match)
        if value is None:
            return []
        self._number += 1
        entry = (match.order, self._number, match, value)
        for key in match.keys:
            entries = self._groups.pop(key, [])
            self._groups[key] = entries
            insort(entries, entry, key=lambda one: one[:2])
            self._size += 1
        self._judge_at = min(self._judge_at, match.time + self.rule.timespan)
        self._bound()
        if self.rule.op in AT_END:
            return []
        for key in match.keys:
            found = self._around(key, entry)
            if found:
                for each in match.keys:
                    self._forget(each)
                return [self._hit(key, found)]
        return []

    def _value(self, match: Match) -> Value | None:
        read = self._readers.get(match.name)
        if read is None:
            return 0.0 if self.rule.type == "event_count" else None
        found = next((value for event in reversed(match.evidence) if (value := text(read(event))) is not None), None)
        if self.rule.type == "value_count":
            return found if found is None or isinstance(found, str) else "\x1f".join(found)
        try:
            number = float(found) if isinstance(found, str) else math.nan
        except ValueError:
            return None
        return number if math.isfinite(number) else None

    def _around(self, key: Key, entry: Entry) -> list[Entry] | None:
        """Return the first time span with this match in it for which the condition holds."""
        entries = self._groups.get(key, [])
        start = bisect_left(entries, entry[:2], key=lambda one: one[:2])
        sliding = _Sliding(self.rule, entries)
        for end in range(start, len(entries)):
            time = entries[end][0][0]
            if time - entry[0][0] > self.rule.timespan:
                break
            first = bisect_left(entries, time - self.rule.timespan, key=lambda one: one[0][0])
            if end > start and not sliding.may_hold(first, end, self._compare):
                continue
            inside = entries[first : end + 1]
            if self._holds(inside):
                return inside
        return None

    def _holds(self, inside: list[Entry]) -> bool:
        if self.rule.type == "event_count":
            return bool(self._compare(len(inside), self.rule.count))
        return bool(self._compare(self._total([entry[3] for entry in inside], self.rule), self.rule.count))

    def due(self, now: float) -> list[Hit]:
        """Judge the groups whose time span has ended, where only the end can tell; until one has, look at none."""
        if self.rule.op not in AT_END or now <= self._judge_at:
            return []
        hits = []
        span = self.rule.timespan
        for key in [key for key, entries in self._groups.items() if entries[0][0][0] + span < now]:
            entries = self._groups[key]
            cut = bisect_left(entries, entries[0][0][0] + span, key=lambda one: one[0][0])
            inside = entries[: max(cut, 1)]
            self._forget(key, len(inside))
            if self._holds(inside):
                hits.append(self._hit(key, inside))
        self._judge_at = min((entries[0][0][0] for entries in self._groups.values()), default=math.inf) + span
        return hits

    def _hit(self, key: Key, inside: list[Entry]) -> Hit:
        matches = tuple(entry[2] for entry in inside)
        return Hit(matches, key_name(key), None, tuple(dict.fromkeys(match.name for match in matches)))

    def _forget(self, key: Key, count: int | None = None) -> None:
        entries = self._groups.pop(key, None)
        if entries is None:
            return
        rest = entries[len(entries) if count is None else count :]
        self._size -= len(entries) - len(rest)
        if rest:
            self._groups[key] = rest

    def _bound(self) -> None:
        while len(self._groups) > GROUPS or self._size > self._limit:
            oldest = next(iter(self._groups))
            alone = len(self._groups) == 1
            drop = 1 if alone else len(self._groups[oldest])
            self.evicted += drop
            self._forget(oldest, drop)

    def expire(self, before: float) -> None:
        for key in [key for key, entries in self._groups.items() if entries[0][0][0] < before]:
            self._forget(key, bisect_left(self._groups[key], before, key=lambda one: one[0][0]))


class _Sliding:
    """Tells cheaply of most time spans of one group, each later than the one before, that the condition cannot hold."""

    def __init__(self, rule: Correlation, entries: list[Entry]) -> None:
        self._rule, self._entries = rule, entries
        self._total: Total | None = None
        self._first = self._next = 0

    def may_hold(self, first: int, end: int, compare: Callable[[float, float], object]) -> bool:
        """Whether the condition may hold of the matches from one to another."""
        count = self._rule.count
        if self._rule.type == "event_count":
            return bool(compare(end + 1 - first, count))
        if self._total is None:
            self._total, self._first, self._next = total(self._rule), first, first
        for entry in self._entries[self._next : end + 1]:
            self._total.add(entry[3])
        for entry in self._entries[self._first : first]:
            self._total.drop(entry[3])
        self._first, self._next = first, end + 1
        found, blur = self._total.now(), self._total.blur
        return any(compare(found + off, count) for off in (-blur, 0.0, blur))


def _numbers(values: list[Value]) -> list[float]:
    return [value for value in values if isinstance(value, float)]


_TOTALS: dict[str, Callable[[list[Value], Correlation], float]] = {
    "event_count": lambda values, _: len(values),
    "value_count": lambda values, _: len(set(values)),
    "value_sum": lambda values, _: math.fsum(_numbers(values)),
    "value_avg": lambda values, _: mean(_numbers(values)),
    "value_median": lambda values, _: median(_numbers(values)),
    "value_percentile": lambda values, rule: percentile(_numbers(values), rule.percentile or 50),
}
