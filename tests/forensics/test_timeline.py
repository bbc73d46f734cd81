"""What was done and alerted, along the time."""

from support import cases

from replguard.forensics import incident, timeline
from replguard.forensics.account import account


def gathered(tmp_path, told):
    return incident.gather(cases.made(tmp_path / "log", tmp_path / "state", told), cases.INCIDENT)


def late():
    """Return an alert that tells at 40 seconds of what began at the first."""
    return cases.alert("d4", "slow", "high", "cp", 40, (1, 3), first_seen=cases.at(1), stages=("a", "b"))


def test_an_alert_stands_where_it_was_raised(tmp_path):
    """And not where what it tells of began; told again, it stays where it was told first."""
    again = cases.alert("d4", "slow", "high", "cp", 50, (1, 3), first_seen=cases.at(1), state="resolved")
    found = gathered(tmp_path, [*cases.records(), late(), again])
    assert timeline.raised(found) == {"a1": cases.at(3), "b2": cases.at(22), "d4": cases.at(40)}
    moments = timeline.moments(found, lambda _: "who", lambda event: event.action)
    assert [each.first for each in moments] == sorted(each.first for each in moments)
    assert [(each.level, each.first) for each in moments if each.level] == [
        ("high", cases.at(3)),
        ("critical", cases.at(22)),
        ("high", cases.at(40)),
    ]
    copied = next(n for n, each in enumerate(moments) if each.action == "weights_copy")
    assert moments[copied + 1].level == "high", "it stands behind the act that raised it"


def test_what_is_done_over_and_over_is_told_once(tmp_path):
    """Unless something else is done, or alerted, meanwhile."""
    more = [cases.fact("weights_access", 100 + n, "cp", 30 + n) for n in range(20)]
    found = gathered(tmp_path, [*cases.records(), *more, late()])
    moments = timeline.moments(found, lambda _: "who", lambda _: "did it")
    assert [each.count for each in moments if each.first >= cases.at(30)] == [10 + 1, 1, 9]


def test_a_lane_for_each_stage_and_one_for_the_alerts(tmp_path):
    """From the first act to the last; where two alerts stand at one place the worse is seen."""
    found = gathered(tmp_path, [*cases.records(), late()])
    stages = account(found).stages
    *acts, alerts = timeline.lanes(found, stages, cases.at(0), cases.at(40))
    assert [lane.name for lane in acts] == list(stages)
    assert all(level is None and 0 <= x < timeline.LANE for lane in acts for x, level in lane.ticks)
    assert (alerts.name, alerts.count) == ("alerts", 3)
    assert [level for _, level in alerts.ticks] == ["high", "critical", "high"]
    (only,) = [lane.ticks for lane in timeline.lanes(found, {}, cases.at(0), cases.at(10**9))]
    assert only == [(0, "critical")]
