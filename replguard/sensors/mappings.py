"""Who maps watched files, where the kernel tells who opens them: a mapping follows an open, and leaves no other trace.

Whoever opened a watched file is looked at again and again for a minute. What is inherited by a fork or handed over by a
socket opens nothing: everybody is looked at in turn, each within twenty seconds. Large files in memory that have no
name (memfd) are found in the same looks: nothing else tells that they are written.
What it cannot see: a mapping that begins and ends between two looks, and such a file that is let go of between two;
without root, the processes of other users.
"""

# ruff: noqa: PTH116 - pathlib costs more than the calls it wraps, and knows no bytes

import errno
import os
from collections import OrderedDict, deque
from collections.abc import Iterator
from itertools import islice

from replguard.config import Config
from replguard.errors import Unavailable
from replguard.events import clock
from replguard.events.event import Event
from replguard.events.fact import Context
from replguard.events.file import File
from replguard.events.hint import Hint
from replguard.kernel import fanotify, handles
from replguard.kernel.fanotify import Group
from replguard.kernel.mounts import PSEUDO, mounts
from replguard.kernel.procfs import PROC, text
from replguard.sensors.base import AT_ONCE
from replguard.sensors.use import Seen, UseSensor

AREA = "file"
TIER = "kernel"
REPLACES = frozenset({"use"})
LOOK = 0.1
FIRST, LAST = 0.05, 60.0
"""Seconds after an open at which its process is looked at first, and up to which; each pause is half as long again."""
ROUND, SLICE = 20.0, 1.0
"""Seconds in which everybody is looked at once, and between two parts of that."""
MOST = 4096
_MOST_TRIES = 64
"""Mounts that are tried at the start."""
_NAMELESS, _GONE = b"/memfd:", b" (deleted)"
SMALLEST = 2**20
"""Bytes from which a file in memory is told, and again at each doubling."""
MOST_HELD = 4096
_FOUND = Context(tier="portable", attribution="lineage", read_time=True)


class MappingSensor(UseSensor):
    """Makes file_map and file_open for hinted files, each once for a process and a file."""

    name = "mappings"
    mode = "kernel"
    told_until = AT_ONCE
    period = LOOK
    blind = "a mapping that was inherited or handed over is seen within 20 s."

    def __init__(self, root: str = PROC) -> None:
        super().__init__(root)
        self._opened: deque[int] = deque(maxlen=MOST)
        self._openers: dict[int, tuple[float, float]] = {}
        self._round: deque[int] = deque()
        self._all = True
        self._slice_due = 0.0
        self._share = 0
        self._held: OrderedDict[tuple[int, int], int] = OrderedDict()

    def watch(self, hint: Hint) -> None:
        if hint.kind == "opener" and hint.pid is not None:
            self._opened.append(hint.pid)
        else:
            super().watch(hint)

    def _due(self, now: float) -> Iterator[int]:
        while self._opened:
            self._openers[self._opened.popleft()] = (now + FIRST, FIRST)
        for pid, (due, pause) in list(self._openers.items()):
            if now < due:
                continue
            yield pid
            if pause > LAST / 2 or pid not in self._seen:
                del self._openers[pid]
            else:
                self._openers[pid] = (now + pause * 1.5, pause * 1.5)
        if self._all or now >= self._slice_due:
            self._slice_due = now + SLICE
            yield from self._in_turn()

    def _in_turn(self) -> Iterator[int]:
        """Yield a part of all processes, or all of them where there is a new file that they may have held for long."""
        if not self._round or self._all:
            present = self._present()
            self._round, self._share = deque(present), 1 + int(len(present) * SLICE / ROUND)
        for _ in range(len(self._round) if self._all else min(self._share, len(self._round))):
            yield self._round.popleft()
        self._all = False

    def _everyone(self) -> None:
        self._all = True

    def _look(self, pid: int, seen: Seen | None, smallest: int, now: float) -> Iterator[Event]:
        yield from super()._look(pid, seen, smallest, now)
        known = self._seen.get(pid)
        if known is not None and not known.ours:
            yield from self._in_memory(pid, known.entity)

    def _in_memory(self, pid: int, entity: str) -> Iterator[Event]:
        """Tell of the files in memory that a process has open, as of files that are written."""
        for fd in handles.fds(pid, self._root):
            if not fd.target.startswith(_NAMELESS):
                continue
            try:
                found = os.stat(fd.path)
            except OSError:
                continue
            key, held = (found.st_dev, found.st_ino), found.st_blocks * 512
            if held < max(SMALLEST, 2 * self._held.get(key, 0)):
                continue
            process = self._who.process(pid)
            if process is None or process.entity_id != entity:
                return
            self._held.pop(key, None)
            self._held[key] = held
            if len(self._held) > MOST_HELD:
                self._held.popitem(last=False)
            path = text(fd.target.removesuffix(_GONE))
            file = File(path=path, name=path[1:], device=key[0], inode=key[1], size=found.st_size, links=0, type="file")
            yield self.event("file_close_write", clock.now(), process=process, file=file, replguard=_FOUND)


def open(config: Config) -> MappingSensor:  # noqa: A001, ARG001 - the registry calls every sensor module alike
    """Return the sensor. Raises Unavailable where the kernel does not tell who opens a file."""
    try:
        group = fanotify.Group(fanotify.NAMES)
        try:
            _try(group)
        finally:
            group.close()
    except OSError as error:
        raise Unavailable(f"the kernel does not tell us who opens files ({error.strerror}): run as root.") from error
    return MappingSensor()


def _try(group: Group) -> None:
    """Mark one filesystem; the overlay at the root of a container takes no mark, what is mounted there does."""
    refused: OSError | None = None
    beside = (mount.path for mount in mounts() or () if mount.kind not in PSEUDO and not mount.remote)
    for place in islice((b"/", *beside), _MOST_TRIES):
        try:
            group.mark(place, fanotify.DELETE | fanotify.ON_CHILD, fanotify.FILESYSTEM)
            return
        except OSError as error:
            refused = error
    raise refused or OSError(errno.ENODEV, os.strerror(errno.ENODEV))
