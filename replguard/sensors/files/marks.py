"""Watches on single files that provenance asked for: their opens are seen under every name and in every container."""

import os
from collections import OrderedDict
from collections.abc import Iterator

from replguard.events import clock
from replguard.events.hint import Hint
from replguard.events.process import Process
from replguard.sensors.files.sections import lstat
from replguard.sensors.files.tree import Folder, Tree
from replguard.sensors.processes.who import Who

OPEN_AGAIN = 60.0
"""Seconds after which the same process opening the same file is told again."""
UNSEEN_AGAIN = 1.0
"""The same where nobody was seen."""
_REMEMBERED = 4096

Key = tuple[int, int]
"""Device and inode."""


class Marks:
    """The hinted files, by device and inode, with their last known path. Outlives a restart of the sensor."""

    def __init__(self) -> None:
        self.paths: dict[Key, bytes] = {}
        self._wds: dict[Key, int] = {}
        self._opened: OrderedDict[tuple[str | None, Key], float] = OrderedDict()

    def take(self, hint: Hint, tree: Tree) -> None:
        """Watch, or stop watching, the file of a hint."""
        if hint.device is None or hint.inode is None:
            return
        key = (hint.device, hint.inode)
        if hint.drop:
            self.paths.pop(key, None)
            wd = self._wds.pop(key, None)
            if wd is not None:
                tree.remove(wd)
        elif hint.path is not None:
            self.paths[key] = os.fsencode(hint.path)
            self._mark(key, tree)

    def restart(self, tree: Tree) -> None:
        """Watch all of them in a new tree."""
        self._wds.clear()
        for key in self.paths:
            self._mark(key, tree)

    def forget(self, wd: int) -> None:
        """Take note that the kernel ended a watch: the file is gone, or its filesystem."""
        for key in [key for key, mark in self._wds.items() if mark == wd]:
            del self._wds[key]

    def key_at(self, path: bytes) -> Key | None:
        """Return which hinted file has this path."""
        return next((key for key, at in self.paths.items() if at == path), None)

    def below(self, folder: bytes) -> list[bytes]:
        """Return the paths of hinted files in and below a folder."""
        return [path for path in self.paths.values() if path.startswith(folder + b"/")]

    def renamed(self, old: bytes, new: bytes) -> None:
        """Follow hinted files to a new name, or below a renamed folder."""
        for key, path in self.paths.items():
            if path == old or path.startswith(old + b"/"):
                self.paths[key] = new + path[len(old) :]

    def openers(self, wd: int, who: Who) -> Iterator[tuple[bytes, Process | None]]:
        """Yield who holds the file open that was just opened, each only once in a while.

        An open that is over already is told without a process, once a second: somebody read it, and a copy that
        appears beside it was not brought in from elsewhere.
        """
        key = next((key for key, mark in self._wds.items() if mark == wd), None)
        if key is None:
            return
        readers: list[Process | None] = [*who.readers(*key)]
        for process in readers or [None]:
            opened, now = (process.entity_id if process else None, key), clock.monotonic()
            if now - self._opened.get(opened, -OPEN_AGAIN) >= (OPEN_AGAIN if process else UNSEEN_AGAIN):
                self._opened[opened] = now
                self._opened.move_to_end(opened)
                yield self.paths.get(key, b""), process
        while len(self._opened) > _REMEMBERED:
            self._opened.popitem(last=False)

    def _mark(self, key: Key, tree: Tree) -> None:
        found = lstat(self.paths[key])
        if key in self._wds or found is None or (found.st_dev, found.st_ino) != key:
            return
        wd = tree.mark(Folder(self.paths[key], recursive=False, file=True))
        if wd is not None:
            self._wds[key] = wd
