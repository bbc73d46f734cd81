import pytest
from msgspec import convert
from msgspec.structs import replace
from support.making import AGENT, NOBODY, SERVICE, at, copy_fact, detection, event, server_fact

from replguard.alerts import manager as module
from replguard.alerts.manager import Manager
from replguard.config import Config, dec_hook
from replguard.events.fact import Authorised, Context

HOUR = 3600


def manager(**alerts):
    mode = alerts.pop("mode", "enforce")
    return Manager(convert({"mode": mode, "alerts": alerts}, Config, dec_hook=dec_hook))


def told(alerts):
    return [(a.replguard.state, a.replguard.count, a.rule.level) for a in alerts]


def same(number, seconds=0, **given):
    """Return a detection about one and the same copy."""
    return detection(copy_fact(number, seconds), **given)


def test_repeats_fold_and_are_told_at_the_end():
    """The first is told at once, repeats count up, and the end of the window tells the count once."""
    alerts = manager()
    (first,) = alerts.feed(same(1))
    assert [alerts.feed(same(n, n)) for n in range(2, 6)] == [[]] * 4
    assert alerts.tick(at(599)) == []
    (update,) = alerts.tick(at(600))
    assert told([first, update]) == [("firing", 1, "high"), ("firing", 5, "high")]
    assert update.event.id == first.event.id
    assert update.replguard.evidence == ("b-1", "b-2", "b-3", "b-4", "b-5")
    assert (update.replguard.first_seen, update.replguard.last_seen) == (at(0), at(5))
    assert alerts.tick(at(1300)) == []
    assert alerts.raised == {("Weights copied", "high"): 1}


def test_a_repeat_after_the_window_is_a_new_alert_of_the_same_incident():
    """It has its own id; the incident goes on."""
    alerts = manager(fold="1m")
    (first,) = alerts.feed(same(1))
    alerts.feed(same(2, 5))
    alerts.tick(at(60))
    alerts.tick(at(90))
    (second,) = alerts.feed(same(3, 91))
    assert second.event.id != first.event.id
    assert second.replguard.incident == first.replguard.incident
    assert told([second]) == [("firing", 1, "high")]


def test_another_change_of_what_is_allowed_is_told_at_once():
    """Whoever makes a harmless one first hides no other behind it; the same one again is a repeat."""

    def change(number, what):
        about = Context(actor=AGENT, difference=f"policy: manifest: job {what} added", source="policy")
        return detection(event("authority_change", number, number, kind="enrichment", replguard=about))

    alerts = manager()
    (first,) = alerts.feed(change(1, "harmless"))
    (second,) = alerts.feed(change(2, "wide-open"))
    assert second.event.id == first.event.id
    assert "job wide-open added" in second.message
    assert alerts.feed(change(3, "wide-open")) == []


def test_another_copy_is_told_at_once_a_few_times():
    """A repeat that made something new is worth a line, under the same id; without end it is not."""
    alerts = manager()
    (first,) = alerts.feed(same(0))
    lines = [alerts.feed(detection(copy_fact(n, n, target=f"/t{n}"))) for n in range(1, 21)]
    assert [len(line) for line in lines] == [1] * module.MAX_NEWS + [0] * (20 - module.MAX_NEWS)
    assert {line[0].event.id for line in lines if line} == {first.event.id}
    assert [line[0].file.path for line in lines[:3]] == ["/t1", "/t2", "/t3"]
    assert lines[0][0].timestamp == at(1)
    assert told(alerts.tick(at(600))) == [("firing", 21, "high")]


def test_what_does_not_fold():
    """Another rule, actor or model is another alert."""
    alerts = manager()
    each = [
        same(1),
        same(2, rule="r2"),
        detection(copy_fact(3, actor=SERVICE)),
        detection(copy_fact(4, model="other")),
        detection(copy_fact(5, actor=NOBODY), key="/a"),
        detection(copy_fact(6, actor=NOBODY), key="/b"),
    ]
    assert [len(alerts.feed(one)) for one in each] == [1] * 6


@pytest.mark.parametrize(
    "further",
    [{"level": "critical"}, {"stages": ("copy", "serve")}, {"level": "critical", "stages": ("copy", "serve")}],
)
def test_a_higher_level_or_a_new_stage_breaks_the_fold(further):
    """The same sequence that went further is told at once, as the same alert."""
    alerts = manager()
    (first,) = alerts.feed(same(1, level="high", stages=("copy",)))
    (next_,) = alerts.feed(
        detection(copy_fact(1), server_fact(2, 5), **({"level": "high", "stages": ("copy",)} | further))
    )
    assert next_.event.id == first.event.id
    assert next_.replguard.count == 2
    assert next_.rule.level == further.get("level", "high")
    assert alerts.firing() == {next_.rule.level: 1}


