import pytest

from replguard.drill.verdict import Expected, Seen, judge, objection

EXPECTED = Expected((7, 8), "drill-model", 3)
ACTS = {"copied": 10.0, "live": 12.0}


def alert(level="critical", pid=7, agent=True, model="drill-model", generation=3, time=12.5, state="firing"):
    return Seen(
        {
            "message": "a sentence",
            "event": {"severity": 99},
            "rule": {"id": "r", "name": "Replica", "level": level},
            "replguard": {
                "state": state,
                "actor": {"pid": pid, "agent": agent, "name": "python3"},
                "model": model,
                "generation": generation,
            },
        },
        time,
    )


def test_the_right_alert_is_right():
    """Level, process, label, model and generation all fit."""
    assert objection(alert(), EXPECTED) is None
    assert objection(alert(pid=8, generation=4), EXPECTED) is None


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"level": "high"}, "level"),
        ({"pid": 9}, "process 9"),
        ({"pid": None}, "process None"),
        ({"agent": False}, "agent"),
        ({"model": None}, "model"),
        ({"generation": 2}, "generation"),
        ({"generation": None}, "generation"),
        ({"state": "resolved"}, "resolution"),
    ],
)
def test_each_wrong_part_is_named(wrong, word):
    """An alert that misses in one point is no detection, and the point is said."""
    assert word in objection(alert(**wrong), EXPECTED)


def test_an_alert_of_another_shape_is_no_match():
    """Parts that are not there are unknown, not errors."""
    assert objection(Seen({}, 1.0), EXPECTED)
    assert objection(Seen({"rule": "x", "replguard": []}, 1.0), EXPECTED)


def test_seconds_run_from_the_latest_act_before_the_alert():
    """The time told is from the act that the alert answers to its line on disk."""
    result = judge("s", [alert(level="low", time=10.1), alert()], EXPECTED, ACTS)
    assert (result.detected, result.act, result.seconds) == (True, "live", 0.5)
    assert (result.actor_pid, result.expected_pid, result.level, result.alert) == (7, 7, "critical", "Replica")
    assert [(a["level"], a["act"], a["seconds"]) for a in result.alerts] == [
        ("low", "copied", 0.1),
        ("critical", "live", 0.5),
    ]
    assert result.acts == {"copied": 0.0, "live": 2.0}


def test_an_alert_before_every_act_has_no_seconds():
    """An alert on an attempt comes before any act; no time is made up for it."""
    result = judge("s", [alert(time=9.0)], EXPECTED, ACTS)
    assert (result.detected, result.act, result.seconds) == (True, None, None)


def test_a_miss_tells_the_nearest_alert():
    """The reason names the alert that came closest and what was wrong with it."""
    result = judge("s", [alert(level="low"), alert(pid=9)], EXPECTED, ACTS)
    assert not result.detected
    assert "process 9" in result.reason
    assert result.expected_pid == 7


def test_silence_is_told_as_such():
    """No alert at all, and no act, is a result too."""
    result = judge("s", [], Expected((), "m"), {})
    assert (result.detected, result.reason, result.expected_pid) == (False, "no alert at all", None)


def test_of_several_alerts_at_one_moment_the_most_telling_is_shown():
    """The rule that bears the scenario's name wins over another of the same event, but not over an earlier one."""
    named = alert(time=12.55)
    named.alert["rule"]["name"] = "s"
    assert judge("s", [alert(), named], EXPECTED, ACTS).alert == "s"
    late = Seen(named.alert, 13.5)
    assert judge("s", [alert(), late], EXPECTED, ACTS).alert == "Replica"
