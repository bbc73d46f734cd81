"""Files that provenance asked for."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.host import python, until

from replguard.events.hint import Hint
from replguard.sensors.files.marks import Marks
from replguard.sensors.files.tree import Tree
from replguard.sensors.processes.who import Who

HOLD = "import sys; f=open(sys.argv[1]); print(flush=True); sys.stdin.read()"


@pytest.fixture
def tree() -> Iterator[Tree]:
    made = Tree()
    made.start()
    yield made
    made.stop()


def hint(path: Path, *, drop: bool = False, inode: int | None = None) -> Hint:
    found = path.stat()
    return Hint(kind="inode", drop=drop, path=str(path), device=found.st_dev, inode=inode or found.st_ino)


def test_who_opens_it_is_told_once(tmp_path: Path, tree: Tree) -> None:
    """Under whatever name it was opened."""
    path = tmp_path / "w"
    path.write_bytes(b"x")
    os.link(path, tmp_path / "alias")
    marks, who = Marks(), Who()
    marks.take(hint(path), tree)
    with python(HOLD, str(tmp_path / "alias")) as child:
        child.stdout.readline()
        (wd,) = until(lambda: {record.wd for record in tree.drain()})
        assert [(at, p.pid) for at, p in marks.openers(wd, who)] == [(os.fsencode(path), child.pid)]
        assert list(marks.openers(wd, who)) == []
    assert list(marks.openers(wd + 1, who)) == []


def test_an_open_that_is_over_is_told_of_nobody(tmp_path: Path, tree: Tree) -> None:
    """A copy that appears beside it was not brought in from elsewhere: once a second is enough to know."""
    path = tmp_path / "w"
    path.write_bytes(b"x")
    marks, who = Marks(), Who()
    marks.take(hint(path), tree)
    path.read_bytes()
    (wd,) = until(lambda: {record.wd for record in tree.drain()})
    assert list(marks.openers(wd, who)) == [(os.fsencode(path), None)]
    assert list(marks.openers(wd, who)) == []


def test_another_file_at_that_path_is_not_watched(tmp_path: Path, tree: Tree) -> None:
    """The inode decides, not the name."""
    path = tmp_path / "w"
    path.write_bytes(b"x")
    marks = Marks()
    marks.take(hint(path, inode=12345), tree)
    assert not tree.folders
    assert marks.key_at(os.fsencode(path)) == (path.stat().st_dev, 12345)


def test_a_dropped_hint_ends_the_watch(tmp_path: Path, tree: Tree) -> None:
    """And a hint without an inode is none."""
    path = tmp_path / "w"
    path.write_bytes(b"x")
    marks = Marks()
    marks.take(hint(path), tree)
    assert len(tree.folders) == 1
    marks.take(hint(path, drop=True), tree)
    assert not tree.folders
    assert marks.key_at(os.fsencode(path)) is None
    marks.take(Hint(kind="inode", path=str(path)), tree)
    assert not tree.folders


def test_they_outlive_a_restart_and_follow_renames(tmp_path: Path, tree: Tree) -> None:
    """A new tree gets them again, at the path where they are by now."""
    path = tmp_path / "d" / "w"
    path.parent.mkdir()
    path.write_bytes(b"x")
    marks = Marks()
    marks.take(hint(path), tree)
    path.parent.rename(tmp_path / "e")
    marks.renamed(os.fsencode(tmp_path / "d"), os.fsencode(tmp_path / "e"))
    other = Tree()
    other.start()
    try:
        marks.restart(other)
        assert [known.path for known in other.folders.values()] == [os.fsencode(tmp_path / "e" / "w")]
        assert marks.below(os.fsencode(tmp_path / "e")) == [os.fsencode(tmp_path / "e" / "w")]
        marks.forget(next(iter(other.folders)))
        marks.restart(other)
    finally:
        other.stop()
