"""What fanotify's records of names mean: which of them are told, and as what.

Of the many small files of a build or an unpacked archive nobody needs to hear. Told are files that are large enough to
hold something, watched files, links, renamed folders, devices, and names that a rule asks for.
"""

import os
import stat
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from replguard.events.process import Process
from replguard.kernel import fanotify
from replguard.kernel.fanotify import Record
from replguard.kernel.procfs import text
from replguard.sensors.base import Counters
from replguard.sensors.folders import Folder, Folders, View
from replguard.sensors.growing import Table
from replguard.sensors.opens import Key, Opens
from replguard.sensors.sections import lstat
from replguard.sensors.spaces import Spaces

LARGE = 64 * 1024
"""Bytes from which a file is always told."""
REMEMBERED = 16_384
"""Files that were told, whose further acts are told too."""
MOST_LOOKED_FOR = 64
"""Files of one batch that are looked for by their handle because their name was gone by the time of the look."""
_MADE = fanotify.CREATE | fanotify.CLOSE_WRITE
_MOVED = fanotify.MOVED_FROM | fanotify.MOVED_TO


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


class _Gone(NamedTuple):
    """A file that was made, whose name was gone when we looked."""

    record: Record
    path: bytes
    access: bytes


class Acts:
    """Takes the records of one batch after another. ``wanted`` is asked of a path, ``worth`` of a size in bytes."""

    def __init__(
        self, folders: Folders, spaces: Spaces, opens: Opens, counters: Counters, who: Callable[[int], Process | None]
    ) -> None:
        self._folders, self._spaces, self._opens = folders, spaces, opens
        self._counters, self._who = counters, who
        self.wanted: Callable[[str], bool] = lambda path: True  # noqa: ARG005
        self.worth: Callable[[int], bool] = lambda size: True  # noqa: ARG005
        self.making = Table()
        self.late: set[bytes] = set()
        """Files in the making that may be closed already."""
        self.shown: dict[bytes, bytes] = {}
        """Their paths, where our way to them is another."""
        self._known: OrderedDict[bytes, Key] = OrderedDict()
        self._gone: OrderedDict[object, _Gone] = OrderedDict()
        self._left: dict[int, Record] = {}

    def of(self, records: Iterable[Record]) -> Iterator[Act]:
        """Yield what a batch tells."""
        for record in records:
            if record.mask == _MADE and self._small(record):
                self._counters.skip()
            else:
                yield from self._one(record)
        for left in self._left.values():
            yield from self._one(left._replace(mask=fanotify.DELETE))
        self._left.clear()
        yield from self._look_for()

    def forget(self, access: bytes) -> None:
        """Follow a file no longer."""
        self.making.pop(access)
        self.late.discard(access)
        self.shown.pop(access, None)

    def _one(self, record: Record) -> Iterator[Act]:
        mask = record.mask
        if mask & fanotify.RENAME:
            yield from self._renamed(record)
        elif mask & _MOVED:
            yield from self._moved(record)
        else:
            where = self._where(record)
            if where is None:
                yield from self._nowhere(record)
                return
            folder, view = where
            if not view.told or folder.work:
                self._counters.skip()
            elif mask & fanotify.ONDIR:
                if mask & fanotify.DELETE:
                    self._folders.gone(folder, record.name)
                self._counters.skip()
            elif mask & _MADE:
                yield from self._made(record, folder, view)
            elif mask & fanotify.DELETE:
                yield from self._deleted(record, view)
            else:
                self._counters.skip()

    def _small(self, record: Record) -> bool:
        """Tell whether this is one of the many small files that nobody asks for: the same as below, in a hurry."""
        folder = self._folders.known(record.folder)
        view = folder.views.get(None) if folder is not None else None
        if view is None or not view.told or record.target is None or record.target in self._known:
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
            and (found.st_dev, found.st_ino) not in self._opens.files
            and not self.worth(found.st_size)
            and access not in self.making
            and not self.wanted(text(access))
        )

    def _where(self, record: Record) -> tuple[Folder, View] | None:
        folder = self._folders.of(record.folder) if record.folder is not None else None
        return None if folder is None else (folder, self._view(folder, record.pid))

    def _view(self, folder: Folder, pid: int) -> View:
        space = None if folder.superblock.alone or pid <= 0 else self._spaces.of(pid)
        return self._folders.view(folder, space)

    def _nowhere(self, record: Record) -> Iterator[Act]:
        """Of a folder that is gone itself only the end of what was in it can be told."""
        watched = self._opens.by_handle.get(record.target or b"")
        if record.mask & fanotify.DELETE and watched is not None:
            yield Act("file_delete", watched.path, watched.access, None, record.pid, key=watched.key)
        else:
            self._counters.skip()

    # Files that were made or written.

    def _made(self, record: Record, folder: Folder, view: View) -> Iterator[Act]:
        access = view.at(record.name)
        found = self._found(record, folder, access)
        if found is None:
            self._gone[record.target or access] = _Gone(record, view.shown(record.name), access)
        else:
            yield from self._file(record, view.shown(record.name), access, found)

    def _found(self, record: Record, folder: Folder, access: bytes) -> os.stat_result | None:
        """Return the lstat of a name, if it is still the file of the record; an overlay has numbers of its own."""
        found = lstat(access)
        if found is None or record.target is None or folder.superblock.layers:
            return found
        number = fanotify.inode(record.target)
        return found if number is None or number == found.st_ino else None

    def _file(self, record: Record, path: bytes, access: bytes, found: os.stat_result) -> Iterator[Act]:
        created, closed = record.mask & fanotify.CREATE, record.mask & fanotify.CLOSE_WRITE
        mode = found.st_mode
        if not stat.S_ISREG(mode):
            yield from self._special(record, path, access, found)
        elif created and not closed:
            if found.st_nlink > 1:
                yield self._told("file_link", record, path, access, found)
            else:
                yield self._told("file_create", record, path, access, found)
                yield from self._follow(record, path, access, found)
        else:
            followed = bool(closed) and self.making.pop(access) is not None
            if followed:
                self.forget(access)
            matters = followed or self._matters(record.target, found)
            if not matters and not self.wanted(text(path)):
                self._counters.skip()
                return
            if created:
                yield self._told("file_create", record, path, access, found)
            if matters or not created:
                yield self._told("file_close_write", record, path, access, found)

    def _special(self, record: Record, path: bytes, access: bytes, found: os.stat_result) -> Iterator[Act]:
        mode = found.st_mode
        if not record.mask & fanotify.CREATE or _whiteout(found):
            self._counters.skip()
        elif stat.S_ISLNK(mode):
            yield Act("file_link", path, access, found, record.pid)
        elif stat.S_ISBLK(mode) or stat.S_ISCHR(mode) or self.wanted(text(path)):
            yield Act("file_create", path, access, found, record.pid)
        else:
            self._counters.skip()

    def _matters(self, target: bytes | None, found: os.stat_result) -> bool:
        return (
            found.st_size >= LARGE
            or self.worth(found.st_size)
            or target in self._known
            or (found.st_dev, found.st_ino) in self._opens.files
        )

    def _told(self, action: str, record: Record, path: bytes, access: bytes, found: os.stat_result) -> Act:
        if record.target is not None:
            self._known[record.target] = (found.st_dev, found.st_ino)
            self._known.move_to_end(record.target)
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
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

    # Names that changed or went.

    def _moved(self, record: Record) -> Iterator[Act]:
        """Join the two halves of a rename, as kernels before 5.17 tell it: one after the other, by one process."""
        if record.mask & fanotify.MOVED_FROM:
            if record.mask & fanotify.CREATE:
                yield from self._one(record._replace(mask=record.mask & ~_MOVED))
            self._left[record.pid] = record
            return
        left = self._left.pop(record.pid, None)
        folder, name = (left.folder, left.name) if left is not None else (None, b"")
        mask = fanotify.RENAME | record.mask & fanotify.ONDIR
        yield from self._renamed(record._replace(mask=mask, old_folder=folder, old_name=name))
        if record.mask & fanotify.CLOSE_WRITE:
            yield from self._one(record._replace(mask=record.mask & ~_MOVED))

    def _renamed(self, record: Record) -> Iterator[Act]:
        where = self._where(record)
        before = self._folders.of(record.old_folder) if record.old_folder is not None else None
        if record.mask & fanotify.ONDIR and before is not None:
            self._folders.renamed(before, record.old_name)
        if where is None:
            self._counters.skip()
            return
        folder, view = where
        old = self._view(before, record.pid) if before is not None else None
        if not view.told and (old is None or not old.told):
            self._counters.skip()
            return
        access, path = view.at(record.name), view.shown(record.name)
        if before is not None and before.work:
            yield from self._copied_up(record, path, access)
            return
        previous = (old.shown(record.old_name), old.at(record.old_name)) if old is not None else (None, None)
        yield from self._rename(record, folder, Act("file_rename", path, access, None, record.pid, *previous))

    def _rename(self, record: Record, folder: Folder, act: Act) -> Iterator[Act]:
        """Tell a rename; of a file that was made just before under its former name, that too."""
        found = self._found(record, folder, act.access)
        born = self._gone.pop(record.target or act.previous_access, None)
        if found is None:
            if born is not None:  # renamed once more: its last name will tell
                self._gone[record.target or act.access] = born._replace(path=act.path, access=act.access)
            elif (key := self._known.get(record.target or b"")) is not None:
                yield act._replace(key=key)
            else:
                self._counters.skip()
            return
        if act.previous_access is not None:
            self.making.rename(act.previous_access, act.access)
            if self.shown.pop(act.previous_access, None) is not None:
                self.shown[act.access] = act.path
        matters = not stat.S_ISREG(found.st_mode) or found.st_nlink > 1 or self._matters(record.target, found)
        if not matters and not self.wanted(text(act.path)) and not self.wanted(text(act.previous or b"")):
            self._counters.skip(1 if born is None else 2)
            return
        if born is not None and born.record.mask & fanotify.CREATE:
            yield self._told("file_create", born.record, born.path, born.access, found)
        self._told("file_rename", record, act.path, act.access, found)
        yield act._replace(found=found)
        if born is not None and born.record.mask & fanotify.CLOSE_WRITE and matters:
            yield self._told("file_close_write", born.record, act.path, act.access, found)

    def _copied_up(self, record: Record, path: bytes, access: bytes) -> Iterator[Act]:
        """Tell what an overlay put in place from its work folder: a copy of a lower file, or the sign of its end."""
        found = lstat(access)
        if found is None or _whiteout(found):  # an overlay shows nothing of the sign of an end
            yield Act("file_delete", path, access, None, record.pid)
        elif stat.S_ISDIR(found.st_mode):
            self._counters.skip()
        else:
            yield from self._file(record._replace(mask=_MADE), path, access, found)

    def _deleted(self, record: Record, view: View) -> Iterator[Act]:
        access, path = view.at(record.name), view.shown(record.name)
        watched = self._opens.by_handle.get(record.target or b"")
        key = watched.key if watched is not None else self._known.get(record.target or b"")
        followed = self.making.pop(access)
        if followed is not None:
            self.forget(access)
            key = key or (followed.device, followed.inode)
        if key is not None or self.wanted(text(path)):
            yield Act("file_delete", path, access, None, record.pid, key=key)
        else:
            self._counters.skip()

    # Files whose name was gone when we looked.

    def _look_for(self) -> Iterator[Act]:
        """Look by handle for what has no name any more: it was renamed, linked from nameless, or removed."""
        looked = 0
        while self._gone:
            _, gone = self._gone.popitem(last=False)
            record = gone.record
            if record.mask & fanotify.DELETE or record.target is None or looked >= MOST_LOOKED_FOR:
                yield from self._passed(gone)
                continue
            looked += 1
            yield from self._by_handle(gone, record.target)

    def _by_handle(self, gone: _Gone, target: bytes) -> Iterator[Act]:
        with self._folders.opened(target) as opened:
            if opened is None:
                yield from self._passed(gone)
                return
            descriptor, view = opened
            found = os.fstat(descriptor)
            seen = lstat(view.access) if view is not None and found.st_nlink else None
        if view is None or seen is None or not view.told:
            yield from self._passed(gone)
        else:
            yield from self._file(gone.record, view.path, view.access, seen)

    def _passed(self, gone: _Gone) -> Iterator[Act]:
        """Tell of a file that came and went, if its name is asked for or it was known."""
        record, key = gone.record, self._known.get(gone.record.target or b"")
        if key is None and not self.wanted(text(gone.path)):
            self._counters.skip()
            return
        action = "file_create" if record.mask & fanotify.CREATE else "file_close_write"
        yield Act(action, gone.path, gone.access, None, record.pid, key=key)
        if record.mask & fanotify.DELETE:
            yield Act("file_delete", gone.path, gone.access, None, record.pid, key=key)


def _whiteout(found: os.stat_result) -> bool:
    """Tell whether this is an overlay's sign that a lower file is gone: a character device numbered 0."""
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0
