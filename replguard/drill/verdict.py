"""Whether what the daemon raised is what the drill did: the right level, the right actor, the right model."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

LEVEL = "critical"
MOMENT = 0.1
"""Seconds within which alerts of one event are on disk; among them the most telling name is shown."""


class Seen(msgspec.Struct, frozen=True):
    """An alert, and when its line was on disk (seconds, on the drill's clock)."""

    alert: Mapping[str, Any]
    time: float

    def get(self, *names: str) -> Any:
        """Return a nested value, or None when a part of the way is not there."""
        value: Any = self.alert
        for name in names:
            value = value.get(name) if isinstance(value, Mapping) else None
        return value


class Expected(msgspec.Struct, frozen=True):
    """What a right alert names: one of the drill's agents, the dummy model, and at least this generation."""

    agents: tuple[int, ...]
    model: str
    generation: int | None = None


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """How one scenario ended; ``--json`` prints it. ``seconds`` run from ``act`` to the alert's line on disk."""

    scenario: str
    detected: bool
    alert: str | None = None
    rule: str | None = None
    level: str | None = None
    message: str | None = None
    actor: str | None = None
    actor_pid: int | None = None
    expected_pid: int | None = None
    generation: int | None = None
    act: str | None = None
    seconds: float | None = None
    acts: dict[str, float] = {}
    alerts: tuple[dict[str, Any], ...] = ()
    reason: str | None = None
    kept: str | None = None


def objection(seen: Seen, expected: Expected) -> str | None:
    """Return why an alert is not the one that the drill must raise, or None when it is."""
    pid, model = seen.get("replguard", "actor", "pid"), seen.get("replguard", "model")
    generation = seen.get("replguard", "generation") or 0
    agents = " or ".join(map(str, expected.agents))
    checks = (
        (seen.get("replguard", "state") in {None, "firing"}, "it is a resolution"),
        (seen.get("rule", "level") == LEVEL, f"its level is {seen.get('rule', 'level')}"),
        (pid in expected.agents, f"its actor is process {pid}, the agent is {agents}"),
        (seen.get("replguard", "actor", "agent") is True, "its actor is not called an agent"),
        (expected.model in str(model), f"its model is {model}"),
        (generation >= (expected.generation or 0), f"its generation is {generation}, not {expected.generation}"),
    )
    return next((text for right, text in checks if not right), None)


def best_right(alerts: list[Seen], expected: Expected, scenario: str) -> Seen | None:
    """Return the first right alert, or the one of the same moment whose rule bears the scenario's name."""
    first = first_right(alerts, expected)
    if first is None:
        return None
    moment = [seen for seen in alerts if first.time <= seen.time <= first.time + MOMENT]
    named = [seen for seen in moment if seen_name(seen) == scenario and objection(seen, expected) is None]
    return named[0] if named else first


def first_right(alerts: Iterable[Seen], expected: Expected) -> Seen | None:
    """Return the first alert that names everything right."""
    return next((seen for seen in alerts if objection(seen, expected) is None), None)


def why_missed(alerts: list[Seen], expected: Expected) -> str:
    """Return a sentence about what was seen instead."""
    if not alerts:
        return "no alert at all"
    nearest = max(alerts, key=lambda seen: (seen.get("rule", "level") == LEVEL, seen.get("event", "severity") or 0))
    return f"nearest alert '{seen_name(nearest)}': {objection(nearest, expected)}"


def seen_name(seen: Seen) -> str:
    """Return the name of the rule behind an alert."""
    return str(seen.get("rule", "name") or seen.get("rule", "id"))


def judge(scenario: str, alerts: list[Seen], expected: Expected, acts: dict[str, float]) -> Result:
    """Return the result of a scenario whose acts happened at these times."""
    listed = tuple(_brief(seen, acts) for seen in alerts)
    right = best_right(alerts, expected, scenario)
    began = {name: round(time - min(acts.values()), 3) for name, time in acts.items()}
    if right is None:
        reason = why_missed(alerts, expected)
        agent = expected.agents[0] if expected.agents else None
        return Result(scenario=scenario, detected=False, expected_pid=agent, acts=began, alerts=listed, reason=reason)
    pid = right.get("replguard", "actor", "pid")
    act, seconds = _since(right, acts)
    return Result(
        scenario=scenario,
        detected=True,
        alert=seen_name(right),
        rule=right.get("rule", "id"),
        level=right.get("rule", "level"),
        message=right.get("message"),
        actor=right.get("replguard", "actor", "name"),
        actor_pid=pid,
        expected_pid=pid,
        generation=right.get("replguard", "generation"),
        act=act,
        seconds=seconds,
        acts=began,
        alerts=listed,
    )


def _since(seen: Seen, acts: dict[str, float]) -> tuple[str | None, float | None]:
    # The latest act before the alert is the one that raised it; an alert before every act has none.
    before = [(time, name) for name, time in acts.items() if time <= seen.time]
    if not before:
        return None, None
    time, name = max(before)
    return name, round(seen.time - time, 3)


def _brief(seen: Seen, acts: dict[str, float]) -> dict[str, Any]:
    act, seconds = _since(seen, acts)
    return {
        "alert": seen_name(seen),
        "level": seen.get("rule", "level"),
        "actor_pid": seen.get("replguard", "actor", "pid"),
        "act": act,
        "seconds": seconds,
    }
