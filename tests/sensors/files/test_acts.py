"""Renames and ends, on folders that need no kernel: which are told, and which are only counted."""

import os
from pathlib import Path

import pytest
from support.scene import MADE, Scene, handle

from replguard.events.hint import Hint
from replguard.kernel.fanotify import CLOSE_WRITE, CREATE, DELETE, MOVED_FROM, MOVED_TO, ONDIR, RENAME
from replguard.sensors.files.folders import View
from replguard.sensors.files.superblocks import Layer, Seat
from replguard.sensors.files.written import LARGE


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path.resolve())


def test_a_file_renamed_before_we_looked_is_told_whole(scene: Scene) -> None:
    """Its making under the first name, however often it was renamed, and its close under the last."""
    path = scene.file("c", LARGE)
    assert scene.told(scene.record(MADE, "a", path), scene.renamed("a", "b", path), scene.renamed("b", "c", path)) == [
        ("create", "b"),
        ("rename", "c"),
        ("close_write", "c"),
    ]
    small = scene.file("small")
    assert scene.told(scene.record(MADE, "tmp", small), scene.renamed("tmp", "small", small)) == []


def test_links_devices_and_folders(scene: Scene) -> None:
    """Links always; a pipe only if it is wanted; of folders only their new names, and where they were is forgotten."""
    path = scene.file("a")
    (scene.folder / "h").hardlink_to(path)
    (scene.folder / "s").symlink_to("a")
    os.mkfifo(scene.folder / "p")
    (scene.folder / "d").mkdir()
    assert scene.told(scene.record(CREATE, "h", path)) == [("link", "h")]
    assert scene.told(scene.record(CREATE, "s", scene.folder / "s")) == [("link", "s")]
    assert scene.told(scene.record(CREATE, "p", scene.folder / "p")) == []
    assert scene.told(scene.record(CREATE | ONDIR, "d", scene.folder / "d")) == []
    assert scene.told(scene.renamed("c", "d", scene.folder / "d", RENAME | ONDIR)) == [("rename", "d")]
    assert scene.told(scene.record(DELETE | ONDIR, "e", 3)) == []
    assert scene.tree.forgotten == [b"c", b"e"]


def test_a_hinted_file_is_always_told(scene: Scene) -> None:
    """Its rename, its end, and its end in a folder that is gone as well."""
    path = scene.file("w")
    found = path.stat()
    scene.opens.take(Hint(kind="inode", path=str(path), device=found.st_dev, inode=found.st_ino), os.fsencode(path))
    (watched,) = scene.opens.files.values()
    scene.opens.by_handle[handle(found.st_ino)] = watched
    assert scene.told(scene.record(CLOSE_WRITE, "w", path)) == [("close_write", "w")]
    path.rename(scene.folder / "v")
    assert scene.told(scene.renamed("w", "v", scene.folder / "v")) == [("rename", "v")]
    (deleted,) = scene.of(scene.record(DELETE, "v", found.st_ino))
    assert (deleted.action, deleted.key) == ("file_delete", (found.st_dev, found.st_ino))
    assert scene.told(scene.record(DELETE, "v", found.st_ino, folder=handle(1))) == [("delete", "w")]


def test_the_halves_of_a_rename_are_joined(scene: Scene) -> None:
    """By process; what has lost its other half came from elsewhere, or is gone."""
    path, before = scene.file("b.py"), os.fsencode(scene.folder / "a.py")
    told = scene.of(scene.record(CREATE | MOVED_FROM, "a.py", None), scene.record(MOVED_TO, "b.py", None))
    assert [(act.action, act.path, act.previous) for act in told] == [
        ("file_create", before, None),
        ("file_rename", os.fsencode(path), before),
    ]
    (alone,) = scene.of(scene.record(MOVED_TO, "b.py", path))
    assert (alone.action, alone.previous) == ("file_rename", None)
    assert scene.told(scene.record(MOVED_FROM, "c.py", None)) == [("delete", "c.py")]


def test_threads_may_rename_at_once(scene: Scene) -> None:
    """No half is lost: the same name joins, else the order; what is left over is told as an end."""
    for name in ("x.py", "b.py"):
        scene.file(name)
    halves = [scene.record(MOVED_FROM, name, None) for name in ("a.py", "x.py", "c.py")]
    halves += [scene.record(MOVED_TO, name, None) for name in ("x.py", "b.py")]
    told = [(act.action, act.path[-4:], act.previous and act.previous[-4:]) for act in scene.of(*halves)]
    assert told == [
        ("file_rename", b"x.py", b"x.py"),
        ("file_rename", b"b.py", b"a.py"),
        ("file_delete", b"c.py", None),
    ]


def test_what_ended_with_the_way_to_it_is_a_loss(scene: Scene) -> None:
    """The process by which a namespace was reached is gone: what lies there is not found, and that is no end."""
    there = scene.tree.add(scene.folder)
    scene.tree.by_handle[there].views[None] = View(b"/in", b"/proc/999999999/root/in")
    scene.tree.stale = True
    assert scene.told(scene.record(MADE, "f", 5), scene.record(MADE, "f", 5, folder=handle(1))) == []
    assert scene.counters.dropped == {("resolve", "a namespace's process ended"): 2}


def test_places_that_are_not_told_are_counted(scene: Scene) -> None:
    """Our own, and where an overlay prepares; what it puts in place from there is made, or at its end."""
    own, work = scene.folder / "own", scene.folder / "work"
    own.mkdir()
    work.mkdir()
    silent, prepared = scene.tree.add(own, told=False), scene.tree.add(work, work=True)
    (own / "f").write_bytes(b"x" * LARGE)
    assert scene.told(scene.record(MADE, "f", own / "f", folder=silent)) == []
    assert scene.told(scene.record(MADE, "#5", 5, folder=prepared)) == []
    scene.tree.superblock.layers.append(Layer(b"/u", b"/w", Seat(1, b"", b"/m", b"/")))
    path = scene.file("up", LARGE)
    placed = scene.record(RENAME, "up", path, old_folder=prepared, old_name=b"#6")
    assert scene.told(placed) == [("create", "up"), ("close_write", "up")]
    path.unlink()
    assert scene.told(placed) == [("delete", "up")]
    assert scene.counters.filtered == 2


def test_a_folder_that_we_could_not_ask_for_is_a_loss(scene: Scene) -> None:
    """One that is gone is none."""
    record = scene.record(MADE, "f", 5, folder=handle(1))
    assert scene.told(record) == []
    scene.tree.trouble = "Too many open files"
    assert scene.told(record, record) == []
    assert scene.counters.dropped == {("resolve", "Too many open files"): 1}
    assert scene.counters.filtered == 2


def test_files_in_the_making_follow_their_folder(scene: Scene) -> None:
    """They are told as they grow under the new path."""
    (scene.folder / "old").mkdir()
    inside = scene.tree.add(scene.folder / "old")
    path = scene.file("old/f", LARGE)
    assert scene.told(scene.record(CREATE, "f", path, folder=inside)) == [("create", "f")]
    (scene.folder / "old").rename(scene.folder / "new")
    assert scene.told(scene.renamed("old", "new", scene.folder / "new", RENAME | ONDIR)) == [("rename", "new")]
    assert os.fsencode(scene.folder / "new/f") in scene.acts.files.making
    assert scene.acts.files.late == {os.fsencode(scene.folder / "new/f")}
