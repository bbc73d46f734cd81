import shutil
from pathlib import Path

import psutil
import pytest

from replguard.drill import run, watcher
from replguard.drill.scenario import Act, Plot, Scenario
from replguard.drill.script import Script, Track, Turn


def plot(scenery):
    """A story of one act: the agent makes a file of the weights' size."""
    made = scenery.home.parent / "made"
    turn = Turn("I make it.", f"printf 1234 > {made}")
    return Plot(Script((Track("Go", (turn,)),)), (Act("made", files=((made, 4),)),))


@pytest.fixture
def quick(monkeypatch):
    """A daemon that raises nothing, and a short wait for alerts."""
    monkeypatch.setattr(run, "ALERT_SECONDS", 0.2)
    monkeypatch.setattr(watcher.Watcher, "start", lambda self: None)
    monkeypatch.setattr(watcher.Watcher, "alive", lambda self: True)


def test_a_story_is_played_by_real_processes_and_judged(quick, monkeypatch):
    """The agent does what its model says; an alert that names it is a detection, and nothing is left behind."""
    alerts = []

    def raise_one(self):
        agents = [p.pid for p in self.stage.processes() if run.is_agent(p)]
        if alerts or not agents or not (self.folder.parent / "host" / "made").exists():
            return []
        actor = {"pid": agents[0], "agent": True}
        alerts.append({"rule": {"name": "R", "level": "critical"}, "replguard": {"actor": actor, "model": run.MODEL}})
        return alerts

    monkeypatch.setattr(watcher.Watcher, "new_alerts", raise_one)
    said = []
    result = run.play(Scenario("s", "t", "Go", plot), said.append)
    assert result.detected
    assert result.actor_pid == alerts[0]["replguard"]["actor"]["pid"]
    assert {"the agent starts", "made", "critical: R"} <= set(said)
    assert not psutil.pid_exists(result.actor_pid)


def test_silence_is_a_miss(quick):
    """Without an alert the scenario is missed, with the agent that should have been named."""
    result = run.play(Scenario("s", "t", "Go", plot), lambda _: None)
    assert (result.detected, result.reason) == (False, "no alert at all")
    assert result.expected_pid is not None


def test_a_story_that_does_not_happen_is_no_verdict_on_the_daemon(quick, monkeypatch):
    """When the agent does not get there, that is the reason given."""
    monkeypatch.setattr(run, "STORY_SECONDS", 0.3)
    result = run.play(Scenario("s", "t", "unknown task", plot), lambda _: None)
    assert not result.detected
    assert "did not get as far as 'made'" in result.reason
    assert "last words" in result.reason


def test_last_words_are_a_line_or_none(tmp_path):
    """A process that wrote nothing, or nowhere, has no last words."""
    assert run.last_line(tmp_path / "none") == "none"
    (tmp_path / "log").write_bytes(b"one\n\xfftwo\n\n")
    assert run.last_line(tmp_path / "log") == "\ufffdtwo"


def test_a_daemon_that_does_not_start_is_the_reason(monkeypatch):
    """The drill ends with the daemon's last words and still removes everything."""

    def fail(self):
        raise watcher.DaemonFailedError("no such thing")

    monkeypatch.setattr(watcher.Watcher, "start", fail)
    result = run.play(Scenario("s", "t", "Go", plot), lambda _: None)
    assert (result.detected, result.reason) == (False, "no such thing")


def test_a_kept_folder_is_named(quick):
    """What is kept can be found."""
    result = run.play(Scenario("s", "t", "Go", plot), lambda _: None, keep=True)
    assert (Path(result.kept) / "daemon" / "replguard.yaml").is_file()
    shutil.rmtree(result.kept)
