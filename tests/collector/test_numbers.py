"""What the collector counts reaches the page."""

from pathlib import Path

from analyser.test_numbers import both, sheet

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
