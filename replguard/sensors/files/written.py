"""Files that were made or written: which of them are told.

Of the many small files of a build or an unpacked archive nobody needs to hear. Told are files that are large enough to
hold something, watched files, links, devices, files that stay open, names that a rule asks for, and some that may be
run.
"""

import os
import stat
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import NamedTuple

from replguard.events import clock
from replguard.events.process import Process
from replguard.kernel import beneath, fanotify
from replguard.kernel.fanotify import Record
from replguard.kernel.procfs import text
from replguard.sensors.base import Counters
from replguard.sensors.files.folders import Folder, Folders, View
from replguard.sensors.files.growing import Table
from replguard.sensors.files.opens import Key, Opens
from replguard.sensors.files.scripts import Scripts
from replguard.sensors.files.sections import lstat
from replguard.sensors.processes.who import Who

LARGE = 64 * 1024
"""Bytes from which a file is always told."""
REMEMBERED = 16_384
"""Files that were told, whose further acts are told too."""
YOUNG = 0.04
"""Seconds that a small file may stay open before it is told: most of an archive's are closed by the next look."""
MOST_LOOKED_FOR = 64
"""Files of one batch that are looked for by their handle because their name was gone by the time of the look."""
_MADE = fanotify.CREATE | fanotify.CLOSE_WRITE


class Act(NamedTuple):
    """One thing to tell. ``path`` is as the process saw it, ``access`` our way to it, ``found`` its lstat.

    ``key`` is device and inode where they are known of a file that is gone.
    """

    action: str
    path: bytes
    access: bytes
    found: os.stat_result | None
    pid: int
    previous: bytes | None = None
    previous_access: bytes | None = None
    key: Key | None = None


class Made(NamedTuple):
    """A file that was made and is not told yet: its name was gone when we looked, or it is still small and open."""

    record: Record
    path: bytes
    access: bytes
    inode: int = 0