def test_a_break_tells_what_was_folded_before():
    """Repeats that were not told yet are not lost when another alert takes the place."""
    alerts = manager()
    alerts.feed(same(1, level="medium"))
    alerts.feed(same(2, 1, level="medium"))
    assert told(alerts.feed(same(3, 2, level="high"))) == [("firing", 2, "medium"), ("firing", 1, "high")]


def test_an_incident_resolves_all_its_alerts():
    """Two hours after the last alert everything of the incident is resolved, with the final counts."""
    alerts = manager()
    alerts.feed(same(1))
    alerts.feed(same(2, 10, rule="r2", level="critical"))
    alerts.feed(same(3, 20))
    assert alerts.incidents() == {"critical": 1}
    assert alerts.firing() == {"high": 1, "critical": 1}
    alerts.tick(at(700))
    assert alerts.tick(at(2 * HOUR + 19)) == []
    assert sorted(told(alerts.tick(at(2 * HOUR + 20)))) == [("resolved", 1, "critical"), ("resolved", 2, "high")]
    assert not alerts.incidents()
    assert not alerts.firing()
    assert alerts.feed(same(4, 3 * HOUR))[0].replguard.incident != alerts.feed(same(4, 3 * HOUR, rule="r9"))


def test_incidents_join_by_what_was_made():
    """Another actor that serves the copy is part of the incident that made it."""
    alerts = manager()
    (one,) = alerts.feed(same(1))
    (two,) = alerts.feed(detection(server_fact(2, actor=SERVICE, artefacts=("artefact-/tmp/.cache/y",)), rule="r2"))
    (other,) = alerts.feed(detection(server_fact(3, actor=SERVICE, instance="i2"), rule="r3"))
    assert one.replguard.incident == two.replguard.incident
    assert other.replguard.incident == two.replguard.incident or other.replguard.actor == SERVICE


def test_incidents_join_over_generations():
    """An agent that a replica drives is part of the incident that made the replica, however far down the chain."""
    alerts = manager()
    (first,) = alerts.feed(detection(server_fact(1, instance="second"), rule="live"))
    for number, (driver, made) in enumerate((("second", "third"), ("third", "fourth")), 2):
        actor = replace(AGENT, id=f"agent#{number}", driver=driver)
        (copied,) = alerts.feed(detection(copy_fact(number, actor=actor, artefacts=(f"copy-{number}",))))
        (served,) = alerts.feed(detection(server_fact(10 + number, actor=actor, instance=made), rule="live"))
        assert copied.replguard.incident == served.replguard.incident == first.replguard.incident
    (apart,) = alerts.feed(detection(copy_fact(9, actor=replace(AGENT, id="agent#9"), artefacts=("copy-9",))))
    assert apart.replguard.incident != first.replguard.incident


def test_an_instance_that_ends_resolves_its_alert():
    """What is only about that instance is over with it; a sequence that it was part of is not."""
    alerts = manager()
    alerts.feed(detection(server_fact(1)))
    alerts.feed(detection(copy_fact(2), server_fact(3), rule="r2", stages=("copy", "serve")))
    alerts.tick(at(50))
    assert alerts.ended(server_fact(4, 60, instance="other", status="ended")) == []
    (over,) = alerts.ended(server_fact(5, 60, status="ended"))
    assert (over.replguard.state, over.rule.id, over.timestamp) == ("resolved", "r1", at(50))
    assert alerts.ended(server_fact(6, 61, status="ended")) == []
    assert alerts.firing() == {"high": 1}


def test_an_instance_that_is_allowed_now_resolves_its_alert():
    """The hint was pasted: what is only about that instance is over; a change that allows nothing ends nothing."""
    alerts = manager()
    alerts.feed(detection(server_fact(1)))
    assert alerts.ended(server_fact(2, 60, status="changed")) == []
    allowed = Authorised(by="manifest", entry="x")
    (over,) = alerts.ended(server_fact(3, 61, status="changed", authorised=allowed))
    assert over.replguard.state == "resolved"


def test_min_level_and_observe():
    """What is below the level is counted, not raised; in observe everything is low and keeps its real level."""
    alerts = manager(min_level="medium")
    assert alerts.feed(same(1, level="low")) == []
    assert alerts.suppressed == {"level": 1}
    watching = manager(mode="observe")
    (shown,) = watching.feed(same(1, level="critical"))
    assert (shown.rule.level, shown.replguard.real_level, shown.event.severity) == ("low", "critical", 21)
    assert watching.raised == {("Weights copied", "low"): 1}
    assert watching.incidents() == {"critical": 1}
    assert watching.feed(same(2, 1, level="critical")) == []


