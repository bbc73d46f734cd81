"""Files, told by the kernel: every name on every filesystem, and opens of watched files, by fanotify.

What it cannot see: files without a name (memfd, O_TMPFILE until linked), what happens on the far side of a network or
FUSE mount, reads and writes after an open, and a new filesystem's first moments in a mount namespace that was not
known (its folders are read then). Reading and writing look the same in an open. The time is that of our look, a few
hundredths of a second after the act.
What it can lose: events beyond the kernel's queue (16,384 between two looks). That is told, and folders are read again.
"""

# ruff: noqa: PTH120 - paths are bytes here: names need not be text

import contextlib
import os
import select
import stat
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from replguard.config import Config
from replguard.errors import Unavailable
from replguard.events import clock
from replguard.events.event import Event
from replguard.events.fact import Context, FileRef
from replguard.events.hint import Hint
from replguard.events.process import Process
from replguard.kernel import fanotify
from replguard.kernel.fanotify import Group
from replguard.kernel.procfs import text
from replguard.sensors.base import WENT_ON, Drives, Readable
from replguard.sensors.files import disks, places
from replguard.sensors.files.acts import Acts
from replguard.sensors.files.backlog import Backlog
from replguard.sensors.files.memory import Memory
from replguard.sensors.files.missed import LATER, TOO_MUCH, Missed
from replguard.sensors.files.mounted import EVERY, Mounted
from replguard.sensors.files.opens import Key, Opens
from replguard.sensors.files.places import Root
from replguard.sensors.files.queues import Queues
from replguard.sensors.files.sections import lstat
from replguard.sensors.files.shown import context, section
from replguard.sensors.files.superblocks import below
from replguard.sensors.files.verdicts import Verdicts
from replguard.sensors.files.written import Act
from replguard.sensors.losses import Losses
from replguard.sensors.processes.ours import Ours
from replguard.sensors.processes.who import Who

AREA = "file"
TIER = "kernel"
REPLACES = frozenset({"file"})
LOOK = 0.025
"""Seconds between readings of the queues: a wake-up per event costs four times the CPU."""
LONGEST, PORTION = 0.05, 1 << 16
"""Seconds that one reading may take before hints and mounts are looked at again, and bytes that are read at a time."""
SLICE = 0.02
CATCH_UP, RECONCILE = 10.0, 60.0
"""Seconds that the first reading may take of what waited, and until nobody is named any more of whom it tells."""
SIZES_EVERY, NODES_EVERY = 0.5, 60.0
_PLACES = 8192


