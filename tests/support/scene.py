"""Folders that need no kernel, for records of names: what is told of them, and what is only counted."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from replguard.kernel import fanotify
from replguard.kernel.fanotify import CLOSE_WRITE, CREATE, RENAME, Record
from replguard.sensors.base import Counters
from replguard.sensors.files.acts import Acts
from replguard.sensors.files.folders import Folder, View
from replguard.sensors.files.opens import Opens
from replguard.sensors.files.superblocks import Seat, Superblock
from replguard.sensors.files.written import Act
from replguard.sensors.losses import Losses
from replguard.sensors.names import NamesSensor

FSID = bytes(8)


def handle(number: int) -> bytes:
    """Return a handle as ext4 makes them."""
    return fanotify.handle(FSID, 1, number.to_bytes(4, "little") + bytes(4))


class Tree:
    """Folders by handle, as ``Folders`` gives them."""

    def __init__(self, top: Path) -> None:
        device = top.stat().st_dev
        number = f"{os.major(device)}:{os.minor(device)}"
        self.superblock = Superblock(number, "ext4", [Seat(1, b"", b"/", b"/")], fsid=FSID)
        self.by_handle: dict[bytes, Folder] = {}
        self.names: dict[bytes, Path] = {}
        self.forgotten: list[bytes] = []
        self.trouble: str | None = None
        self.stale = False
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
        self.folder, self.tree, self.counters, self.opens = (
            folder,
            Tree(folder),
            Counters(),
            Opens(Losses(NamesSensor())),
        )
        self.acts = Acts(self.tree, SimpleNamespace(of=lambda pid: 1), self.opens, self.counters, lambda pid: None)  # type: ignore[arg-type]
        self.acts.files.wanted = lambda path: path.endswith(".py")
        self.acts.files.worth = lambda size: size == 77

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


MADE = CREATE | CLOSE_WRITE
