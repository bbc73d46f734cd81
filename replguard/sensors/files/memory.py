"""Who opens the memory of watched processes, ``/proc/PID/mem``, by marks on their folders.

What it cannot see: opens through another mount of procfs (a container's own), by way of a thread's folder other than
the first one's, and process_vm_readv, which opens nothing. Of more than 512 servers and agents, or 256 readers of
weights, not all are watched; that is told, as are opens that the kernel's queue had no room for.
"""

# ruff: noqa: PTH115 - pathlib costs more than the calls it wraps

import contextlib
import errno
import os
import re
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from replguard.events import clock
from replguard.kernel import fanotify
from replguard.kernel.fanotify import Group, Record
from replguard.sensors.losses import Losses

MOST = 512
"""Servers and agents that are watched. Whoever comes later is not: to drive a server out must not be that easy."""
MOST_READERS = 256
"""Readers of weights that are watched besides; of more, those that were named longest ago are let go."""
AGAIN = 60.0
"""Seconds after which the same process opening the same memory is told again."""
_MEM = re.compile(rb"/(\d+)(?:/task/\d+)?/mem$")
_OPENED = fanotify.OPEN | fanotify.ON_CHILD
_ENDED = frozenset({errno.ENOENT, errno.ESRCH})


class Access(NamedTuple):
    """One open of a process's memory: whose, its entity id, and by which process."""

    target: int
    entity: str
    pid: int


@dataclass(slots=True)
class _Held:
    """A watched process: its entity id, whether it is but a reader of weights.

    ``folders`` are descriptors that keep its folders in the kernel's memory, ``handles`` their handles.
    """

    entity: str
    reader: bool = False
    folders: list[int] = field(default_factory=list)
    handles: list[bytes] = field(default_factory=list)