class Written:
    """Decides on files as they come. ``wanted`` is asked of a path, ``worth`` of a size in bytes."""

    def __init__(
        self, folders: Folders, opens: Opens, counters: Counters, who: Callable[[int], Process | None]
    ) -> None:
        self._folders, self._opens, self._counters, self._who = folders, opens, counters, who
        self.wanted: Callable[[str], bool] = lambda path: True  # noqa: ARG005
        self.worth: Callable[[int], bool] = lambda size: True  # noqa: ARG005
        self.scripts = Scripts()
        self.making = Table()
        self.late: set[bytes] = set()
        """Files in the making that may be closed already."""
        self.shown: dict[bytes, bytes] = {}
        """Their paths, where our way to them is another."""
        self.known: OrderedDict[bytes, Key] = OrderedDict()
        self.handles: dict[Key, bytes] = {}
        self.gone: OrderedDict[object, Made] = OrderedDict()
        self._young: OrderedDict[bytes, tuple[float, Made]] = OrderedDict()

    def made(self, record: Record, folder: Folder, view: View) -> Iterator[Act]:
        """Tell of a file that was made or closed in a folder."""
        access = view.at(record.name)
        found = found_at(record, folder, access)
        if found is None:
            self.gone[record.target or access] = Made(record, view.shown(record.name), access)
        else:
            yield from self.file(record, view.shown(record.name), access, found)

    def small(self, record: Record) -> bool:
        """Tell whether this is one of the many small files that nobody asks for: the same as below, in a hurry."""
        folder = self._folders.known(record.folder)
        view = folder.views.get(None) if folder is not None else None
        if folder is None or view is None or not view.told or record.target is None or record.target in self.known:
            return False
        access = view.at(record.name)
        try:
            found = os.lstat(access)
        except (OSError, ValueError):
            return False
        return (
            found.st_size < LARGE
            and stat.S_ISREG(found.st_mode)
            and found.st_nlink == 1
            and fanotify.inode(record.target) == found.st_ino
            and folder.superblock.number in (None, found.st_dev)
            and (found.st_dev, found.st_ino) not in self._opens.files
            and not self.worth(found.st_size)
            and access not in self.making
            and not self.wanted(text(access))
            and not self.scripts.tells(access, found.st_mode, record.pid)
        )

    def file(self, record: Record, path: bytes, access: bytes, found: os.stat_result) -> Iterator[Act]:
        """Tell of a file that was made or closed and is there."""
        if not stat.S_ISREG(found.st_mode):
            yield from self._special(record, path, access, found)
        elif record.mask & fanotify.CLOSE_WRITE:
            yield from self._closed(record, path, access, found)
        elif found.st_nlink > 1:
            yield self._told("file_link", record, path, access, found)
        elif self.matters(record.target, found) or record.target is None or self.wanted(text(path)):
            yield from self._still_open(record, path, access, found)
        else:
            self.keep(Made(record, path, access, found.st_ino))

    def _closed(self, record: Record, path: bytes, access: bytes, found: os.stat_result) -> Iterator[Act]:
        untold = self._young.pop(record.target or b"", None)
        followed = self.forget(access) is not None
        matters = followed or self.matters(record.target, found)
        if not matters and not self.asked(path, access, found, record.pid):
            self._counters.skip()
            return
        created = untold is not None or record.mask & fanotify.CREATE
        if created:
            yield self._told("file_create", untold[1].record if untold is not None else record, path, access, found)
        if matters or not created:
            yield self._told("file_close_write", record, path, access, found)

    def renamed(self, record: Record, act: Act, born: Made | None, *, matters: bool) -> Iterator[Act]:
        """Tell a rename, and of the file's making what was not told by then."""
        found = act.found
        if found is None:
            return
        mask = born.record.mask if born is not None else 0
        if born is not None and mask & fanotify.CREATE:
            yield self._told("file_create", born.record, born.path, born.access, found)
        self._told("file_rename", record, act.path, act.access, found)
        yield act
        if born is not None and mask & fanotify.CLOSE_WRITE and matters:
            yield self._told("file_close_write", born.record, act.path, act.access, found)
        elif mask & _MADE == fanotify.CREATE:
            yield from self._follow(record, act.path, act.access, found)

    def keep(self, made: Made) -> None:
        """Wait a moment with a small file that is still open; one that is closed needs no more."""
        if made.record.target is not None and not made.record.mask & fanotify.CLOSE_WRITE:
            self._young[made.record.target] = clock.monotonic(), made
        else:
            self._counters.skip()

    def untold(self, target: bytes | None) -> Made | None:
        """Take out what is not told yet of a file, by its handle (or by our way to it, where there are no handles)."""
        if target is None:
            return None
        young = self._young.pop(target, None)
        return young[1] if young is not None else self.gone.pop(target, None)

    def follow_to(self, act: Act) -> None:
        """Follow a file in the making to its new name, or those in a folder to theirs."""
        old, new = act.previous_access, act.access
        if old is None:
            return
        moved = [old] if old in self.making else self.making.below(old) if _is_folder(act.found) else []
        for path in moved:
            rest = path[len(old) :]
            self.making.rename(path, new + rest)
            if self.shown.pop(path, None) is not None or new != act.path:
                self.shown[new + rest] = act.path + rest
            if path in self.late:
                self.late.remove(path)
                self.late.add(new + rest)

    @property
    def young(self) -> bool:
        """Whether files that were made a moment ago are still open, or were so when we looked."""
        return bool(self._young)

    def grown_up(self) -> Iterator[Act]:
        """Yield the files that were made some moments ago and are still open: whatever their size, they may grow."""
        until = clock.monotonic() - YOUNG
        while self._young:
            target, (since, made) = next(iter(self._young.items()))
            if since > until:
                return
            del self._young[target]
            found = beneath.lstat(made.access)
            if found is not None and found.st_ino == made.inode:
                yield from self._still_open(made.record, made.path, made.access, found)
            else:
                self._counters.skip()

    def grown(self, who: Who) -> Iterator[tuple[Act, Process | None]]:
        """Yield what became of files in the making, each with its writer: one grew, or was closed before we knew it."""
        for what, file, found in self.making.look():
            act = Act("file_grow", self.shown.get(file.path, file.path), file.path, found, 0)
            if what == "grown":
                yield act, file.writer
            elif file.path not in self.late:
                file.changed = clock.monotonic()
            elif who.writer(file.device, file.inode, file.path.rpartition(b"/")[2], urgent=True) is None:
                self.forget(file.path)
                yield act._replace(action="file_close_write"), file.writer
            else:
                self.late.discard(file.path)

    def forget(self, access: bytes) -> Key | None:
        """Follow a file no longer; return its identity if it was followed."""
        followed = self.making.pop(access)
        if followed is None:
            return None
        self.late.discard(access)
        self.shown.pop(access, None)
        return followed.device, followed.inode

    def _still_open(self, record: Record, path: bytes, access: bytes, found: os.stat_result) -> Iterator[Act]:
        yield self._told("file_create", record, path, access, found)
        yield from self._follow(record, path, access, found)

    def _special(self, record: Record, path: bytes, access: bytes, found: os.stat_result) -> Iterator[Act]:
        mode = found.st_mode
        if not record.mask & fanotify.CREATE or whiteout(found):
            self._counters.skip()
        elif stat.S_ISLNK(mode):
            yield Act("file_link", path, access, found, record.pid)
        elif stat.S_ISBLK(mode) or stat.S_ISCHR(mode) or self.wanted(text(path)):
            yield Act("file_create", path, access, found, record.pid)
        else:
            self._counters.skip()

    def matters(self, target: bytes | None, found: os.stat_result) -> bool:
        return (
            found.st_size >= LARGE
            or self.worth(found.st_size)
            or target in self.known
            or (found.st_dev, found.st_ino) in self._opens.files
        )

    def asked(self, path: bytes, access: bytes, found: os.stat_result, pid: int) -> bool:
        """Tell whether a small file is asked for: by a rule, by its name, or because it may be run."""
        return self.wanted(text(path)) or self.scripts.tells(access, found.st_mode, pid)

    def _told(self, action: str, record: Record, path: bytes, access: bytes, found: os.stat_result) -> Act:
        if record.target is not None:
            key = (found.st_dev, found.st_ino)
            self.known[record.target] = key
            self.known.move_to_end(record.target)
            self.handles[key] = record.target
            if len(self.known) > REMEMBERED:
                target, past = self.known.popitem(last=False)
                if self.handles.get(past) == target:  # else the numbers are those of a newer file by now
                    del self.handles[past]
        return Act(action, path, access, found, record.pid)

    def _follow(self, record: Record, path: bytes, access: bytes, found: os.stat_result) -> Iterator[Act]:
        """Look from now on how large a file is that is still open."""
        if found.st_size:
            self.late.add(access)
        if access != path:
            self.shown[access] = path
        let_go = self.making.add(access, found, self._who(record.pid))
        if let_go is not None:
            yield Act("file_close_write", self.shown.get(let_go.path, let_go.path), let_go.path, lstat(let_go.path), 0)
            self.forget(let_go.path)

    def look_for(self) -> Iterator[Act]:
        """Look by handle for what has no name any more: it was renamed, linked from nameless, or removed."""
        looked = 0
        while self.gone:
            _, gone = self.gone.popitem(last=False)
            record = gone.record
            if record.mask & fanotify.DELETE or record.target is None or looked >= MOST_LOOKED_FOR:
                yield from self.passed(gone)
                continue
            looked += 1
            yield from self._by_handle(gone, record.target)

    def _by_handle(self, gone: Made, target: bytes) -> Iterator[Act]:
        with self._folders.opened(target) as opened:
            if opened is None:
                yield from self.passed(gone)
                return
            descriptor, view = opened
            found = os.fstat(descriptor)
            seen = beneath.lstat(view.access) if view is not None and found.st_nlink else None
        if view is None or seen is None or not view.told or not (view.layered or os.path.samestat(seen, found)):
            yield from self.passed(gone)
        else:
            yield from self.file(gone.record, view.path, view.access, seen)

    def passed(self, gone: Made) -> Iterator[Act]:
        """Tell of a file that came and went, if its name is asked for or it was known."""
        record, key = gone.record, self.known.get(gone.record.target or b"")
        if self._folders.stale and gone.access.startswith(b"/proc/"):
            self._counters.lose("resolve", "a namespace's process ended")
            return
        if key is None and not self.wanted(text(gone.path)):
            self._counters.skip()
            return
        action = "file_create" if record.mask & fanotify.CREATE else "file_close_write"
        yield Act(action, gone.path, gone.access, None, record.pid, key=key)
        if record.mask & fanotify.DELETE:
            yield Act("file_delete", gone.path, gone.access, None, record.pid, key=key)


def found_at(record: Record, folder: Folder, access: bytes) -> os.stat_result | None:
    """Return the lstat of a name, if it is still the file of the record; an overlay has numbers of its own."""
    if folder.layered:
        return beneath.lstat(access)
    found = beneath.lstat(access, folder.superblock.number)
    if found is None or record.target is None:
        return found
    number = fanotify.inode(record.target)
    return found if number is None or number == found.st_ino else None


def _is_folder(found: os.stat_result | None) -> bool:
    return found is not None and stat.S_ISDIR(found.st_mode)


def whiteout(found: os.stat_result) -> bool:
    """Tell whether this is an overlay's sign that a lower file is gone: a character device numbered 0."""
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0
