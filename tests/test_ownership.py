"""Folders that others can write to are told, with who they are and what to do."""

import os
from pathlib import Path

import pytest

from replguard.ownership import doubt

STRANGER = 54321


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    """Give a folder in a folder that are ours alone."""
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    for one in (folder, folder.parent):
        one.chmod(0o700)
    assert doubt(folder) is None
    return folder


@pytest.mark.parametrize("mode", [0o700, 0o750, 0o755, 0o500, 0o2750])
def test_what_only_its_owner_writes_to_is_ours(ours: Path, mode: int) -> None:
    """Whoever may read it."""
    ours.chmod(mode)
    assert doubt(ours) is None


@pytest.mark.parametrize("mode", [0o777, 0o702, 0o1777])
def test_what_everybody_may_write_to_is_not(ours: Path, mode: int) -> None:
    """The sticky bit keeps others from removing our files, not from putting theirs beside."""
    ours.chmod(mode)
    assert doubt(ours) == f"{ours} can be written to by everybody, who can change what is in it: {MEND}"


MEND = "chmod go-w it, or name another"


def test_a_folder_on_the_way_counts_too(ours: Path) -> None:
    """Who may rename it may put another in its place; where only owners rename, as in /tmp, nobody else may."""
    ours.parent.chmod(0o777)
    assert (doubt(ours) or "").startswith(f"{ours.parent} can be written to by everybody")
    ours.parent.chmod(0o1777)
    assert doubt(ours) is None


def test_what_is_not_there_is_left_to_who_makes_it(ours: Path) -> None:
    """Behind a folder that everybody may write to as well."""
    assert doubt(ours / "new" / "newer") is None
    assert doubt(ours / ("x" * 300)) is None
    (ours / "file").touch()
    assert doubt(ours / "file" / "below") is None
    ours.parent.chmod(0o777)
    assert doubt(ours / "new") is not None


def test_a_relative_path_is_one_of_the_working_folder(ours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dots go where they lead."""
    ours.chmod(0o777)
    monkeypatch.chdir(ours)
    assert doubt(Path()) is not None
    assert doubt(Path("../b/../b")) is not None
    ours.chmod(0o700)
    assert doubt(Path("..")) is None


def test_a_link_is_followed(ours: Path, tmp_path: Path) -> None:
    """What it leads to is judged, and so is where it lies; links in a circle end."""
    (tmp_path / "link").symlink_to("a/b")
    assert doubt(tmp_path / "link") is None
    ours.chmod(0o777)
    assert (doubt(tmp_path / "link") or "").startswith(f"{ours} can be written to")
    ours.chmod(0o700)
    (tmp_path / "outer").mkdir()
    (tmp_path / "outer" / "link").symlink_to(ours)
    (tmp_path / "outer").chmod(0o777)
    assert (doubt(tmp_path / "outer" / "link") or "").startswith(f"{tmp_path / 'outer'} can be written to")
    (tmp_path / "circle").symlink_to("circle")
    assert "links" in (doubt(tmp_path / "circle") or "")


@pytest.mark.root
def test_what_belongs_to_somebody_else_is_theirs(ours: Path, tmp_path: Path) -> None:
    """A folder, one on the way, or a link; not to those who are trusted."""
    (tmp_path / "link").symlink_to(ours)
    os.chown(tmp_path / "link", STRANGER, STRANGER, follow_symlinks=False)
    told = f"is a link that belongs to user {STRANGER}, who can change what is in it: make it root's (chown)"
    assert doubt(tmp_path / "link") == f"{tmp_path / 'link'} {told} or name another"
    for one in (ours, ours.parent):
        os.chown(one, STRANGER, STRANGER)
        assert (doubt(ours) or "").startswith(f"{one} belongs to user {STRANGER}, ")
    assert doubt(ours, {STRANGER}) is None
    assert doubt(tmp_path / "link", {STRANGER}) is None


@pytest.mark.root
def test_a_group_that_may_write_is_others(ours: Path) -> None:
    """The user's own is not, nor above the folder one of the system."""
    ours.chmod(0o770)
    assert doubt(ours) is None
    os.chown(ours, 0, 100)
    assert (doubt(ours) or "").startswith(f"{ours} can be written to by group 100, ")
    assert doubt(ours / "below") is None
    os.chown(ours, 0, STRANGER)
    assert doubt(ours / "below") is not None
    assert doubt(ours / "below", {STRANGER}) is None
