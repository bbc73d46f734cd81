"""Files, by inotify on the configured or usual folders.

What it cannot see: folders beyond its share of inotify watches (it says which); writes to a file that existed before,
until they are closed, and who did them; files without a name (O_TMPFILE until linked, memfd); what happens in folders
that no path of ours leads to (other containers), or on another machine's side of a network mount; our own log and
state folders. A writer is known when it still held the file open a few milliseconds after it made it.
What it can lose: events beyond the kernel's queue (16,384). That is told, and the folders are read again.
"""

# ruff: noqa: PTH112, PTH118, PTH119 - paths are bytes here: names need not be text

import os
import stat
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator

from watchdog.observers.inotify_c import InotifyConstants as I

from replguard.config import Config
from replguard.errors import Unavailable
from replguard.events import clock
from replguard.events.event import Event
from replguard.events.fact import Context
from replguard.events.file import File
from replguard.events.hint import Hint
from replguard.events.process import Process
from replguard.kernel.mounts import PSEUDO, mounts
from replguard.kernel.procfs import text
from replguard.sensors.base import PORTABLE, Readable
from replguard.sensors.files import places
from replguard.sensors.files.growing import Growing, Table
from replguard.sensors.files.marks import Marks
from replguard.sensors.files.places import Root
from replguard.sensors.files.rescan import Rescan
from replguard.sensors.files.sections import file_section, lstat
from replguard.sensors.files.tree import GONE, OVERFLOW, Folder, Record, Tree, listing
from replguard.sensors.files.verdicts import Verdicts
from replguard.sensors.processes.who import Who

AREA = "file"
FIRST_SLICE, SLICE = 1.0, 0.15
"""Seconds that watching folders may take before the first event is read, and of each tick after."""
LARGE = 64 * 1024
"""Bytes from which the writer of a closed file is looked for."""
PAIR = 0.1
"""Seconds that half a rename waits for its other half; the kernel puts them side by side."""
MOST_FOUND = 2000
"""Files that are reported of one folder which arrived whole."""
SCANNED = 10.0
"""Seconds in which an event for a file that a scan just reported is the same news."""
ROOTS_EVERY = 5.0
TELL_EVERY = 600.0
HELD = Context(tier="portable", attribution="lineage")
READ = Context(tier="portable", attribution="lineage", mode="read")
AT_READ = Context(tier="portable", read_time=True)


