"""After a loss what changed is found, and nothing else."""

import os
from pathlib import Path

import pytest

from replguard.sensors.files import missed as missed_module
from replguard.sensors.files.missed import LATER, Missed
from replguard.sensors.files.places import Root


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


def test_each_reason_has_its_own_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large tree takes nothing from what matters, which is read first; that more was there is told once."""
    monkeypatch.setattr(missed_module, "MOST_FOLDERS", 3)
    monkeypatch.setattr(missed_module, "MOST_FILES", 3)
    for number in range(6):
        (tmp_path / "large" / f"d{number}").mkdir(parents=True)
    (tmp_path / "matters").mkdir()
    for number in range(5):
        (tmp_path / "matters" / f"f{number}").write_text("x")
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "g").write_text("x")
    missed = Missed()
    large, matters, small = (os.fsencode(tmp_path / name) for name in ("large", "matters", "small"))
    missed.begin([(large, True)], urgency=LATER)
    missed.after_loss([Root(matters, important=True), Root(small)], [])
    found = [Path(os.fsdecode(path)).name for path, _ in missed.step(5.0)]
    assert found[-1] == "g"
    assert len(found) == 4
    assert {name[0] for name in found[:3]} == {"f"}
    assert not missed.waiting
    assert [missed.cut(), missed.cut()] == [2, 0]
    for _ in range(missed_module.MOST_REASONS + 1):
        missed.begin([(small, False)])
    assert missed.cut() == 1


def test_folders_of_another_namespace_are_not_left(tmp_path: Path) -> None:
    """A symlink in the place of one is not followed."""
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "f").write_text("x")
    (tmp_path / "soft").symlink_to(tmp_path / "there")
    missed, root = Missed(), b"/proc/%d/root" % os.getpid()
    missed.begin([(root + os.fsencode(tmp_path.resolve() / "soft"), True), (b"/proc/1/root/none", True)])
    assert names(missed) == set()
    missed.begin([(root + os.fsencode(tmp_path.resolve() / "there"), True)])
    assert names(missed) == {"f"}
