"""What the collector counts reaches the page."""

from pathlib import Path

from analyser.test_numbers import both, sheet

from replguard.sensors.files.verdicts import Verdict
from replguard.weights.examiner import Examiner, Request
from replguard.weights.messages import Settings


def test_files_that_the_examiner_refused_are_lost_events(tmp_path: Path) -> None:
    """Counted from 0, once for each file however often it is asked about."""
    made = both(tmp_path)
    examiner = made.collector.holdings.examiner = Examiner(Settings(None), queue=2)

    def dropped() -> float | None:
        return sheet(made).value("events_dropped_total", "examiner", "queue", "full")

    assert dropped() == 0
    assert examiner.submit(Request("/a", uid=7))
    assert not examiner.submit(Request("/b", uid=7))
    assert not examiner.submit(Request("/b", uid=7, again=True))
    assert dropped() == 1


def test_what_waits_on_both_sides_is_one_number(tmp_path: Path) -> None:
    """Whoever looks at it asks how far behind we are."""
    made = both(tmp_path)
    made.collector.unsent = lambda: 41
    assert sheet(made).value("pipeline_queue_length") == 41
    assert sheet(made).value("resident_memory_bytes", "collector")


def test_mounts_and_weights_on_unwatched_ones_are_told(tmp_path: Path) -> None:
    """By kind and reason, never by path; an image of a user's file system is not named as its program likes."""
    made = both(tmp_path)
    told = [Verdict(b"/", "ext4"), Verdict(b"/a", "ext4"), Verdict(b"/s3", "fuse.mine", "remote", "", own=False)]
    told.append(Verdict(str(tmp_path).encode(), "nfs4", "remote", ""))
    made.collector.runner.mounts = lambda: told  # type: ignore[method-assign]
    found = sheet(made)
    assert found.value("mounts", "true", "ext4", "", "own") == 2
    assert found.value("mounts", "false", "fuse", "remote", "other") == 1
    assert found.value("weights_unwatched_files", "nfs4", "remote") == 0
