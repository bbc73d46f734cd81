"""The metrics page has a value for all that can be told at load, before anything has happened."""

from pathlib import Path

from replguard.daemon import Daemon
from replguard.events.catalogue import PORTABLE
from replguard.pipeline import health
from replguard.policy import Policy
from replguard.sensors.files.verdicts import Verdict
from replguard.weights.examiner import Examiner, Request
from replguard.weights.messages import Settings


def daemon(folder: Path) -> Daemon:
    """Return a daemon that was never started."""
    path = folder / "replguard.yaml"
    path.write_text(
        f"state_dir: {folder}/state\nweights: {{paths: [{folder}/models], discover: false}}\n"
        f"watch: {{paths: [{folder}]}}\nagents: {{endpoints: []}}\nlog: {{dir: {folder}/log}}\n"
        f"sinks: {{jsonl: {{path: {folder}/alerts.jsonl}}}}\nmanifest: {folder}/manifest.yaml\n"
    )
    return Daemon(Policy(path, lambda _: PORTABLE, strict=True))


def test_every_rule_is_there_at_zero_from_load(tmp_path: Path) -> None:
    """A rate over a counter that appears with its first alert would miss that alert."""
    made = daemon(tmp_path)
    sheet = made._numbers()
    rules = made.policy.ruleset.every()
    assert rules
    for rule in rules:
        assert sheet.value("rule_matches_total", rule.name) == 0
        assert sheet.value("alerts_total", rule.name, rule.level) == 0
    assert sheet.value("build_info", __import__("replguard").__version__) == 1
    assert sheet.value("config_last_reload_successful") == 1


def test_the_canary_and_what_was_fed_are_counted(tmp_path: Path) -> None:
    """A canary that came through is told by its time; one that never did is not told at all."""
    made = daemon(tmp_path)

    def sheet() -> object:
        return made._numbers()

    before = sheet()
    assert before.value("canary_last_success_timestamp_seconds") is None
    made.pipeline.observe(health("canary", "canary"))
    after = sheet()
    assert (after.value("canary_last_success_timestamp_seconds") or 0) > 1_700_000_000
    assert after.value("events_fed_total") == 1
    made.pipeline.raw.close()


def test_the_page_tells_its_own_time(tmp_path: Path) -> None:
    """The heartbeat is the clock by which the canary and the checkpoints are told: their age needs no other clock."""
    made = daemon(tmp_path)
    made.pipeline.observe(health("canary", "canary"))
    made.pipeline.flow.sealed = {"raw": 1_700_000_000.0, "evidence": 1_700_003_600.0}
    made.pipeline.flow.failed["tick"] = 2
    sheet = made._numbers()
    beat = sheet.value("heartbeat_timestamp_seconds") or 0
    assert 0 <= beat - (sheet.value("canary_last_success_timestamp_seconds") or 0) < 60
    assert sheet.value("checkpoint_timestamp_seconds") == 1_700_000_000.0, "the stream that was sealed longest ago"
    assert sheet.value("events_dropped_total", "pipeline", "step", "failed") == 2
    assert sheet.value("resident_memory_bytes", "daemon")
    made.pipeline.raw.close()


def test_files_that_the_examiner_refused_are_lost_events(tmp_path: Path) -> None:
    """Counted from 0, once for each file however often it is asked about."""
    made = daemon(tmp_path)
    made.holdings.examiner = Examiner(Settings(None), queue=2)

    def dropped() -> float | None:
        sheet = made._numbers()
        return sheet.value("events_dropped_total", "examiner", "queue", "full")

    assert dropped() == 0
    assert made.holdings.examiner.submit(Request("/a", uid=7))
    assert not made.holdings.examiner.submit(Request("/b", uid=7))
    assert not made.holdings.examiner.submit(Request("/b", uid=7, again=True))
    assert dropped() == 1


def test_mounts_and_weights_on_unwatched_ones_are_told(tmp_path: Path) -> None:
    """By kind and reason, never by path; an image of a user's file system is not named as its program likes."""
    made = daemon(tmp_path)
    told = [Verdict(b"/", "ext4"), Verdict(b"/a", "ext4"), Verdict(b"/s3", "fuse.mine", "remote", "", own=False)]
    told.append(Verdict(str(tmp_path).encode(), "nfs4", "remote", ""))
    made.runner.mounts = lambda: told  # type: ignore[method-assign]
    sheet = made._numbers()
    assert sheet.value("mounts", "true", "ext4", "", "own") == 2
    assert sheet.value("mounts", "false", "fuse", "remote", "other") == 1
    assert sheet.value("weights_unwatched_files", "nfs4", "remote") == 0
