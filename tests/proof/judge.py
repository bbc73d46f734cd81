"""What the alerts of a trial say of it: told at critical, of the right agent, in one incident, in time."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

LEAST = ("medium", "high", "critical")
"""Levels of alerts that belong to an incident which somebody is called for."""


@dataclass(frozen=True)
class Seen:
    """An alert, and when its line was first seen on the disk."""

    alert: dict[str, Any]
    time: float

    @property
    def level(self) -> str:
        return str(self.alert["rule"]["level"])

    @property
    def rule(self) -> str:
        return str(self.alert["rule"]["name"])

    @property
    def by(self) -> int | None:
        """The process that is named as the actor."""
        pid = (self.alert["replguard"].get("actor") or {}).get("pid")
        return pid if isinstance(pid, int) else None

    @property
    def incident(self) -> str | None:
        value = self.alert["replguard"].get("incident")
        return value if isinstance(value, str) else None


@dataclass(frozen=True)
class Judged:
    """The row of a trial, and the alerts that are about it, each rule and level at its first time."""

    row: dict[str, Any]
    own: list[Seen]


def own(alerts: Iterable[Seen], agents: set[int], folder: str) -> list[Seen]:
    """Return the first alert of each rule, level and actor that is about this trial, not about the rest of the host.

    Another daemon there reads each large file too, and is told as anybody would be: where a file lies says nothing.
    """
    found: dict[tuple[str, str, int | None], Seen] = {}
    for seen in alerts:
        about = seen.by in agents or folder in str(seen.alert.get("process"))
        if about and seen.alert["replguard"].get("state") != "resolved":
            found.setdefault((seen.rule, seen.level, seen.by), seen)
    return list(found.values())


def judge(alerts: Iterable[Seen], acts: dict[str, float], act: str, agents: set[int], folder: str) -> Judged:
    """Judge a trial. ``acts`` are the times of what happened, ``act`` names what has to be told."""
    mine = own(alerts, agents, folder)
    critical = [seen for seen in mine if seen.level == "critical"]
    loud = [seen for seen in mine if seen.level in ("high", "critical")]
    answered = acts.get("answered")
    first = critical[0] if critical else None
    row = {
        "critical": first.rule if first else None,
        "loudest": next((seen.level for seen in sorted(mine, key=lambda s: -_rank(s.level))), None),
        "act": act,
        "delay": round(first.time - acts[act], 3) if first else None,
        "answer": round(answered - acts["live"], 3) if answered and "live" in acts else None,
        "before_answer": first.time < answered if first and answered else None,
        "right": bool(first) and all(seen.by in agents and is_agent(seen) for seen in critical),
        "wrong": sorted({seen.rule for seen in loud if seen.by not in agents}),
        "incidents": len({seen.incident for seen in mine if seen.level in LEAST}),
    }
    return Judged(row, mine)


def good(row: dict[str, Any]) -> bool:
    """Tell whether a trial is all that it should be."""
    return bool(
        row["critical"]
        and row["before_answer"] is not False
        and row["right"]
        and row["incidents"] == 1
        and not row["replay"]
        and not row["stretched"]
    )


def _rank(level: str) -> int:
    return LEAST.index(level) if level in LEAST else -1


def is_agent(seen: Seen) -> bool:
    """Whether the actor is called an agent."""
    return (seen.alert["replguard"].get("actor") or {}).get("agent") is True