class Memory:
    """The watched processes. In one group with names, or (before 6.6) with descriptors: procfs had no handles then.

    ``why`` says why it does not work, None if it does.
    """

    def __init__(self, losses: Losses, proc: str = "/proc") -> None:
        self._losses = losses
        self._proc = proc
        self.why: str | None = None
        self._held: OrderedDict[int, _Held] = OrderedDict()
        self._by_handle: dict[bytes, int] = {}
        self._told: OrderedDict[tuple[int, int], float] = OrderedDict()
        self._group: Group | None = None
        self._named = True
        self._unclaimed: deque[Record] = deque(maxlen=0)
        """What waited in a kept group about processes that it is not known yet who they are."""

    def start(self, *, named: bool = True, kept: int | None = None) -> None:
        """Begin, anew or with a kept group, or say ``why`` not."""
        self._named, self.why = named, None
        self._unclaimed = deque(maxlen=MOST if kept is not None else 0)
        try:
            self._group = self._made() if kept is None else self._again(kept)
        except OSError as error:
            self.why = f"who opens the memory of a process is not told: {fanotify.sentence(error)}"
        known = [(pid, held.entity, held.reader) for pid, held in self._held.items()]
        self._let_go()
        for pid, entity, reader in known:
            self.watch(pid, entity, reader=reader)

    def _again(self, kept: int) -> Group:
        """Return the group of a kept descriptor, whichever of the two it is."""
        try:
            return Group(fanotify.NAMES, os.dup(kept))
        except OSError:
            self._named = False
            return Group(0, os.dup(kept))
        finally:
            os.close(kept)

    def _made(self) -> Group:
        if self._named:
            group, ours = Group(fanotify.NAMES), os.fsencode(f"{self._proc}/{os.getpid()}")
            try:
                group.mark(ours, _OPENED)
                group.unmark(ours, _OPENED)
            except OSError:
                group.close()
                self._named = False
            else:
                return group
        return Group(0)

    def stop(self) -> None:
        """End; who was watched is still known."""
        if self._group is not None:
            self._group.close()
        self._group = None
        for held in self._held.values():
            _close(held)

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._group.fd if self._group is not None else -1

    def watch(self, pid: int, entity: str, *, reader: bool = False) -> None:
        """Watch the memory of a server or agent, or of a ``reader`` of weights, which gives way to more of its kind."""
        known = self._held.get(pid)
        if known is not None and known.entity == entity and (known.folders or self._group is None):
            known.reader = known.reader and reader
            self._held.move_to_end(pid)
            return
        self.drop(pid)
        if not self._room(reader=reader):
            self._losses.add("watch", "too many processes for a watch on their memory")
            return
        held = self._held[pid] = _Held(entity, reader)
        if self._group is not None:
            self._mark(self._group, pid, held)

    def _mark(self, group: Group, pid: int, held: _Held) -> None:
        for path in (f"{self._proc}/{pid}", f"{self._proc}/{pid}/task/{pid}"):
            try:
                # The mark is on an inode that procfs makes anew once it is forgotten: holding the folder prevents that.
                held.folders.append(os.open(path, os.O_PATH | os.O_CLOEXEC))
                group.mark(os.fsencode(path), _OPENED)
            except OSError as error:
                if error.errno not in _ENDED:
                    self._losses.add("watch", f"memory of a process takes no mark: {error.strerror}")
                continue
            handle = fanotify.handle_of(os.fsencode(path))
            if self._named and handle is not None:
                held.handles.append(handle)
                self._by_handle[handle] = pid

    def _room(self, *, reader: bool) -> bool:
        """Make room for one more: readers give way to readers, and to nobody else."""
        most = MOST_READERS if reader else MOST
        alike = [pid for pid, held in self._held.items() if held.reader == reader]
        if len(alike) < most:
            return True
        self.tidy()
        alike = [pid for pid in alike if pid in self._held]
        if len(alike) >= most and reader:
            self.drop(alike[0])
            self._losses.add("watch", "too many readers for a watch on their memory")
            return True
        return len(alike) < most

    @property
    def unclaimed(self) -> bool:
        """Whether anything waits for who it is about to be named."""
        return bool(self._unclaimed)

    def settle(self) -> None:
        """Wait no longer: whoever was not named by now is not watched."""
        self._unclaimed = deque(maxlen=0)

    def drop(self, pid: int) -> None:
        """Watch a process no more."""
        held = self._held.pop(pid, None)
        if held is None:
            return
        for handle in held.handles:
            self._by_handle.pop(handle, None)
        for path in (f"{self._proc}/{pid}", f"{self._proc}/{pid}/task/{pid}"):
            with contextlib.suppress(OSError):
                if self._group is not None and held.folders:
                    self._group.unmark(os.fsencode(path), _OPENED)
        _close(held)

    def tidy(self) -> None:
        """Let go of processes that have ended."""
        for pid in list(self._held):
            if not os.path.exists(f"{self._proc}/{pid}"):  # noqa: PTH110
                self.drop(pid)

    def read(self) -> Iterator[Access]:
        """Yield who opened whose memory; descriptors that come with it are closed at once."""
        records = list(fanotify.parse(self._group.read())) if self._group is not None else []
        self._lost(records)
        waiting = [*self._unclaimed, *records]
        self._unclaimed.clear()
        self._unclaimed.extend(r for r in waiting if r.name == b"mem" and r.folder not in self._by_handle)
        found = [(self._target(record), record.pid) for record in waiting]
        for target, pid in found:
            held = self._held.get(target) if target is not None else None
            if target is None or held is None or pid == target:
                continue
            now = clock.monotonic()
            if now - self._told.get((target, pid), -AGAIN) >= AGAIN:
                self._told[target, pid] = now
                yield Access(target, held.entity, pid)
        while len(self._told) > 16 * MOST:
            self._told.popitem(last=False)

    def _lost(self, records: list[Record]) -> None:
        if self._group is not None:
            self._losses.add("kernel", "a process ended before the open of its memory was told", self._group.unreadable)
            self._group.unreadable = 0
        self._losses.add("kernel", "memory: fanotify overflow", sum(r.mask & fanotify.OVERFLOW > 0 for r in records))

    def _target(self, record: Record) -> int | None:
        """Return whose memory was opened, None for anything else in the folder."""
        if record.fd < 0:
            return self._by_handle.get(record.folder or b"") if record.name == b"mem" else None
        try:
            found = _MEM.search(os.readlink(b"/proc/self/fd/%d" % record.fd))
        except OSError:
            return None
        finally:
            os.close(record.fd)
        return int(found[1]) if found else None

    def _let_go(self) -> None:
        for held in self._held.values():
            _close(held)
        self._held.clear()
        self._by_handle.clear()


def _close(held: _Held) -> None:
    while held.folders:
        os.close(held.folders.pop())
