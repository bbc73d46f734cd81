"""Files that were made or written, on folders that need no kernel: which are told, and which are only counted."""

import os
from pathlib import Path

import pytest
from support.scene import MADE, Scene, handle

from replguard.kernel.fanotify import CLOSE_WRITE, CREATE, DELETE
from replguard.sensors.files import written
from replguard.sensors.files.written import LARGE


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path.resolve())


def test_small_files_are_told_by_name_or_size_or_not_at_all(scene: Scene) -> None:
    """A wanted small one once, one of a size that is asked for and a large one with its close."""
    assert scene.told(scene.record(MADE, "a", scene.file("a"))) == []
    assert scene.told(scene.record(MADE, "a.py", scene.file("a.py"))) == [("create", "a.py")]
    both = [("create", "s"), ("close_write", "s")]
    assert scene.told(scene.record(MADE, "s", scene.file("s", 77))) == both
    assert scene.told(scene.record(MADE, "s", scene.file("s", LARGE))) == both
    assert scene.counters.filtered == 1


def test_a_file_that_is_still_open_is_told_and_followed(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a moment; its close is told too, however small it is."""
    path = scene.file("a")
    assert scene.told(scene.record(CREATE, "a", path)) == []
    monkeypatch.setattr(written, "YOUNG", 0.0)
    assert scene.told() == [("create", "a")]
    assert os.fsencode(path) in scene.acts.files.making
    assert scene.told(scene.record(CLOSE_WRITE, "a", path)) == [("close_write", "a")]
    assert os.fsencode(path) not in scene.acts.files.making
    assert scene.told(scene.record(DELETE, "a", path)) == [("delete", "a")]


def test_a_small_file_closed_or_gone_by_the_next_look_is_counted_only(scene: Scene) -> None:
    """As one that was closed at once; one that has become large is told whole, also under another name."""
    small, large, moved = scene.file("a"), scene.file("b"), scene.file("c")
    for name, path in (("a", small), ("b", large), ("c", moved), ("d", scene.file("d"))):
        assert scene.told(scene.record(CREATE, name, path)) == []
    assert scene.told(scene.record(CLOSE_WRITE, "a", small), scene.record(DELETE, "d", scene.folder / "d")) == []
    large.write_bytes(b"x" * LARGE)
    assert scene.told(scene.record(CLOSE_WRITE, "b", large)) == [("create", "b"), ("close_write", "b")]
    moved.rename(scene.folder / "e")
    assert scene.told(scene.renamed("c", "e", scene.folder / "e")) == []
    (scene.folder / "e").write_bytes(b"x" * LARGE)
    assert scene.told(scene.record(CLOSE_WRITE, "e", scene.folder / "e")) == [("create", "e"), ("close_write", "e")]
    assert scene.counters.filtered == 4


def test_a_name_that_is_another_file_by_now_is_not_taken_for_it(scene: Scene) -> None:
    """The inode decides."""
    path = scene.file("big", LARGE)
    assert scene.told(scene.record(MADE, "big", path.stat().st_ino + 1)) == []


def test_a_name_on_another_filesystem_is_not_taken_for_the_file(scene: Scene) -> None:
    """Inode numbers repeat from one to the next; an overlay has numbers of its own."""
    path = scene.file("big", LARGE)
    scene.tree.superblock.number = path.stat().st_dev + 1
    assert scene.told(scene.record(MADE, "big", path)) == []
    scene.tree.by_handle[handle(scene.folder.stat().st_ino)].layered = True
    assert scene.told(scene.record(MADE, "big", path)) == [("create", "big"), ("close_write", "big")]


def test_a_forgotten_file_leaves_a_newer_one_of_its_numbers(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """An inode number is given out again: the handle is that of the newer file."""
    monkeypatch.setattr(written, "REMEMBERED", 2)
    path = scene.file("a", LARGE)
    found, files = path.stat(), scene.acts.files
    for generation in (handle(found.st_ino), handle(found.st_ino)[:-1] + b"x"):
        record = scene.record(MADE, "a", path)._replace(target=generation)
        files._told("file_create", record, b"/a", b"/a", found)
    files._told("file_create", scene.record(MADE, "b", scene.file("b")), b"/b", b"/b", (scene.folder / "b").stat())
    assert files.handles[found.st_dev, found.st_ino] == generation


def test_a_file_without_its_name_is_looked_for_by_handle(scene: Scene) -> None:
    """A nameless one that was linked; one that is gone is told only if its name is wanted."""
    path = scene.file("linked", LARGE)
    scene.tree.names[handle(path.stat().st_ino)] = path
    assert scene.told(scene.record(CLOSE_WRITE, "#77", path)) == [("close_write", "linked")]
    assert scene.told(scene.record(MADE | DELETE, "x", 1), scene.record(MADE, "y", 2)) == []
    assert scene.told(scene.record(MADE | DELETE, "x.py", 1)) == [("create", "x.py"), ("delete", "x.py")]
