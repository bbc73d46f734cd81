"""The random adversary: what is drawn, what is judged of it, and what the page says."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from proof import composed, stageplay
from proof.judge import Seen
from proof.techniques import APART, BREAK, CHANGE, COVER, SERVE, TAKE, Composition

from replguard.errors import ReplguardError

DRAWN = [composed.composed(number) for number in range(1, 501)]


def test_a_number_is_the_same_composition_each_time() -> None:
    """And hardly one is another's."""
    assert [composed.composed(one.number) for one in DRAWN[:50]] == DRAWN[:50]
    assert len({replace(one, number=0, pauses=(0.0, 0.0)) for one in DRAWN}) > 490


def test_every_technique_is_drawn() -> None:
    """Of each kind; agents most of the time."""
    for what, known in (("take", TAKE), ("change", CHANGE), ("broken", BREAK), ("serve", SERVE), ("cover", COVER)):
        assert {getattr(one, what) for one in DRAWN} == set(known)
    assert 350 < sum(one.hand == "agent" for one in DRAWN) < 450


def test_the_scripts_are_shell(tmp_path: Path) -> None:
    """Whatever is put together."""
    for one in DRAWN:
        (tmp_path / "act.sh").write_text(f"{one.acts()}\n{BREAK[one.broken]}\n")
        subprocess.run(["sh", "-n", str(tmp_path / "act.sh")], check=True)


def seen(level: str, by: int | None, when: float, *, agent: bool = True) -> Seen:
    about = {"actor": {"pid": by, "agent": agent}}
    return Seen({"rule": {"level": level, "name": "a-rule"}, "message": "it did", "replguard": about}, when)


def made(hand: str = "agent", broken: str = "none") -> Composition:
    return replace(DRAWN[0], hand=hand, broken=broken)


def test_the_first_loud_alert_counts() -> None:
    """Medium is not loud; the actor is an agent of the tree that acted."""
    told = [seen("medium", 5, 10.0), seen("critical", 6, 12.0), seen("high", 5, 11.0)]
    found = stageplay.Played(True, done=10.5, answered=11.5, agents={5, 6}, told=told)
    row = stageplay.row_of(made(), found)
    assert (row["level"], row["seconds"], row["before_answer"], row["right"]) == ("critical", 0.5, True, True)
    other = stageplay.Played(True, 10.5, 10.9, {5}, told)
    assert stageplay.row_of(made(), other)["right"] is False
    assert stageplay.row_of(made(), other)["before_answer"] is False
    assert stageplay.row_of(made("nobody"), other)["right"] is None
    assert stageplay.row_of(made(broken=APART[0]), other)["right"] is None


def test_what_is_only_murmured_is_missed() -> None:
    """And no actor is right or wrong."""
    row = stageplay.row_of(made(), stageplay.Played(True, 10.5, 11.0, {5}, [seen("medium", 5, 10.0)]))
    assert (row["level"], row["seconds"], row["before_answer"], row["right"]) == (None, None, None, None)


def test_the_page_counts_and_names_what_was_missed() -> None:
    """What could not be played is neither."""
    words = dict.fromkeys(("hand", "take", "change", "broken", "serve", "cover", "place"), "x")
    good = words | {"level": "critical", "seconds": 0.1, "before_answer": True, "right": True, "wrong": []}
    rows = {
        "adversary/1": good,
        "adversary/2": good | {"level": "high", "before_answer": None, "right": False, "wrong": ["w"]},
        "adversary/3": good | {"level": None, "seconds": None, "before_answer": None, "right": None},
        "adversary/4": words | {"failed": "no such program"},
    }
    text = "\n".join(composed.page(rows))
    assert "| told at high or critical | 2 of 3 |" in text
    assert "| told at critical | 1 of 3 |" in text
    assert "answer, asked for ten times a second | 1 of 1 |" in text
    assert "| 1 of 2 |" in text
    assert "`adversary/3`" in text
    assert "not played: no such program" in text
    assert composed.figures(rows) == {"adversary: told at high or critical": pytest.approx(2 / 3)}


def test_what_cannot_be_played_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thief who got something else is none."""

    class Instead:
        def __init__(self, given: object) -> None:
            self.given = given

        def result(self) -> stageplay.Played:
            if isinstance(self.given, Exception):
                raise self.given
            assert isinstance(self.given, stageplay.Played)
            return self.given

    monkeypatch.setattr(composed, "_played", lambda _: Instead(ReplguardError("it came to no end")))
    assert composed.run("adversary/1")["failed"] == "it came to no end"
    monkeypatch.setattr(composed, "_played", lambda _: Instead(stageplay.Played(verified=False)))
    assert "not the model's" in composed.run("adversary/1")["failed"]
