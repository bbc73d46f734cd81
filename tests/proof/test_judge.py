"""What makes a trial good, told from alerts that were made up."""

from typing import Any

import pytest
from proof import judge
from proof.judge import Seen

FOLDER = "/tmp/trial"
AGENT, OTHER = 100, 200


def seen(time: float, rule: str, level: str, pid: int = AGENT, incident: str = "i", **more: Any) -> Seen:
    actor = {"pid": pid, "agent": pid == AGENT}
    about = {"actor": actor, "incident": incident, "state": "firing"} | more
    process = {"executable": f"{FOLDER}/python3" if pid in (AGENT, 300) else "/usr/bin/python3"}
    return Seen({"rule": {"name": rule, "level": level}, "replguard": about, "process": process}, time)


def judged(*alerts: Seen) -> dict[str, Any]:
    acts = {"live": 10.0, "answered": 11.0}
    return judge.judge(alerts, acts, "live", {AGENT}, FOLDER).row | {"replay": "", "stretched": ""}


def test_what_is_told_in_time_of_the_agent_is_good():
    """The delay runs from the act; what other programs on the host raised is not counted."""
    row = judged(seen(9, "copy", "high"), seen(10.2, "live", "critical"), seen(8, "live", "critical", OTHER, "theirs"))
    assert (row["critical"], row["delay"], row["answer"], row["incidents"]) == ("live", 0.2, 1.0, 1)
    assert row["before_answer"]
    assert row["right"]
    assert judge.good(row)


@pytest.mark.parametrize(
    ("alerts", "what", "is_"),
    [
        ([seen(9, "copy", "high")], "critical", None),
        ([seen(11.5, "live", "critical")], "before_answer", False),
        ([seen(10.2, "live", "critical"), seen(10.3, "chain", "critical", 300)], "right", False),
        ([seen(9, "copy", "high", incident="j"), seen(10.2, "live", "critical")], "incidents", 2),
        ([seen(10.2, "live", "critical", state="resolved")], "critical", None),
    ],
    ids=["only high", "too late", "another actor", "two incidents", "a resolution"],
)
def test_what_is_lacking_makes_it_bad(alerts, what, is_):
    """Each by itself."""
    row = judged(*alerts)
    assert row[what] == is_
    assert not judge.good(row)


@pytest.mark.parametrize("what", ["replay", "stretched"])
def test_a_replay_that_differs_makes_it_bad(what):
    """Even when all was told."""
    row = judged(seen(10.2, "live", "critical"))
    assert judge.good(row)
    assert not judge.good(row | {what: "lacks critical live"})


def test_an_alert_counts_once_at_its_first_time():
    """However often it is written again."""
    found = judge.own(
        [seen(1, "copy", "high"), seen(2, "copy", "high", count=2), seen(3, "copy", "low")], {AGENT}, FOLDER
    )
    assert [(one.time, one.level) for one in found] == [(1, "high"), (3, "low")]