class FileSensor(Readable):
    """Makes file_create, _close_write, _grow, _link, _rename, _delete, and file_open of hinted files."""

    name = "file"
    area = AREA
    blind = "who overwrote a file that existed already, and folders outside those watched, are not seen."

    def __init__(self, roots: Iterable[Root], own: frozenset[bytes] = frozenset(), limit: int | None = None) -> None:
        super().__init__()
        self._roots = list(roots)
        self._verdicts = self.verdicts = Verdicts(self._roots)
        self._own, self._limit = own, limit
        self._hints: deque[Hint] = deque()
        self._marks = Marks()

    def start(self) -> None:
        self._tree = Tree(self._own, self._limit)
        self._who = Who()
        self._growing = Table()
        self._rescan = Rescan()
        self._moving: dict[int, tuple[bytes, float, bool]] = {}
        self._found: OrderedDict[bytes, tuple[int, float]] = OrderedDict()
        self._planned: set[Root] = set()
        listed = mounts() or []
        self._mounted: set[bytes] = {mount.path for mount in listed}
        self._verdicts.look(listed)
        self._next_roots = self._next_tell = 0.0
        self._told = 0
        self._tree.start()
        self._plan_roots()
        self._tree.grow(FIRST_SLICE)
        self._marks.restart(self._tree)
        if not self._tree.folders:
            raise Unavailable("none of the folders to watch exists or can be read.")

    def stop(self) -> None:
        if hasattr(self, "_tree"):
            self._tree.stop()

    def fileno(self) -> int:
        return self._tree.eventfd

    def watch(self, hint: Hint) -> None:
        if hint.kind == "inode" and hint.device is not None and hint.inode is not None:
            self._hints.append(hint)
            if hasattr(self, "_tree"):
                self._tree.poke()

    def read(self) -> Iterator[Event]:
        self._take_hints()
        for record in self._tree.drain():
            yield from self._one(record)
        self._rescan.good(clock.now().timestamp())
        yield from self._unpaired()

    def tick(self) -> Iterator[Event]:
        now = clock.monotonic()
        self._take_hints()
        yield from self._unpaired()
        yield from self._look_at_growing()
        if now >= self._next_roots:
            self._next_roots = now + ROOTS_EVERY
            yield from self._plan_mounts()
            self._plan_roots()
        if self._tree.grow(SLICE):
            yield from self._tell_unwatched(now)
        for folder, path, found in self._rescan.step(SLICE):
            if not stat.S_ISDIR(found.st_mode):
                yield from self._arrived(path, found, urgent=folder.important, late=True)
            elif folder.recursive and self._tree.add(Folder(path, important=folder.important)):
                yield from self._new_folder(path, folder, moved=False)
        if self._tree.overrun:
            lost, self._tree.overrun = self._tree.overrun, 0
            yield from self._lost("buffer", "sensor too slow", lost)

    # From kernel events to ours.

    def _one(self, record: Record) -> Iterator[Event]:
        if record.mask & OVERFLOW:
            yield from self._lost("kernel", "inotify overflow", None)
            return
        folder = self._tree.folders.get(record.wd)
        if record.mask & GONE or folder is None:
            self._tree.forget(record.wd)
            self._marks.forget(record.wd)
            return
        if folder.file:
            yield from self._was_opened(record.wd)
            return
        path = os.path.join(folder.path, record.name) if record.name else folder.path
        if not record.name or self._tree.is_own(path):
            self.counters.skip()
        elif record.mask & I.IN_ISDIR:
            yield from self._folder_event(record, folder, path)
        elif record.mask & I.IN_CREATE:
            yield from self._created(path, folder)
        elif record.mask & I.IN_CLOSE_WRITE:
            yield from self._closed(path, folder)
        else:
            yield from self._moved_or_deleted(record, path)

    def _created(self, path: bytes, folder: Folder) -> Iterator[Event]:
        found = lstat(path)
        if found is None:  # gone already: the name is all that is left to tell
            yield self.event("file_create", clock.now(), file=file_section(path, None))
        elif self._known_since_scan(path, found.st_ino):
            self.counters.skip()
        else:
            yield from self._arrived(path, found, urgent=self._important(path, folder))

    def _arrived(
        self, path: bytes, found: os.stat_result, *, urgent: bool = False, late: bool = False
    ) -> Iterator[Event]:
        """Tell of a name that appeared: a new file, or another name of one that was there."""
        now = clock.now()
        if stat.S_ISLNK(found.st_mode) or (stat.S_ISREG(found.st_mode) and found.st_nlink > 1):
            yield self.event("file_link", now, file=file_section(path, found))
        elif stat.S_ISREG(found.st_mode):
            name = os.path.basename(path)
            writer = self._who.writer(found.st_dev, found.st_ino, name, urgent=urgent)
            yield self._held("file_create", path, found, writer)
            if late and writer is None and found.st_size < LARGE:
                # Of an archive's many small files most are finished by now. One that is not closes once more.
                yield self._held("file_close_write", path, found, None, at_read=True)
                return
            let_go = self._growing.add(path, found, writer, late=late or found.st_size > 0)
            if let_go is not None:
                yield self._held("file_close_write", let_go.path, lstat(let_go.path), let_go.writer, at_read=True)
        else:
            yield self.event("file_create", now, file=file_section(path, found))

    def _closed(self, path: bytes, folder: Folder) -> Iterator[Event]:
        known, found = self._growing.pop(path), lstat(path)
        writer = known.writer if known else None
        hinted = found is not None and (found.st_dev, found.st_ino) in self._marks.paths
        urgent = hinted or self._important(path, folder)
        if writer is None and found is not None and (urgent or found.st_size >= LARGE):
            writer = self._who.writer(found.st_dev, found.st_ino, os.path.basename(path), urgent=urgent)
        yield self._held("file_close_write", path, found, writer, known)

    def _moved_or_deleted(self, record: Record, path: bytes) -> Iterator[Event]:
        if record.mask & I.IN_MOVED_FROM:
            self._moving[record.cookie] = (path, clock.monotonic(), False)
        elif record.mask & I.IN_MOVED_TO:
            previous = self._moving.pop(record.cookie, (None, 0.0, False))[0]
            if previous is not None:
                self._growing.rename(previous, path)
            yield self._renamed(path, previous)
        elif record.mask & I.IN_DELETE:
            yield self._deleted(path)
        else:
            self.counters.skip()

    def _renamed(self, path: bytes, previous: bytes | None) -> Event:
        file = file_section(path, lstat(path), previous)
        if previous is not None:
            self._marks.renamed(previous, path)
        return self.event("file_rename", clock.now(), file=file)

    def _deleted(self, path: bytes) -> Event:
        known = self._growing.pop(path)
        key = self._marks.key_at(path)
        if key is None and known is not None:
            key = (known.device, known.inode)
        name = text(os.path.basename(path))
        file = File(path=text(path), name=name, device=key[0] if key else None, inode=key[1] if key else None)
        return self.event("file_delete", clock.now(), file=file)

    def _unpaired(self) -> Iterator[Event]:
        """Tell of names that went where we do not look."""
        now = clock.monotonic()
        for cookie, (path, since, is_dir) in list(self._moving.items()):
            if now - since > PAIR:
                del self._moving[cookie]
                if is_dir:
                    for wd in self._tree.under(path):
                        self._tree.remove(wd)
                    for below in self._marks.below(path):
                        yield self._deleted(below)
                yield self._deleted(path)

    # Folders.

    def _folder_event(self, record: Record, folder: Folder, path: bytes) -> Iterator[Event]:
        if record.mask & I.IN_MOVED_FROM:
            self._moving[record.cookie] = (path, clock.monotonic(), True)
        elif record.mask & I.IN_MOVED_TO and record.cookie in self._moving:
            previous = self._moving.pop(record.cookie)[0]
            self._tree.moved(previous, path)
            yield self._renamed(path, previous)
            for below, _ in self._inside(path):
                yield self._renamed(below, previous + below[len(path) :])
        elif record.mask & (I.IN_CREATE | I.IN_MOVED_TO) and folder.recursive:
            yield from self._new_folder(path, folder, moved=bool(record.mask & I.IN_MOVED_TO))
        else:
            self.counters.skip()

    def _new_folder(self, path: bytes, folder: Folder, *, moved: bool) -> Iterator[Event]:
        """Watch a folder that appeared, then tell what was in it before we watched."""
        self._tree.add(Folder(path, important=folder.important))
        if moved:
            yield self._renamed(path, None)
        for below, found in self._inside(path, watch=folder):
            self._found[below] = (found.st_ino, clock.monotonic())
            if moved:
                yield self._renamed(below, None)
            else:
                yield from self._arrived(below, found, urgent=folder.important, late=True)
        while len(self._found) > MOST_FOUND:
            self._found.popitem(last=False)

    def _inside(self, path: bytes, watch: Folder | None = None) -> Iterator[tuple[bytes, os.stat_result]]:
        """Yield the files in and below a folder, to a bound; folders on the way are watched if asked."""
        waiting, count = deque([path]), 0
        while waiting:
            for below, found in listing(waiting.popleft()):
                if stat.S_ISDIR(found.st_mode):
                    if watch is not None:
                        self._tree.add(Folder(below, important=watch.important))
                    waiting.append(below)
                    continue
                count += 1
                if count > MOST_FOUND:
                    self.counters.lose("scan", "too many files in one folder")
                    return
                yield below, found

    def _known_since_scan(self, path: bytes, inode: int) -> bool:
        seen = self._found.pop(path, None)
        return seen is not None and seen[0] == inode and clock.monotonic() - seen[1] < SCANNED

    def _plan_roots(self) -> None:
        for root in self._roots:
            if root not in self._planned and os.path.isdir(root.path):
                self._planned.add(root)
                self._tree.plan([Folder(root.path, root.recursive, root.important)])

    def _plan_mounts(self) -> Iterator[Event]:
        """Watch filesystems that were mounted over watched folders, and forget roots that went away."""
        self._planned = {root for root in self._planned if os.path.isdir(root.path)}
        listed = [mount for mount in mounts() or () if mount.kind not in PSEUDO]
        fresh = [mount for mount in listed if mount.path not in self._mounted]
        self._mounted = {mount.path for mount in listed}
        self._verdicts.look(listed)
        tops = [root.path.rstrip(b"/") for root in self._roots if root.recursive]
        for mount in fresh:
            if any(mount.path == top or mount.path.startswith(top + b"/") for top in tops):
                if mount.remote:
                    yield self.health("degraded", f"{text(mount.path)} is a {mount.kind} mount and is not watched")
                else:
                    self._tree.plan([Folder(mount.path)])

    def _important(self, path: bytes, folder: Folder) -> bool:
        return folder.important or os.path.basename(path) in places.SHELL_FILES

    def _was_opened(self, wd: int) -> Iterator[Event]:
        told = False
        for path, process in self._marks.openers(wd, self._who):
            told = True
            about = READ if process is not None else PORTABLE
            yield self.event(
                "file_open", clock.now(), file=file_section(path, lstat(path)), process=process, replguard=about
            )
        if not told:
            self.counters.skip()

    def _take_hints(self) -> None:
        while self._hints:
            self._marks.take(self._hints.popleft(), self._tree)

    # What time changes.

    def _look_at_growing(self) -> Iterator[Event]:
        for what, file, found in self._growing.look():
            name = os.path.basename(file.path)
            if what == "grown":
                if file.writer is None:
                    file.writer = self._who.writer(file.device, file.inode, name, urgent=True)
                yield self._held("file_grow", file.path, found, file.writer)
            elif self._who.writer(file.device, file.inode, name, urgent=found.st_size >= LARGE) is None:
                # Closed before its folder was watched, or under the name that it had before it was linked.
                self._growing.pop(file.path)
                yield self._held("file_close_write", file.path, found, file.writer, at_read=True)
            else:
                file.changed = clock.monotonic()

    def _tell_unwatched(self, now: float) -> Iterator[Event]:
        count = self._tree.unwatched
        if count == self._told or now < self._next_tell:
            return
        self._next_tell, self._told = now + TELL_EVERY, count
        examples = ", ".join(text(path) for path in self._tree.examples)
        reason = (
            f"{count} folders are not watched, for example {examples}: our quarter of "
            f"fs.inotify.max_user_watches is {self._tree.limit} folders."
        )
        self.because(reason)
        yield self.health("degraded", reason)

    def _lost(self, stage: str, reason: str, count: int | None) -> Iterator[Event]:
        """Tell a loss, and read the watched folders again for what changed since the last good moment."""
        self.counters.lose(stage, reason, count or 1)
        yield self.health("loss", reason, stage=stage, lost=count)
        self._rescan.begin([folder for folder in self._tree.folders.values() if not folder.file])

    def _held(
        self,
        action: str,
        path: bytes,
        found: os.stat_result | None,
        process: Process | None,
        known: Growing | None = None,
        *,
        at_read: bool = False,
    ) -> Event:
        file = file_section(path, found)
        if found is None and known is not None:
            file = File(path=file.path, name=file.name, device=known.device, inode=known.inode, size=known.size)
        context = HELD if process is not None else AT_READ if at_read else PORTABLE
        return self.event(action, clock.now(), file=file, process=process, replguard=context)


def open(config: Config) -> FileSensor:  # noqa: A001 - the registry calls every sensor module alike
    """Return the sensor."""
    return FileSensor(places.roots(config), places.own(config))
