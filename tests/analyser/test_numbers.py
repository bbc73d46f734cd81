"""The metrics page has a value for all that can be told at load, before anything has happened."""

from pathlib import Path

from support.together import Together

from replguard import __version__
from replguard.metrics.table import Sheet
from replguard.stage import health


def both(folder: Path) -> Together:
    """Both halves, never started, which have told each other how they stand."""
    path = folder / "replguard.yaml"
    path.write_text(
        f"state_dir: {folder}/state\nweights: {{paths: [{folder}/models], discover: false}}\n"
        f"watch: {{paths: [{folder}]}}\nagents: {{endpoints: []}}\nlog: {{dir: {folder}/log}}\n"
        f"sinks: {{jsonl: {{path: {folder}/alerts.jsonl}}}}\nmanifest: {folder}/manifest.yaml\n"
    )
    return Together(path, strict=True)


def sheet(made: Together) -> Sheet:
    """What the page would show now."""
    made.collector.stand()
    return made.analyser._numbers()


def test_every_rule_is_there_at_zero_from_load(tmp_path: Path) -> None:
    """A rate over a counter that appears with its first alert would miss that alert."""
    made = both(tmp_path)
    found = sheet(made)
    rules = made.analyser.rulebook.ruleset.every()
    assert rules
    for rule in rules:
        assert found.value("rule_matches_total", rule.name) == 0
        assert found.value("alerts_total", rule.name, rule.level) == 0
    assert found.value("build_info", __version__) == 1
    assert found.value("config_last_reload_successful") == 1


def test_the_canary_and_what_was_fed_are_counted(tmp_path: Path) -> None:
    """A canary that came through is told by its time; one that never did is not told at all."""
    made = both(tmp_path)
    assert sheet(made).value("canary_last_success_timestamp_seconds") is None
    made.analyser.judge.observe(health("canary", "canary"))
    after = sheet(made)
    assert (after.value("canary_last_success_timestamp_seconds") or 0) > 1_700_000_000
    assert after.value("events_fed_total") == 1
    made.analyser.judge.raw.close()


def test_the_page_tells_its_own_time(tmp_path: Path) -> None:
    """The heartbeat is the clock by which the canary and the checkpoints are told: their age needs no other clock."""
    made = both(tmp_path)
    judge = made.analyser.judge
    judge.observe(health("canary", "canary"))
    judge.flow.sealed = {"raw": 1_700_000_000.0, "evidence": 1_700_003_600.0}
    judge.flow.failed["tick"] = 2
    found = sheet(made)
    beat = found.value("heartbeat_timestamp_seconds") or 0
    assert 0 <= beat - (found.value("canary_last_success_timestamp_seconds") or 0) < 60
    assert found.value("checkpoint_timestamp_seconds") == 1_700_000_000.0, "the stream that was sealed longest ago"
    assert found.value("events_dropped_total", "pipeline", "step", "failed") == 2
    assert found.value("resident_memory_bytes", "analyser")
    judge.raw.close()


def test_a_fault_that_the_collector_tells_is_a_fault(tmp_path: Path) -> None:
    """The configuration is its to read."""
    made = both(tmp_path)
    (tmp_path / "manifest.yaml").write_text("{")
    made.collector.policy.reload()
    assert sheet(made).value("config_last_reload_successful") == 0
