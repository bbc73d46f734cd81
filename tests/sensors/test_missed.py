"""After a loss what changed is found, and nothing else."""

import os
from pathlib import Path

from replguard.sensors.missed import Missed


def names(missed: Missed) -> set[str]:
    return {Path(os.fsdecode(path)).name for path, _ in missed.step(5.0)}


def test_changed_files_are_found_below_deep_folders(tmp_path: Path) -> None:
    """Also where no folder on the way changed; old files, and places to be left alone, are not."""
    for place in ("a/b", "skipped", "flat/below"):
        (tmp_path / place).mkdir(parents=True)
    missed = Missed()
    missed.skip = frozenset([os.fsencode(tmp_path / "skipped")])
    for name in ("a/b/new", "skipped/new2", "flat/top", "flat/below/new3"):
        (tmp_path / name).write_text("x")
    missed.begin([(os.fsencode(tmp_path / "a"), True), (os.fsencode(tmp_path / "skipped"), True)])
    missed.begin([(os.fsencode(tmp_path / "flat"), False)])
    assert names(missed) == {"new", "top"}
    missed.good()
    missed._good += 1000
    missed.begin([(os.fsencode(tmp_path / "a"), True)])
    assert names(missed) == set()


def test_a_rescan_under_way_keeps_its_moment(tmp_path: Path) -> None:
    """What is good by then is not what was missed."""
    missed = Missed()
    missed.begin([(os.fsencode(tmp_path), True)])
    before = missed._good
    missed.good()
    assert missed._good == before


def test_what_was_not_watched_is_read_further_back(tmp_path: Path) -> None:
    """A filesystem that somebody mounted out of our sight may have been written to before we looked."""
    (tmp_path / "new").write_text("x")
    missed = Missed()
    missed._good += 8
    missed.begin([(os.fsencode(tmp_path), True)])
    assert names(missed) == set()
    missed.begin([(os.fsencode(tmp_path), True)], since=10)
    assert names(missed) == {"new"}
