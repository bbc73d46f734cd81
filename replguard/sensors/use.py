"""Who uses watched files: holds them open or has them mapped. A mapping is what a server that is loaded leaves.

Every process is looked at within half a second in its first half minute, then ever more seldom, at least every four
seconds; one whose address space is smaller than the smallest watched file is not asked for its mappings.
What it cannot see: a use that begins and ends between two looks, memory that was copied from a mapping, files read
through a loop device, and, without root, the processes of other users. On overlay and btrfs, where mappings tell
another device than stat, a file counts when inode number and path agree.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from replguard.config import Config
from replguard.events import clock
from replguard.events.event import Event
from replguard.events.fact import Context
from replguard.events.file import File
from replguard.events.hint import Hint
from replguard.kernel import handles, machine, procfs
from replguard.kernel.mounts import mounts
from replguard.kernel.procfs import PROC
from replguard.sensors.base import Timed
from replguard.sensors.processes.who import Who

AREA = "file"
LOOK = 0.25
YOUNG, OFTEN = 30.0, 0.5
"""Seconds a process counts as young, and between looks at a young one."""
SELDOM = 4.0
"""Most seconds between two looks at a process."""
_REMEMBERED = 65_536
_MIN_MAP = 2 * 2**20
"""A process that maps anything of weight maps more than this; kernel threads map nothing."""
MAPPED = Context(tier="portable", attribution="lineage", mode="map", read_time=True)
OPENED = Context(tier="portable", attribution="lineage", mode="read", read_time=True)
_CONTEXT = {"file_map": MAPPED, "file_open": OPENED}

MOUNTS_EVERY = 10.0
_NOT_FILES = (b"/dev/", b"/proc/", b"/sys/")

Key = tuple[int, int]
Action = Literal["file_map", "file_open"]


@dataclass(slots=True)
class Seen:
    """A process: its entity id, when it was first met, when it is due, and the pause after that."""

    entity: str
    ours: bool
    since: float
    due: float
    pause: float = OFTEN


class UseSensor(Timed):
    """Makes file_map and file_open for hinted files, each once for a process and a file."""

    name = "use"
    area = AREA
    period = LOOK
    blind = "a file that is opened and closed, or mapped and released, between two looks (0.5 to 4 s)."

    def __init__(self, root: str = PROC) -> None:
        super().__init__()
        self._root = root
        self._hints: deque[Hint] = deque()
        self._files: dict[Key, Hint] = {}
        self._by_inode: dict[int, list[Key]] = {}
        self._seen: dict[int, Seen] = {}
        self._names: tuple[bytes, ...] = ()
        self._remote: tuple[bytes, ...] = ()
        self._mounts_due = 0.0
        self._told: OrderedDict[tuple[str, Key, Action], None] = OrderedDict()

    def start(self) -> None:
        self._who = Who(self._root)

    def watch(self, hint: Hint) -> None:
        if hint.kind == "inode" and hint.device is not None and hint.inode is not None:
            self._hints.append(hint)

    def poll(self) -> Iterable[Event]:
        self._take_hints()
        if not self._files:
            return
        now = clock.monotonic()
        if now >= self._mounts_due:
            self._mounts_due = now + MOUNTS_EVERY
            self._remote = tuple(mount.path + b"/" for mount in mounts() or () if mount.remote)
        smallest = min(hint.size or 0 for hint in self._files.values())
        for pid in self._due(now):
            yield from self._look(pid, self._seen.get(pid), smallest, now)

    def _due(self, now: float) -> Iterator[int]:
        """Yield whom to look at now."""
        for pid in self._present():
            seen = self._seen.get(pid)
            if seen is None or now >= seen.due:
                yield pid

    def _present(self) -> list[int]:
        """Return all processes, and forget those that are gone."""
        present = machine.pids(self._root)
        for pid in self._seen.keys() - set(present):
            del self._seen[pid]
        return present

    def _take_hints(self) -> None:
        if not self._hints:
            return
        fresh = False
        while self._hints:
            hint = self._hints.popleft()
            key = (hint.device or 0, hint.inode or 0)
            if hint.drop:
                self._files.pop(key, None)
            elif key not in self._files:
                self._files[key] = hint
                fresh = True
            else:
                self._files[key] = hint
        self._names = tuple(b"/" + self._path(key).rpartition(b"/")[2] for key in self._files)
        self._by_inode = {}
        for key in self._files:
            self._by_inode.setdefault(key[1], []).append(key)
        if fresh:  # everyone may have held the new file for long
            self._everyone()

    def _everyone(self) -> None:
        """Look at every process at the next poll."""
        for seen in self._seen.values():
            seen.due = 0.0

    def _look(self, pid: int, seen: Seen | None, smallest: int, now: float) -> Iterator[Event]:
        stat = procfs.stat(pid, self._root)
        if stat is None or stat.kthread:
            self._seen[pid] = Seen("", ours=True, since=now, due=now + (SELDOM if stat else OFTEN))
            return
        entity = self._who.describer.entity(pid, stat.start_ticks)
        if seen is None or seen.entity != entity:
            seen = self._seen[pid] = Seen(entity, self._who.ours(pid), now, now)
        seen.pause = OFTEN if now - seen.since < YOUNG else min(seen.pause * 2, SELDOM)
        seen.due = now + seen.pause
        if seen.ours:
            return
        for action, key, path in self._uses(pid, stat.vsize, smallest):
            told = (entity, key, action)
            if told in self._told:
                continue
            process = self._who.process(pid)
            if process is None or process.entity_id != entity:
                return
            self._told[told] = None
            while len(self._told) > _REMEMBERED:
                self._told.popitem(last=False)
            yield self.event(
                action, clock.now(), process=process, file=self._section(key, path), replguard=_CONTEXT[action]
            )

    def _uses(self, pid: int, vsize: int, smallest: int) -> Iterator[tuple[Action, Key, bytes]]:
        if vsize >= max(smallest, _MIN_MAP):
            for mapped in handles.maps(pid, self._root).values():
                for key in self._by_inode.get(mapped.inode, ()):
                    if key[0] == mapped.device or self._path(key) == mapped.path:
                        yield "file_map", key, mapped.path
        for fd in handles.fds(pid, self._root):
            if not fd.target.startswith(b"/") or fd.target.startswith(_NOT_FILES):
                continue
            if self._remote and fd.target.startswith(self._remote) and not fd.target.endswith(self._names):
                continue  # the server of a stranger's file may hang us
            held = handles.key(fd.path)
            if held in self._files and handles.mode(fd)[0]:
                yield "file_open", held, fd.target

    def _path(self, key: Key) -> bytes:
        return (self._files[key].path or "").encode("utf-8", "surrogateescape")

    def _section(self, key: Key, path: bytes) -> File:
        shown = procfs.text(path.removesuffix(b" (deleted)"))
        return File(path=shown, name=shown.rpartition("/")[2], device=key[0], inode=key[1], size=self._files[key].size)


def open(config: Config) -> UseSensor:  # noqa: A001, ARG001 - the registry calls every sensor module alike
    """Return the sensor."""
    return UseSensor()
