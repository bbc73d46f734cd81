"""The baseline is collected for a day, kept on disk, and never made anew when it was lost."""

from datetime import timedelta
from pathlib import Path

import pytest
from support.story import START

from replguard.provenance.baseline import PERIOD, Baseline


def opened(path: Path | None, *, first: bool = True, later: timedelta = timedelta(0)) -> Baseline:
    baseline = Baseline(path)
    baseline.open(START + later, first_start=first)
    return baseline


def test_it_is_collected_for_a_day() -> None:
    """From the first start on, not a moment longer."""
    baseline = opened(None)
    assert baseline.collecting(START)
    assert baseline.collecting(START + PERIOD - timedelta(seconds=1))
    assert not baseline.collecting(START + PERIOD)
    assert baseline.before(START)
    assert not baseline.before(START + timedelta(seconds=1))


def test_it_survives_a_restart(tmp_path: Path) -> None:
    """What was taken in is found again, and the day goes on from the first start."""
    path = tmp_path / "state" / "baseline.json"
    baseline = opened(path)
    assert baseline.take("unit:a", "llama", 1, START)
    assert baseline.take("unit:a", "llama", 2, START)
    assert not baseline.take("unit:a", "llama", 1, START)
    baseline.save()
    assert path.stat().st_mode & 0o077 == 0
    again = opened(path, first=False, later=timedelta(hours=23))
    entry = again.find("unit:a", "llama")
    assert entry is not None
    assert entry.instances == 2
    assert again.collecting(START + timedelta(hours=23))
    assert not again.before(START + timedelta(hours=1))
    assert again.trouble is None
    assert again.find("unit:a", "other") is None


def test_closing_ends_the_collection_for_good(tmp_path: Path) -> None:
    """As ``learn --accept`` does."""
    path = tmp_path / "baseline.json"
    baseline = opened(path)
    baseline.close()
    baseline.save()
    assert not baseline.collecting(START)
    assert not opened(path, first=False).collecting(START)


@pytest.mark.parametrize("data", [None, b"", b"{broken", b"[]"])
def test_a_lost_baseline_is_none(tmp_path: Path, data: bytes | None) -> None:
    """Where the daemon has run before, lost state is told and nothing is collected in its place."""
    path = tmp_path / "baseline.json"
    if data is not None:
        path.write_bytes(data)
    baseline = opened(path, first=False)
    assert baseline.trouble is not None
    assert not baseline.collecting(START)
    assert not baseline.before(START)
    assert not baseline.take("unit:a", "llama", 1, START)
    baseline.close()
    baseline.save()
    assert baseline.trouble is not None
    assert (path.read_bytes() if path.exists() else None) == data


def test_what_cannot_be_written_is_tried_again(tmp_path: Path) -> None:
    """Trouble is kept for whoever asks, and gone after the next save that works."""
    blocked = tmp_path / "state"
    blocked.write_text("a file, not a folder")
    baseline = opened(None)
    baseline._path = blocked / "baseline.json"
    baseline.save()
    assert baseline.trouble is not None
    assert "cannot be written" in baseline.trouble
    blocked.unlink()
    baseline.save()
    assert baseline.trouble is None
    assert (blocked / "baseline.json").exists()


def test_nothing_new_is_not_written(tmp_path: Path) -> None:
    """Saving once a second must cost nothing."""
    path = tmp_path / "baseline.json"
    baseline = opened(path)
    baseline.save()
    path.unlink()
    baseline.save()
    assert not path.exists()
