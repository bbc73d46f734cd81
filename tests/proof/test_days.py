"""What is claimed of days is counted from what was raised, and what was raised is of the act that did it."""

import shlex
from pathlib import Path

import pytest
import yaml
from proof import days, days_report, diary
from proof.workday import Workday, counted

from replguard.events.alert import LEVELS

NONE = dict.fromkeys(reversed(LEVELS), 0)


def day(alone=(), told=(), long=(), **more):
    def judged(levels, other=()):
        played = counted({"rule": {"level": level}} for level in levels)
        raised = [[level, "a-rule", "deploy 1", "It was."] for level in levels]
        rules = {f"{level} a-rule": 2 for level in other}
        return {"played": played, "drawn_out": NONE | dict.fromkeys(other, 2), "rules": rules, "raised": raised}

    about = {
        "seed": 1,
        "hours": 24,
        "factor": 240.0,
        "seconds": 370,
        "acts": {"deploy": 3, "backup": 1},
        "unplayed": {},
    }
    return about | {"alone": judged(alone, long), "told": judged(told)} | more


@pytest.mark.parametrize(
    ("row", "held"),
    [
        (day(), [True, True, True]),
        (day(alone=["high", "medium", "low"], told=["low", "informational"]), [True, True, True]),
        (day(alone=["high", "high"]), [True, False, True]),
        (day(long=["high"]), [True, False, True]),
        (day(alone=["critical"], told=["medium"]), [False, True, False]),
    ],
)
def test_a_claim_holds_of_both_countings(row, held):
    """As played and drawn out: the larger number counts."""
    assert [claim(row) for claim in days.CLAIMS.values()] == held


def test_figures_are_shares_of_the_days_played():
    """A day that was not played is none."""
    figures = days.figures({"day/1": day(), "day/2": day(told=["medium"]), "day/3": {"failed": "no root"}})
    assert [*figures.values()] == [1.0, 1.0, 0.5]
    assert days.figures({"day/3": {"failed": "no root"}}) == {}
    assert days.planned(2) == ["day/1", "day/2"]


def test_a_day_is_told_in_a_line():
    """With what was raised by level, and what was not played."""
    text = days.line(day(alone=["medium"], long=["low"], unplayed={"deploy 1": "no room"}))
    assert text == "4 acts in 370 s; without a manifest: 1 medium, 2 low; with a manifest: 0; 1 not played"
    assert days.line({"failed": "no root"}) == "not played: no root"


def test_the_page_has_both_countings_and_every_act_that_was_raised():
    """And says how much the time was pressed together."""
    text = "\n".join(days_report.page({"day/1": day(alone=["medium", "high"], long=["low"]), "day/2": {"failed": "x"}}))
    assert "compressed 240 times" in text
    assert "| 1 | 4 | 0 | no | 0, 0 | 1, 0 | 1, 0 | 0, 2 |" in text
    assert "| low a-rule | 2.0 | 0.0 |" in text
    assert "At most one at high without a manifest: 1 of 1 days." in text
    assert "- seed 1, without a manifest: high `a-rule`, deploy 1" in text
    assert "Not noted on these days." in text
    assert days_report.page({"day/2": {"failed": "x"}}) == ["No day was played."]


def test_the_page_shows_what_the_daemons_held_through_the_day():
    """By thirds, so that growth is seen."""
    held = [[hour, 100.0 + hour, 200, 30] for hour in range(9)]
    text = "\n".join(days_report.page({"day/1": day() | {"cost": {"alone": held, "told": held[:1]}}}))
    assert "| day/1 | no | 101 → 104 → 107 (most 108) | 200 → 200 → 200 (most 200) | 30 → 30 → 30 (most 30) |" in text
    assert "| day/1 | yes | 100 (most 100) | 200 (most 200) | 30 (most 30) |" in text


# -- whose an alert is -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    acts = [act for act in diary.drawn(1).acts if act.kind in ("deploy", "assistant", "server", "notebook")]
    kind = type("Small", (Workday,), {"diary": diary.Diary(1, {acts[0].model: 1}, {}, ())})
    return kind(tmp_path_factory.mktemp("day"), acts)


def alert(text="", pid=1, principal="", model="/models/x", state="firing", at="2026-11-27T12:00:00+00:00", line="sh"):
    about = {"state": state, "model": model, "actor": {"pid": pid, "principal": principal}}
    return {"@timestamp": at, "message": text, "process": {"pid": pid, "command_line": line}, "replguard": about}


def test_an_alert_is_of_the_act_that_did_it(one):
    """By the process, by the service's last run before, or by the folder; else it is nobody's."""
    deploys = [slug for slug, act in one.cases.items() if act.kind == "deploy"]
    one.pids, one._begun = {deploys[0]: {77}}, [(0.0, deploys[0]), (1.0, deploys[1]), (4e9, deploys[-1])]
    assert one.of(alert(pid=77)) == one.cases[deploys[0]].name
    assert one.of(alert(principal=f"unit:{one.groups.unit('deploy')}")) == one.cases[deploys[1]].name
    assert one.of(alert(text=f"It wrote {one.place(deploys[-1])}/x.")) == one.cases[deploys[-1]].name
    assert one.of(alert()) == "none of the acts"


def test_what_is_no_part_of_the_day_is_not_counted(one):
    """The test's own copies, daemons that are tested, what else runs on the machine, and what is over."""
    ours, one._watching = f"It wrote {one.folder}/shared/x.", {5}
    assert one._counts(alert(text=ours))
    assert not one._counts(alert(text="It wrote /srv/x."))
    assert not one._counts(alert(text=ours, model=f"{one.folder}/models/control"))
    assert not one._counts(alert(text=ours, pid=5))
    assert not one._counts(alert(text=f"python3 (pid 5, uid 0) read {one.folder}/models/x."))
    for line in ("python -m replguard run", "python -c from replguard.weights.worker import main"):
        assert not one._counts(alert(text=ours, line=line))
    assert not one._counts(alert(text=ours, state="resolved"))


def test_the_manifest_allows_no_more_than_each_has_to_do(one):
    """Services by their units and people by their models; assistants nothing."""
    said = yaml.safe_load(one.manifest().read_text())
    assert {entry["name"] for entry in said["deployments"]} == {act.model for act in one.cases.values() if act.held}
    assert [entry["name"] for entry in said["jobs"]] == ["deploy", "people"]
    assert not any(entry.get("agent") for entry in said["jobs"])


def test_an_act_knows_its_surroundings(one):
    """Whatever it names of them is given to it."""
    given = one.given(next(iter(one.cases)))
    for name in ("M", "MODELS", "SHARED", "UP", "FILE", "DIR", "PY", "RESHAPE"):
        assert given[name]
        assert shlex.quote(str(given[name]))
    assert Path(given["SHARED"], "log").is_dir()
