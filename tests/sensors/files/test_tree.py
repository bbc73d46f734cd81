"""Folders are watched within limits, shallow ones first, and what happens in them arrives at once."""

import os
import select
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.host import until
from watchdog.observers.inotify_c import InotifyConstants as I

from replguard.kernel import machine
from replguard.sensors.files import tree as module
from replguard.sensors.files.tree import GONE, OVERFLOW, Folder, Record, Tree, listing


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a/deep/deeper", "b", "own/below"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


@pytest.fixture
def tree(folder: Path) -> Iterator[Tree]:
    made = Tree(frozenset([os.fsencode(folder / "own")]))
    made.start()
    yield made
    made.stop()


def drained(tree: Tree, fits: int) -> list[Record]:
    found: list[Record] = []
    until(lambda: found.extend(tree.drain()) or any(record.mask & fits for record in found))
    return found


def watched(tree: Tree, folder: Path) -> set[str]:
    return {os.path.relpath(os.fsdecode(known.path), folder) for known in tree.folders.values()}


def test_all_below_is_watched_but_our_own(tree: Tree, folder: Path) -> None:
    """Recursive goes all the way down; an excluded folder is not entered."""
    tree.plan([Folder(os.fsencode(folder))])
    assert tree.grow(5)
    assert watched(tree, folder) == {".", "a", "a/deep", "a/deep/deeper", "b"}


def test_the_limit_keeps_shallow_folders_and_counts_the_rest(folder: Path) -> None:
    """Breadth first: when watches run out the deep ones are left, with examples."""
    made = Tree(limit=4)
    made.start()
    try:
        made.plan([Folder(os.fsencode(folder))])
        assert made.grow(5)
        assert watched(made, folder) == {".", "a", "b", "own"}
        assert made.unwatched == 2
        assert set(made.examples) == {os.fsencode(folder / "a/deep"), os.fsencode(folder / "own/below")}
    finally:
        made.stop()


def test_important_folders_go_first(folder: Path) -> None:
    """Weights deep down come before anything else."""
    made = Tree(limit=3)
    made.start()
    try:
        made.plan([Folder(os.fsencode(folder)), Folder(os.fsencode(folder / "a"), important=True)])
        assert made.grow(5)
        assert watched(made, folder) == {"a", "a/deep", "a/deep/deeper"}
    finally:
        made.stop()


def test_a_quarter_of_the_watches() -> None:
    """The default limit is what the host grants, divided by four."""
    assert Tree().limit == (machine.sysctl("fs/inotify/max_user_watches") or 8192) // 4


def test_flat_then_recursive_is_recursive(tree: Tree, folder: Path) -> None:
    """Two roots that name one folder give the wider of both, and one watch."""
    tree.plan([Folder(os.fsencode(folder), recursive=False), Folder(os.fsencode(folder), important=True)])
    assert tree.grow(5)
    assert len(tree.folders) == 5
    top = next(known for known in tree.folders.values() if known.path == os.fsencode(folder))
    assert top.recursive
    assert top.important


def test_events_arrive_with_the_descriptor(tree: Tree, folder: Path) -> None:
    """The descriptor turns readable; names may be any bytes."""
    tree.plan([Folder(os.fsencode(folder))])
    tree.grow(5)
    (folder / "n\n\udcff").write_bytes(b"x")
    assert select.select([tree.eventfd], [], [], 5)[0]
    found = drained(tree, I.IN_CLOSE_WRITE)
    assert {record.name for record in found} == {b"n\n\xff"}
    assert not select.select([tree.eventfd], [], [], 0)[0]


def test_the_end_of_a_folder_is_told(tree: Tree, folder: Path) -> None:
    """The watch ends with it; the number may be given out again."""
    tree.plan([Folder(os.fsencode(folder / "b"))])
    tree.grow(5)
    (wd,) = tree.folders
    (folder / "b").rmdir()
    assert wd in {record.wd for record in drained(tree, GONE)}
    tree.forget(wd)
    assert not tree.folders


def test_an_overflow_is_told(tree: Tree) -> None:
    """What watchdog only logs is a record here."""
    tree.on_queue_overflow()
    assert [record.mask for record in tree.drain()] == [OVERFLOW]


def test_more_than_the_buffer_is_counted(tree: Tree, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sensor that does not keep up loses events by number, not by memory."""
    monkeypatch.setattr(module, "BUFFER", 3)
    tree.plan([Folder(os.fsencode(folder))])
    tree.grow(5)
    for number in range(5):
        (folder / str(number)).mkdir()
    assert until(lambda: tree.overrun >= 2)
    assert len(list(tree.drain())) == 3


def test_an_event_while_we_begin_to_read_wakes_us_again(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that comes just before or after the descriptor is read is read now, and the next one is announced."""
    read, record = os.eventfd_read, Record(1, I.IN_CREATE, 0, b"x")

    def late(descriptor: int) -> int:
        tree._put(record)
        value = read(descriptor)
        tree._put(record)
        return value

    monkeypatch.setattr(os, "eventfd_read", late)
    tree._put(record)
    assert len(list(tree.drain())) == 3
    monkeypatch.undo()
    tree._put(record)
    assert select.select([tree.eventfd], [], [], 0)[0]


def test_moved_folders_keep_their_watches(tree: Tree, folder: Path) -> None:
    """All below follow to the new name."""
    tree.plan([Folder(os.fsencode(folder / "a"))])
    tree.grow(5)
    tree.moved(os.fsencode(folder / "a"), os.fsencode(folder / "z"))
    assert watched(tree, folder) == {"z", "z/deep", "z/deep/deeper"}
    assert len(tree.under(os.fsencode(folder / "z/deep"))) == 2


def test_single_files_can_be_watched_and_given_up(tree: Tree, folder: Path) -> None:
    """Opens of one file, until it is removed."""
    path = folder / "w"
    path.write_bytes(b"x")
    wd = tree.mark(Folder(os.fsencode(path), file=True))
    assert wd is not None
    path.read_bytes()
    assert [record.wd for record in drained(tree, I.IN_OPEN)] == [wd]
    tree.remove(wd)
    assert wd not in tree.folders
    assert tree.mark(Folder(os.fsencode(folder / "none"), file=True)) is None


def test_a_folder_that_is_gone_lists_nothing(folder: Path) -> None:
    """No exception for what vanishes."""
    assert list(listing(os.fsencode(folder / "none"))) == []
    assert {path for path, _ in listing(os.fsencode(folder))} >= {os.fsencode(folder / "a")}
