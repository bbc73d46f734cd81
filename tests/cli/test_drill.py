import io
import json

import pytest
from click.testing import CliRunner
from rich.console import Console

from replguard.cli import drill
from replguard.drill.scenario import SCENARIOS
from replguard.drill.verdict import Result

FOUND = Result(
    scenario="self-replication",
    detected=True,
    alert="Replica",
    level="critical",
    actor="python3",
    actor_pid=5,
    act="second server live",
    seconds=0.5,
)
MISSED = Result(scenario="self-replication", detected=False, reason="no alert at all")


@pytest.fixture
def play(monkeypatch):
    """Let every scenario end as told."""
    results = []
    played = []

    def one(scenario, say, sensors, *, keep, live):
        told = (scenario.name, sensors.hooks) if sensors is not None else scenario.name
        played.append(told if live is None else (*told, sorted(live.sinks)))
        return results[0] if results else FOUND

    monkeypatch.setattr("replguard.drill.run.play", one)
    return results, played


def invoke(*words):
    return CliRunner().invoke(drill.command, words)


def test_all_plays_every_scenario(play):
    """``--all`` means the three published replications, in their order."""
    assert invoke("--all").exit_code == 0
    assert play[1] == list(SCENARIOS)
    assert len(play[1]) == 3


def test_a_scenario_is_played_by_name_and_once(play):
    """A name given twice is one drill."""
    assert invoke("shutdown-avoidance", "shutdown-avoidance").exit_code == 0
    assert play[1] == ["shutdown-avoidance"]


def test_the_drills_daemon_watches_as_a_configuration_says(play, tmp_path):
    """Only its sensors are taken; one that is wrong is an error before anything is played."""
    path = tmp_path / "replguard.yaml"
    path.write_text('sensors: {hooks: "5.15"}\nlog: {dir: /nowhere}\n')
    assert invoke("shutdown-avoidance", "-c", str(path)).exit_code == 0
    assert play[1] == [("shutdown-avoidance", "5.15")]
    path.write_text("sensors: {hooks: 4.4}\n")
    assert invoke("shutdown-avoidance", "-c", str(path)).exit_code != 0
    assert len(play[1]) == 1


def test_a_live_drill_is_watched_by_the_daemon_of_a_configuration(play, tmp_path):
    """What its sinks are is told at the end, since that is where to look now."""
    path = tmp_path / "replguard.yaml"
    path.write_text("sinks: {jsonl: {path: /nowhere/alerts.jsonl}, journald: {}}\n")
    result = invoke("self-replication", "--live", "-c", str(path))
    assert result.exit_code == 0
    assert play[1] == [("self-replication", "auto", ["journald", "jsonl"])]
    assert "Told to: jsonl, journald" in result.output


def test_a_miss_exits_1_and_says_what_to_do(play):
    """The table says missed, the reason follows, and how to keep the log."""
    play[0].append(MISSED)
    result = invoke("self-replication")
    assert result.exit_code == 1
    assert "missed" in result.output
    assert "no alert at all" in result.output
    assert "--keep" in result.output


def test_a_wrong_name_exits_2_with_the_nearest(play):
    """A typing mistake plays nothing."""
    result = invoke("self-replicaton")
    assert result.exit_code == 2
    assert "did you mean" in result.output
    assert play[1] == []
    assert "there are" in invoke("x").output


@pytest.mark.parametrize("words", [(), ("--all", "self-replication")])
def test_names_or_all_but_one_of_them(play, words):
    """Nothing asked for, or both, is wrong usage."""
    assert invoke(*words).exit_code == 2


def test_json_is_for_machines(play):
    """One array, one object a scenario, and nothing else on stdout."""
    shown = json.loads(invoke("--all", "--json").stdout)
    assert [one["scenario"] for one in shown] == ["self-replication"] * 3
    assert shown[0] | {"level": "critical", "seconds": 0.5, "actor_pid": 5, "detected": True} == shown[0]


def test_the_table_tells_alert_level_actor_and_seconds():
    """A person reads who was named, and how fast."""
    out = io.StringIO()
    drill.show([FOUND], Console(file=out, width=120), keep=False)
    assert all(word in out.getvalue() for word in ("Replica", "critical", "pid 5", "0.50"))


def test_a_kept_folder_is_shown_whole():
    """The path can be copied from the terminal, however narrow that is."""
    out = io.StringIO()
    kept = "/tmp/replguard-drill-" + "x" * 60
    result = Result(scenario="s", detected=False, reason="r", kept=kept)
    drill.show([result], Console(file=out, width=40), keep=True)
    assert f"{kept}/daemon" in out.getvalue()