def test_too_many_become_a_summary_but_new_criticals_pass():
    """Beyond the limit one summary counts them; the first critical of an incident is always told."""
    alerts = manager(max_per_hour=3)
    lines = [alerts.feed(same(n, rule=f"r{n}", level="medium")) for n in range(6)]
    assert [len(line) for line in lines] == [1, 1, 1, 1, 0, 0]
    summary = lines[3][0]
    assert summary.rule.id == "replguard-alert-rate"
    assert alerts.suppressed == {"rate": 3}
    (critical,) = alerts.feed(same(7, rule="r7", level="critical"))
    assert critical.rule.id == "r7"
    assert [len(alerts.feed(same(n, rule=f"r{n}", level="critical"))) for n in (8, 9)] == [1, 1]
    (louder,) = alerts.feed(same(10, rule="r10", level="critical"))
    assert (louder.event.id, louder.rule.level) == (summary.event.id, "critical")
    resolved = [a for hour in range(1, 4) for a in alerts.tick(at(hour * HOUR)) if a.replguard.state == "resolved"]
    assert {a.rule.id for a in resolved} == {"r0", "r1", "r2", "r7", "r8", "r9", "replguard-alert-rate"}


@pytest.mark.parametrize("mode", ["enforce", "observe"])
def test_cheap_alerts_mute_no_high_one(mode):
    """A hundred and twenty low ones an hour, and the high one is told; shown lower it is none the cheaper."""
    alerts = manager(mode=mode)
    for n in range(200):
        alerts.feed(same(n, rule=f"cheap{n}", level="low"))
    assert alerts.suppressed == {"rate": 80}
    (high,) = alerts.feed(same(300, 60, rule="theft", level="high"))
    assert high.rule.id == "theft"
    assert len(alerts.feed(detection(copy_fact(301, 61, target="/t"), rule="theft", level="high"))) == 1


def test_state_is_bounded(monkeypatch):
    """Folds beyond the limit are forgotten and counted."""
    monkeypatch.setattr(module, "MAX_FOLDS", 5)
    alerts = manager(max_per_hour=1000)
    for n in range(20):
        alerts.feed(same(n, rule=f"r{n}"))
    assert alerts.evicted["folds"] == 15
    assert len(alerts.folds) == 5


def test_a_clock_that_is_set_back_opens_no_hole():
    """After a jump of the clock folds and incidents end, and new alerts are told."""
    alerts = manager()
    alerts.tick(at(10 * 365 * 24 * HOUR))
    alerts.feed(same(1))
    assert told(alerts.tick(at(0))) == [("resolved", 1, "high")]
    assert told(alerts.feed(same(2, 1))) == [("firing", 1, "high")]


def test_live_and_replay_agree():
    """The same detections and ticks give the same alerts, to the byte."""

    def run():
        alerts = manager(fold="30s", max_per_hour=5)
        found = []
        for n in range(200):
            found += alerts.tick(at(n * 60))
            found += alerts.feed(same(n, n * 60, rule=f"r{n % 7}", level=("low", "high", "critical")[n % 3]))
            if n % 50 == 49:
                found += alerts.tick(at(n * 60 + 2 * HOUR))
        return found

    assert run() == run()


def test_actors_are_named():
    """The alert names the agent."""
    (alert,) = manager().feed(same(1))
    assert alert.replguard.actor == AGENT


def drilled(number, seconds=0, **given):
    """Return a detection of what an announced drill did."""
    return detection(copy_fact(number, seconds, drill="self-replication"), **given)


def test_what_a_drill_does_is_told_whatever_would_keep_it_back():
    """Neither the lowest level, nor the fold, nor the hourly limit, nor a rollout: at its real level, and marked."""
    alerts = manager(mode="observe", min_level="high", max_per_hour=1)
    alerts.feed(same(1))
    found = [alerts.feed(drilled(n, n, level=level)) for n, level in ((2, "low"), (3, "low"), (4, "critical"))]
    assert [told(each) for each in found] == [
        [("firing", 1, "low")], [("firing", 1, "low")], [("firing", 1, "critical")],
    ]  # fmt: skip
    assert {alert.replguard.drill for each in found for alert in each} == {"self-replication"}
    assert alerts.suppressed == {}


def test_a_drill_takes_nothing_from_what_is_real():
    """Neither its place in the hour, nor is it folded into what the same actor did in a drill."""
    alerts = manager(max_per_hour=1)
    for number in range(1, 4):
        alerts.feed(drilled(number, number))
    (real,) = alerts.feed(same(4, 4))
    assert (real.replguard.drill, real.replguard.count) == (None, 1)
