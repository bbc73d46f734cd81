"""What records mean, on folders that need no kernel: which acts are told, and which are only counted."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from replguard.events.hint import Hint
from replguard.kernel import fanotify
from replguard.kernel.fanotify import CLOSE_WRITE, CREATE, DELETE, MOVED_FROM, MOVED_TO, ONDIR, RENAME, Record
from replguard.sensors.acts import LARGE, Act, Acts
from replguard.sensors.base import Counters
from replguard.sensors.folders import Folder, View
from replguard.sensors.opens import Opens
from replguard.sensors.superblocks import Layer, Seat, Superblock

FSID = bytes(8)


def handle(number: int) -> bytes:
    """Return a handle as ext4 makes them."""
    return fanotify.handle(FSID, 1, number.to_bytes(4, "little") + bytes(4))


class Tree:
    """Folders by handle, as ``Folders`` gives them."""

    def __init__(self, top: Path) -> None:
        self.superblock = Superblock("8:1", "ext4", [Seat(1, b"", b"/", b"/")], fsid=FSID, alone=True)
        self.by_handle: dict[bytes, Folder] = {}
        self.names: dict[bytes, Path] = {}
        self.forgotten: list[bytes] = []
        self.add(top)

    def add(self, path: Path, *, told: bool = True, work: bool = False) -> bytes:
        key = handle(path.stat().st_ino)
        raw = os.fsencode(path)
        self.by_handle[key] = Folder(self.superblock, raw, work, {None: View(raw, raw, told)})
        return key

    def known(self, key: bytes | None) -> Folder | None:
        return self.of(key) if key is not None else None

    def of(self, key: bytes) -> Folder | None:
        return self.by_handle.get(key)

    def view(self, folder: Folder, space: int | None) -> View:
        return folder.views[None]

    def renamed(self, folder: Folder, name: bytes) -> None:
        self.forgotten.append(name)

    gone = renamed

    @contextlib.contextmanager
    def opened(self, key: bytes) -> Iterator[Any]:
        path = self.names.get(key)
        if path is None:
            yield None
            return
        descriptor = os.open(path, os.O_PATH)
        yield descriptor, View(os.fsencode(path), os.fsencode(path))
        os.close(descriptor)


class Scene:
    """A folder, the acts that are made of records, and what was counted."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.tree, self.counters, self.opens = folder, Tree(folder), Counters(), Opens()
        self.acts = Acts(self.tree, SimpleNamespace(of=lambda pid: 1), self.opens, self.counters, lambda pid: None)  # type: ignore[arg-type]
        self.acts.wanted = lambda path: path.endswith(".py")
        self.acts.worth = lambda size: size == 77

    def file(self, name: str, size: int = 1) -> Path:
        path = self.folder / name
        path.write_bytes(b"x" * size)
        return path

    def record(self, mask: int, name: str, target: Path | int | None, **more: Any) -> Record:
        number = target.lstat().st_ino if isinstance(target, Path) else target
        folder = more.pop("folder", handle(self.folder.stat().st_ino))
        return Record(mask, 5, -1, folder, name.encode(), handle(number) if number is not None else None, **more)

    def renamed(self, old: str, name: str, target: Path | int | None, mask: int = RENAME) -> Record:
        return self.record(mask, name, target, old_folder=handle(self.folder.stat().st_ino), old_name=old.encode())

    def told(self, *records: Record) -> list[tuple[str, str]]:
        return [(act.action.removeprefix("file_"), Path(os.fsdecode(act.path)).name) for act in self.of(*records)]

    def of(self, *records: Record) -> list[Act]:
        return list(self.acts.of(records))


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path.resolve())


MADE = CREATE | CLOSE_WRITE


def test_small_files_are_told_by_name_or_size_or_not_at_all(scene: Scene) -> None:
    """A wanted small one once, one of a size that is asked for and a large one with its close."""
    assert scene.told(scene.record(MADE, "a", scene.file("a"))) == []
    assert scene.told(scene.record(MADE, "a.py", scene.file("a.py"))) == [("create", "a.py")]
    both = [("create", "s"), ("close_write", "s")]
    assert scene.told(scene.record(MADE, "s", scene.file("s", 77))) == both
    assert scene.told(scene.record(MADE, "s", scene.file("s", LARGE))) == both
    assert scene.counters.filtered == 1


def test_a_file_that_is_still_open_is_told_and_followed(scene: Scene) -> None:
    """Its close is told too, however small it is."""
    path = scene.file("a")
    assert scene.told(scene.record(CREATE, "a", path)) == [("create", "a")]
    assert os.fsencode(path) in scene.acts.making
    assert scene.told(scene.record(CLOSE_WRITE, "a", path)) == [("close_write", "a")]
    assert os.fsencode(path) not in scene.acts.making
    assert scene.told(scene.record(DELETE, "a", path)) == [("delete", "a")]


def test_a_name_that_is_another_file_by_now_is_not_taken_for_it(scene: Scene) -> None:
    """The inode decides."""
    path = scene.file("big", LARGE)
    assert scene.told(scene.record(MADE, "big", path.stat().st_ino + 1)) == []


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


def test_a_file_without_its_name_is_looked_for_by_handle(scene: Scene) -> None:
    """A nameless one that was linked; one that is gone is told only if its name is wanted."""
    path = scene.file("linked", LARGE)
    scene.tree.names[handle(path.stat().st_ino)] = path
    assert scene.told(scene.record(CLOSE_WRITE, "#77", path)) == [("close_write", "linked")]
    assert scene.told(scene.record(MADE | DELETE, "x", 1), scene.record(MADE, "y", 2)) == []
    assert scene.told(scene.record(MADE | DELETE, "x.py", 1)) == [("create", "x.py"), ("delete", "x.py")]


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
