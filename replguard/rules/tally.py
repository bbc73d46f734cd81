"""What rules made of recorded events, in words for their author: also why a correlation did not come about."""

from collections import Counter
from collections.abc import Iterator

from replguard.events.event import Event
from replguard.events.text import counted
from replguard.rules.engine import Engine
from replguard.rules.explain import span
from replguard.rules.model import AnyRule, Correlation, Rule, RuleSet


class Tally:
    """Counts over a replay, which may go through several engines: one for each start of the daemon."""

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()
        self.matches: Counter[str] = Counter()
        self.late = 0

    def see(self, event: Event) -> None:
        """Count an event that was read."""
        self.kinds[event.event.action] += 1

    def take(self, engine: Engine) -> None:
        """Add up what an engine did that is done."""
        self.matches.update(engine.matches)
        self.late += engine.counters.late

    def told(self, rule: AnyRule, ruleset: RuleSet, alerts: int) -> Iterator[str]:
        """Yield what became of a rule: how often it matched, how many alerts that gave, and if none, why not."""
        count = self.matches[rule.name]
        if count:
            what = "came about" if isinstance(rule, Correlation) else "matched"
            silent = "" if rule.alerts else "; it raises none by itself, because a correlation names it"
            yield f"{rule.name} {what} {times(count)}, {counted(alerts, 'alert')}{silent}"
        elif isinstance(rule, Rule):
            read = sum(self.kinds[action] for action in rule.actions)
            kinds = " or ".join(sorted(rule.actions))
            among = f"none of {counted(read, 'event')}" if read else "nothing: the log has no event"
            yield f"{rule.name} matched {among} of its kind ({kinds})"
        else:
            yield from self._missed(rule, ruleset)

    def _missed(self, rule: Correlation, ruleset: RuleSet) -> Iterator[str]:
        yield f"{rule.name} did not come about; of its rules"
        names = [name for name in rule.rules if ruleset.find(name)]
        for name in names:
            optional = " (optional)" if name in rule.optional else ""
            yield f"  {name}{optional} matched {times(self.matches[name]) if self.matches[name] else 'nothing'}"
        if all(self.matches[name] for name in names if name not in rule.optional):
            yield f"  each that it needs matched, but not as it asks: {_asked(rule)}"
        if self.late:
            yield f"  {counted(self.late, 'event')} came too late to take part"


def _asked(rule: Correlation) -> str:
    asked = ["in this order"] if rule.type == "temporal_ordered" else []
    asked += [] if rule.needs_all else [f"{rule.value or 'matches'} {rule.op} {rule.count:g}"]
    asked.append(f"within {span(rule.timespan)}")
    asked += [f"with the same {' and '.join(rule.group_by)}"] if rule.group_by else []
    asked += [f"sharing one of {', '.join(rule.join)}"] if rule.join else []
    return ", ".join(asked)


def times(count: int) -> str:
    """Return how often something was."""
    return "once" if count == 1 else f"{count:,} times"
