"""What fanotify's records of names mean: renames and ends told here, files that were made or written by ``written``."""

import stat
from collections.abc import Callable, Iterable, Iterator

from replguard.events.process import Process
from replguard.kernel import beneath, fanotify
from replguard.kernel.fanotify import Record
from replguard.kernel.procfs import text
from replguard.sensors.base import Counters
from replguard.sensors.files.folders import Folder, Folders, View
from replguard.sensors.files.opens import Key, Opens
from replguard.sensors.files.spaces import Spaces
from replguard.sensors.files.written import Act, Written, found_at, whiteout

_MADE = fanotify.CREATE | fanotify.CLOSE_WRITE
_MOVED = fanotify.MOVED_FROM | fanotify.MOVED_TO


class Acts:
    """Takes the records of one batch after another."""

    def __init__(
        self, folders: Folders, spaces: Spaces, opens: Opens, counters: Counters, who: Callable[[int], Process | None]
    ) -> None:
        self._folders, self._spaces, self._opens = folders, spaces, opens
        self._counters = counters
        self.files = Written(folders, opens, counters, who)
        self._left: dict[int, list[Record]] = {}

    def of(self, records: Iterable[Record]) -> Iterator[Act]:
        """Yield what a batch tells, and which small files of former batches are still open."""
        for record in records:
            if record.mask == _MADE and self.files.small(record):
                self._counters.skip()
            else:
                yield from self._one(record)
        for left in [left for several in self._left.values() for left in several]:
            yield from self._one(left._replace(mask=fanotify.DELETE))
        self._left.clear()
        yield from self.files.look_for()
        yield from self.files.grown_up()

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
                yield from self.files.made(record, folder, view)
            elif mask & fanotify.DELETE:
                yield from self._deleted(record, folder, view)
            else:
                self._counters.skip()

    def _where(self, record: Record) -> tuple[Folder, View] | None:
        folder = self._folders.of(record.folder) if record.folder is not None else None
        return None if folder is None else (folder, self._view(folder, record.pid))

    def _view(self, folder: Folder, pid: int) -> View:
        space = None if folder.alone or pid <= 0 else self._spaces.of(pid)
        return self._folders.view(folder, space)

    def _nowhere(self, record: Record) -> Iterator[Act]:
        """Of a folder that is gone itself only the end of what was in it can be told."""
        watched = self._opens.by_handle.get(record.target or b"")
        if record.mask & fanotify.DELETE and watched is not None:
            yield Act("file_delete", watched.path, watched.access, None, record.pid, key=watched.key)
        elif self._folders.trouble is not None:
            self._counters.lose("resolve", self._folders.trouble)
            self._folders.trouble = None
        elif self._folders.stale:
            self._counters.lose("resolve", "a namespace's process ended")
        else:
            self._counters.skip()

    # Names that changed or went.

    def _moved(self, record: Record) -> Iterator[Act]:
        """Join the two halves of a rename, as kernels before 5.17 tell it: one after the other, by one process.

        Its threads may rename at once. Then the same name is the likelier other half, else what was told first.
        """
        if record.mask & fanotify.MOVED_FROM:
            if record.mask & fanotify.CREATE:
                yield from self._one(record._replace(mask=record.mask & ~_MOVED))
            self._left.setdefault(record.pid, []).append(record)
            return
        waiting = self._left.get(record.pid, [])
        left = next((half for half in waiting if half.name == record.name), waiting[0] if waiting else None)
        if left is not None:
            waiting.remove(left)
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
        found = found_at(record, folder, act.access)
        born = self.files.untold(record.target or act.previous_access)
        if found is None:
            if born is not None:  # renamed once more: its last name will tell
                self.files.gone[record.target or act.access] = born._replace(path=act.path, access=act.access)
            elif (key := self.files.known.get(record.target or b"")) is not None:
                yield act._replace(key=key)
            else:
                self._counters.skip()
            return
        self.files.follow_to(act._replace(found=found))
        special = not stat.S_ISREG(found.st_mode) or found.st_nlink > 1
        matters = special or self.files.matters(record.target, found)
        asked = matters or self.files.wanted(text(act.previous or b""))
        if asked or self.files.asked(act.path, act.access, found, record.pid):
            yield from self.files.renamed(record, act._replace(found=found), born, matters=matters)
        else:
            self._counters.skip()
            if born is not None:
                self.files.keep(born._replace(path=act.path, access=act.access, inode=found.st_ino))

    def _copied_up(self, record: Record, path: bytes, access: bytes) -> Iterator[Act]:
        """Tell what an overlay put in place from its work folder: a copy of a lower file, or the sign of its end."""
        found = beneath.lstat(access)
        if found is None or whiteout(found):  # an overlay shows nothing of the sign of an end
            yield Act("file_delete", path, access, None, record.pid, key=self._key(record, path, overlaid=True))
        elif stat.S_ISDIR(found.st_mode):
            self._counters.skip()
        else:
            yield from self.files.file(record._replace(mask=_MADE), path, access, found)

    def _key(self, record: Record, path: bytes, *, overlaid: bool) -> Key | None:
        """Return the identity of a file that is known; one of an overlay is known by its path alone."""
        watched = self._opens.by_handle.get(record.target or b"")
        if watched is None and overlaid:
            watched = self._opens.at(path)
        return watched.key if watched is not None else self.files.known.get(record.target or b"")

    def _deleted(self, record: Record, folder: Folder, view: View) -> Iterator[Act]:
        access, path = view.at(record.name), view.shown(record.name)
        if self.files.untold(record.target) is not None:
            self._counters.skip()
        key = self._key(record, path, overlaid=folder.layered)
        key = self.files.forget(access) or key
        if key is not None or self.files.wanted(text(path)):
            yield Act("file_delete", path, access, None, record.pid, key=key)
        else:
            self._counters.skip()
