"""``temporal_ordered``: stages in the order of event time, with EQL's state and places for late events."""

from collections.abc import Iterable
from dataclasses import dataclass

from replguard.rules.correlator import Correlator
from replguard.rules.history import LIMIT, History
from replguard.rules.matches import Hit, Key, Match, Order, key_name
from replguard.rules.model import Correlation

ALL_HOPS = 64
"""Steps from match to match that a late event's rebuild follows."""


@dataclass(slots=True, eq=False)
class Partial:
    """A sequence that has reached the stage at ``position``. ``alive`` is false once it moved on or was ended."""

    matches: tuple[Match, ...]
    position: int
    key: Key
    keys: tuple[Key, ...]
    alive: bool = True

    def admits(self, match: Match, span: float) -> bool:
        """Say whether a match may be the next stage: after every other, and within the time span of the first."""
        return self.alive and self.matches[-1].order < match.order and match.time - self.matches[0].time <= span


class Machine:
    """The state of a sequence over matches that come in order: one partial for each (stage, key), the newest.

    As in EQL a partial moves on to the next stage. With ``join`` it also stays, so that every copy of a model's
    shards may be the one that is started later. ``stages`` holds the partials by the stage reached.
    """

    def __init__(self, rule: Correlation) -> None:
        self._rule = rule
        self.stages: list[dict[Key, Partial]] = [{} for _ in rule.rules]
        self._optional = [name in rule.optional for name in rule.rules]
        self._places: dict[str, list[int]] = {}
        for position, name in reversed(list(enumerate(rule.rules))):
            self._places.setdefault(name, []).append(position)
        self.evicted = 0

    def __len__(self) -> int:
        return sum(map(len, self.stages))

    def step(self, match: Match) -> list[Partial]:
        """Take the next match; return the partials that reach a stage by it, later stages first."""
        if match.name == self._rule.until:
            self._end(match)
        reached = []
        for position in self._places.get(match.name, ()):
            before = self._before(position, match)
            if before is None and not all(self._optional[:position]):
                continue
            partial = self._advance(before, position, match)
            if position < len(self.stages) - 1:
                self._put(partial)
            reached.append(partial)
        return reached

    def _advance(self, before: Partial | None, position: int, match: Match) -> Partial:
        if before is None:
            return Partial((match,), position, match.keys[0], match.keys)
        shared = next(key for key in match.keys if key in before.keys)
        if not self._rule.join:
            before.alive = False
            self._drop(before)
        keys = tuple(dict.fromkeys((*before.matches[0].keys, *match.keys)))
        return Partial((*before.matches, match), position, shared, keys)

    def _before(self, position: int, match: Match) -> Partial | None:
        """Return the partial that a match continues: of the nearest stage before it the newest that shares an artefact.

        Without one it is the newest. A server is of the copy that it serves, and not of another that its actor made.
        """
        for earlier in range(position - 1, -1, -1):
            stage = self.stages[earlier]
            found = [stage[key] for key in match.keys if key in stage]
            found = [partial for partial in found if partial.admits(match, self._rule.timespan)]
            if found:
                made = {key for key in match.keys if key[1] == "artefact"}
                return max(found, key=lambda one: (not made.isdisjoint(one.keys), one.matches[-1].order))
            if not self._optional[earlier]:
                break
        return None

    def _put(self, partial: Partial) -> None:
        stage = self.stages[partial.position]
        for key in partial.keys:
            stage.pop(key, None)
            stage[key] = partial
        while len(self) > LIMIT:
            fullest = max(self.stages, key=len)
            del fullest[next(iter(fullest))]
            self.evicted += 1

    def _drop(self, partial: Partial) -> None:
        stage = self.stages[partial.position]
        for key in partial.keys:
            if stage.get(key) is partial:
                del stage[key]

    def _end(self, match: Match) -> None:
        for stage in self.stages:
            for partial in {id(p): p for key in match.keys if (p := stage.get(key))}.values():
                if partial.matches[-1].order < match.order:
                    partial.alive = False
                    self._drop(partial)

    def replace(self, keys: Iterable[Key], other: "Machine") -> None:
        """Take over the state of another machine for these keys."""
        keys = list(keys)
        for stage, theirs in zip(self.stages, other.stages, strict=True):
            for key in keys:
                stage.pop(key, None)
            stage.update(theirs)

    def expire(self, before: float) -> None:
        """Forget the partials that began before a time."""
        for stage in self.stages:
            for key in [key for key, partial in stage.items() if partial.matches[0].time < before]:
                del stage[key]


class Sequence(Correlator):
    """A sequence. A late match is put in its place: the matches that it is joined with are run through again."""

    def __init__(self, rule: Correlation) -> None:
        super().__init__(rule)
        self._machine = Machine(rule)
        self._history = History()
        self._newest: Order = (float("-inf"), 0)
        self._last_needed = max(i for i, name in enumerate(rule.rules) if name not in rule.optional)

    def __len__(self) -> int:
        return len(self._history)

    def take(self, match: Match) -> list[Hit]:
        self._history.add(match)
        joined = [match]
        if self._is_late(match):
            joined = sorted(self._history.joined(match, ALL_HOPS), key=self.rank)
        if joined[-1] is match:
            reached = self._machine.step(match)
        else:
            again = Machine(self.rule)
            reached = [made for one in joined for made in again.step(one) if match in made.matches]
            self._machine.replace({key: None for one in joined for key in one.keys}, again)
        self.evicted = self._machine.evicted + self._history.evicted
        return [hit for partial in reached if (hit := self._hit(partial)) is not None]

    def _is_late(self, match: Match) -> bool:
        newest, self._newest = self._newest, max(self._newest, match.order)
        return match.order < newest

    def _hit(self, partial: Partial) -> Hit | None:
        stages = tuple(match.name for match in partial.matches)
        level = self.rule.levels.get(stages[-1])
        whole = partial.position >= self._last_needed
        if len(stages) < 2 or not (whole or level):
            return None
        return Hit(partial.matches, key_name(partial.key), level, stages)

    def expire(self, before: float) -> None:
        self._history.expire(before)
        self._machine.expire(before)