class NamesSensor(Readable):
    """Makes what the portable sensor ``file`` makes, file_open also of devices, and process_access.

    ``choose`` leaves out small files whose name, or size, nobody asks for.
    """

    name = "names"
    area = AREA
    mode = "kernel"
    gather = LOOK
    blind = (
        "memfd, nameless files until they are linked, the far side of network and FUSE mounts, and how much is read."
    )
    makes = frozenset({"file_open", "process_access"})

    def __init__(
        self,
        roots: Iterable[Root] = (),
        own: frozenset[bytes] = frozenset(),
        *,
        only: bool = False,
        older: bool = False,
    ) -> None:
        """Take the folders that matter, our own, whether to tell ``only`` of the former, and to do as before 5.17."""
        super().__init__()
        self._roots, self._own, self._only, self._older = list(roots), own, only, older
        self._hints: deque[Hint] = deque()
        self._losses = Losses(self)
        self._opens, self._memory = Opens(self._losses), Memory(self._losses)
        self._places: OrderedDict[Key, bytes] = OrderedDict()
        self._ours = Ours()
        self._processes: dict[int, Process | None] = {}
        self._eventfd, self._waking = -1, threading.Lock()
        self._group: Group | None = None
        self._queues: Queues | None = None
        self._backlog: Backlog | None = None
        self._new = False
        self._unread: set[bytes] = set()
        self._mounted: Mounted | None = None
        self.verdicts = Verdicts(self._roots if only else ())
        self._wanted: Callable[[str], bool] | None = None
        self._worth: Callable[[int], bool] | None = None
        self._drives: Drives | None = None

    def choose(self, wanted: Callable[[str], bool], worth: Callable[[int], bool], drives: Drives | None = None) -> None:
        self._wanted, self._worth, self._drives = wanted, worth, drives

    def place(self, device: int, inode: int) -> tuple[str, bytes] | None:
        mounted = self._mounted
        handle = self._acts.files.handles.get((device, inode)) if mounted is not None else None
        folder = mounted.folder(handle) if mounted is not None and handle is not None else None
        return (folder, handle) if folder is not None and handle is not None else None

    def start(self) -> None:
        self._eventfd = os.eventfd(1, os.EFD_NONBLOCK | os.EFD_CLOEXEC)  # readable: hints may have come before
        queues = self._queues = Queues(self.name, self._opens, self._memory, older=self._older)
        self._group, self._new = queues.group, True
        self._backlog = Backlog(queues.since or clock.now()) if queues.went_on else None
        self.went_on = WENT_ON if queues.went_on else None
        self._who = Who()
        self._missed = Missed(queues.since.timestamp() if queues.since is not None else None)
        mounted = self._mounted = Mounted(self._group, queues.mask, self._tells, self.verdicts)
        self._missed.skip = mounted.skip
        self._unread |= set(mounted.unlike(queues.marked)) if queues.went_on else set()
        self._acts = Acts(mounted.folders, mounted.spaces, self._opens, self.counters, self._process)
        self._acts.files.wanted = self._wanted or self._acts.files.wanted
        self._acts.files.worth = self._worth or self._acts.files.worth
        self._acts.files.scripts.drives = self._drives or self._acts.files.scripts.drives
        self._due = {"sizes": 0.0, "nodes": 0.0, "settle": 0.0}
        self._poller = select.poll()
        for descriptor in (self._eventfd, self._group.fd, self._opens.fileno(), self._memory.fileno()):
            if descriptor >= 0:
                self._poller.register(descriptor, select.POLLIN)
        self._because(mounted)

    def stop(self) -> None:
        if self._queues is not None:
            self._queues.close()
        if self._mounted is not None:
            self._mounted.close()
        self._group = self._mounted = self._queues = self._backlog = None
        with self._waking:  # a hint must not be written to whatever gets the number next
            eventfd, self._eventfd = self._eventfd, -1
            if eventfd >= 0:
                os.close(eventfd)

    def fileno(self) -> int:
        return self._eventfd

    def descriptors(self) -> list[tuple[int, int]]:
        waiting = [
            (fd, select.POLLIN) for fd in (self._eventfd, self._opens.fileno(), self._memory.fileno()) if fd >= 0
        ]
        if self._group is not None and self._mounted is not None:
            waiting += [(self._group.fd, select.POLLIN), (self._mounted.fileno(), select.POLLPRI)]
        return waiting

    def quiet(self) -> bool:
        """What waits in the kernel gets the time at which it is read, but for what waits there at the start."""
        return self._group is not None and self._backlog is None

    @property
    def period(self) -> float:  # type: ignore[override]
        """Seconds to the next tick: soon while young files or folders to read again wait for it."""
        return LOOK if self._acts.files.young or self._missed.waiting else SIZES_EVERY

    def watch(self, hint: Hint) -> None:
        self._hints.append(hint)
        with self._waking, contextlib.suppress(OSError):
            if self._eventfd >= 0:
                os.eventfd_write(self._eventfd, 1)

    def read(self) -> Iterator[Event]:
        if self._mounted is not None and self._mounted.changed():
            yield from self._rearranged(self._mounted)
        until = clock.now()
        self._processes.clear()
        ready = {descriptor for descriptor, _ in self._poller.poll(0)}
        if self._eventfd in ready:
            os.eventfd_read(self._eventfd)
            self._take_hints()
        if self._group is not None and self._mounted is not None and self._group.fd in ready:
            end, left = clock.monotonic() + (LONGEST if self._backlog is None else CATCH_UP), True
            while left and clock.monotonic() < end:
                until = clock.now()
                left = yield from self._names(self._group, self._mounted)
        for act in self._acts.files.grown_up():
            yield from self._told(act, clock.now())
        if self._opens.fileno() in ready:
            yield from self._opened()
        if self._memory.fileno() in ready:
            yield from self._accessed()
        self._missed.good()
        self._backlog = None
        self.told_until = until

    def tick(self) -> Iterator[Event]:
        now = clock.monotonic()
        if self._new and self._queues is not None:
            self._new, self._due["settle"] = False, now + RECONCILE
            self._queues.keep()
            self._missed.begin([(path, True) for path in self._unread], urgency=LATER)
            self._unread = set()
        yield from self.read()
        if now >= self._due["sizes"]:
            self._due["sizes"] = now + SIZES_EVERY
            self._memory.tidy()
            if self._queues is not None and not self._missed.waiting:
                self._queues.read()
            if self._memory.unclaimed:
                yield from self._accessed()
            yield from self._losses.tell()
            yield from self._grown()
        if now >= self._due["settle"]:
            self._memory.settle()
        if now >= self._due["nodes"]:
            self._due["nodes"] = now + NODES_EVERY
            self._opens.nodes(disks.gpus())
        for path, found in self._missed.step(SLICE):
            yield from self._found(path, found)
        if cut := self._missed.cut():
            self.counters.lose("rescan", TOO_MUCH, cut)
            yield self.health("loss", TOO_MUCH, stage="rescan", lost=cut)

    # Starting.

    def _tells(self, path: bytes, access: bytes) -> bool:
        """Tell whether what happens in a folder is told: in ours too, for what we do ourselves is known by its pid."""
        roots = (below(path, root.path) is not None if root.recursive else path == root.path for root in self._roots)
        return not self._only or self._is_own(access) or any(roots)

    def _is_own(self, path: bytes) -> bool:
        return any(below(path, own) is not None for own in self._own)

    def _rearranged(self, mounted: Mounted) -> Iterator[Event]:
        """Watch what is mounted by now, and read what was written to a new filesystem before it was watched."""
        before = mounted.refused
        fresh = mounted.arrange()
        self._opens.again()
        self._missed.skip = mounted.skip
        for path in fresh:
            self._missed.begin([(path, True)], since=2 * EVERY, urgency=LATER)
        if mounted.refused != before:
            self._because(mounted)
            if set(mounted.refused) - set(before):
                yield self.health("degraded", mounted.unwatched())

    def _because(self, mounted: Mounted) -> None:
        self.because(" ".join(why for why in (mounted.unwatched(), self._opens.why, self._memory.why) if why) or None)

    # Hints.

    def _take_hints(self) -> None:
        while self._hints:
            hint = self._hints.popleft()
            if hint.kind == "inode" and hint.device is not None and hint.inode is not None:
                access = self._access(hint.device, hint.inode, hint.path)
                self._opens.take(hint, access)
                if not hint.drop:
                    self._opens.disks(hint.device)
            elif hint.kind in ("process", "reader") and hint.pid is not None and hint.entity_id is not None:
                if hint.drop:
                    self._memory.drop(hint.pid)
                else:
                    self._memory.watch(hint.pid, hint.entity_id, reader=hint.kind == "reader")

    def _access(self, device: int, inode: int, path: str | None) -> bytes:
        """Return our way to a hinted file, whose path may be that of another namespace."""
        given = os.fsencode(path or "")
        found = lstat(given)
        if found is not None and (found.st_dev, found.st_ino) == (device, inode):
            return given
        return self._places.get((device, inode), given)

    # Events.

    def _names(self, group: Group, mounted: Mounted) -> Generator[Event, None, bool]:
        """Read once and tell; return whether there was anything to read."""
        data = group.read(PORTION)
        if not data:
            return False
        yield from self._opened()  # who opened the original has to be known before the copy is told
        when = clock.now()
        mounted.spaces.forget()
        records = []
        for record in fanotify.parse(data):
            if record.mask & fanotify.OVERFLOW:
                yield from self._lost(mounted)
            elif self._ours(record.pid):
                self.heard = clock.monotonic()
                self.counters.skip()
            else:
                records.append(record)
        acts = self._acts.of(records)
        for act, at in self._backlog.of(acts) if self._backlog is not None else ((act, when) for act in acts):
            yield from self._told(act, at)
        return True

    def _told(self, act: Act, when: datetime) -> Iterator[Event]:
        if act.found is not None:
            self._places[act.found.st_dev, act.found.st_ino] = act.access
            while len(self._places) > _PLACES:
                self._places.popitem(last=False)
        if act.action == "file_rename" and act.previous is not None and act.previous_access is not None:
            self._opens.renamed(act.previous, act.path, act.previous_access, act.access)
        process = self._process(act.pid)
        yield self.event(
            act.action, when, file=section(act), process=process, replguard=context(act, known=process is not None)
        )

    def _opened(self) -> Iterator[Event]:
        now = clock.now()
        for watched, pid in self._opens.read(self._entity):
            if self._ours(pid):
                self.counters.skip()
                continue
            process, found = self._process(pid), lstat(watched.access)
            key = watched.key or ((found.st_dev, found.st_ino) if found is not None else None)
            act = Act("file_open", watched.path, watched.access, found, pid, key=key)
            about = msgspec.structs.replace(
                context(act, known=process is not None), mode="device" if watched.key is None else "read"
            )
            if watched.holds is not None:
                about = msgspec.structs.replace(about, origin=FileRef(path=text(watched.path), device=watched.holds))
            when = self._backlog.opened(pid) if self._backlog is not None else now
            yield self.event("file_open", when, file=section(act), process=process, replguard=about)

    def _accessed(self) -> Iterator[Event]:
        for access in self._memory.read():
            if self._ours(access.pid):
                self.counters.skip()
                continue
            process = self._process(access.pid)
            target = self._who.process(access.target)
            if target is None or target.entity_id != access.entity:
                target = Process(pid=access.target, entity_id=access.entity)
            about = Context(tier="kernel", attribution="kernel", read_time=True, mode="memory")
            yield self.event("process_access", clock.now(), process=process, target=target, replguard=about)

    def _grown(self) -> Iterator[Event]:
        """Tell of files that are still written, and of those that were closed before we knew them."""
        now = clock.now()
        for act, writer in self._acts.files.grown(self._who):
            about = context(act, known=writer is not None)
            yield self.event(act.action, now, file=section(act), process=writer, replguard=about)

    def _found(self, path: bytes, found: os.stat_result) -> Iterator[Event]:
        """Tell of a file that a rescan found, at the time that it was changed last."""
        if not self._tells(os.path.dirname(path), os.path.dirname(path)) or self._is_own(path):
            return  # nobody knows who wrote it, and what lies in our folders is mostly ours
        regular, when = stat.S_ISREG(found.st_mode), min(clock.now(), datetime.fromtimestamp(found.st_ctime, UTC))
        if regular and not self._acts.files.worth(found.st_size) and not self._acts.files.wanted(text(path)):
            self.counters.skip()
            return
        shown = self._mounted.inside(path) if self._mounted is not None else path
        linked = stat.S_ISLNK(found.st_mode) or (regular and found.st_nlink > 1)
        act = Act("file_link" if linked else "file_create", shown, path, found, 0)
        for told in [act] + [act._replace(action="file_close_write")] * (regular and not linked):
            yield self.event(told.action, when, file=section(told), replguard=context(told, known=False))

    def _lost(self, mounted: Mounted) -> Iterator[Event]:
        """Tell a loss, and read again what matters, then where something was going on."""
        self.counters.lose("kernel", "fanotify overflow")
        yield self.health("loss", "fanotify overflow", stage="kernel")
        recent = [view.access for view in mounted.folders.recent() if view.told]
        mounted.folders.forget()
        self._missed.after_loss(self._roots, recent)

    # Who.

    def _process(self, pid: int) -> Process | None:
        if pid <= 0:
            return None
        if pid not in self._processes:
            self._processes[pid] = self._who.process(pid) or Process(pid=pid)
        return self._processes[pid]

    def _entity(self, pid: int) -> str | None:
        brief = self._who.describer.brief(pid)
        return brief.entity_id if brief is not None else None


def open(config: Config) -> NamesSensor:  # noqa: A001 - the registry calls every sensor module alike
    """Return the sensor, after a trial: whoever asks learns at once whether it works. Raises Unavailable."""
    only, older = bool(config.watch.paths), config.sensors.hooks == "5.15"
    own = places.own(config) | {os.path.realpath(os.fsencode(Path(__file__).parent.parent))}
    sensor = NamesSensor(places.roots(config), own, only=only, older=older)
    try:
        sensor.start()
    except OSError as error:
        raise Unavailable(fanotify.sentence(error)) from error
    finally:
        sensor.stop()
    return sensor
