"""Who opens the memory of watched processes, ``/proc/PID/mem``, by marks on their folders.

What it cannot see: opens through another mount of procfs (a container's own), by way of a thread's folder other than
the first one's, and process_vm_readv, which opens nothing.
"""

# ruff: noqa: PTH115 - pathlib costs more than the calls it wraps

import contextlib
import os
import re
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from replguard.events import clock
from replguard.kernel import fanotify
from replguard.kernel.fanotify import Group, Record

MOST = 256
"""Processes that are watched; of more, those that were named longest ago are let go."""
AGAIN = 60.0
"""Seconds after which the same process opening the same memory is told again."""
_MEM = re.compile(rb"/(\d+)(?:/task/\d+)?/mem$")
_OPENED = fanotify.OPEN | fanotify.ON_CHILD


class Access(NamedTuple):
    """One open of a process's memory: whose, its entity id, and by which process."""

    target: int
    entity: str
    pid: int


@dataclass(slots=True)
class _Held:
    """A watched process: its entity id, descriptors that keep its folders in the kernel's memory, their handles."""

    entity: str
    folders: list[int] = field(default_factory=list)
    handles: list[bytes] = field(default_factory=list)


class Memory:
    """The watched processes. In one group with names, or (before 6.6) with descriptors: procfs had no handles then."""

    def __init__(self, proc: str = "/proc") -> None:
        self._proc = proc
        self._held: OrderedDict[int, _Held] = OrderedDict()
        self._by_handle: dict[bytes, int] = {}
        self._told: OrderedDict[tuple[int, int], float] = OrderedDict()
        self._group: Group | None = None
        self._named = True

    def start(self, *, named: bool = True) -> None:
        """Begin. Raises OSError."""
        self._named = named
        if named:
            self._group = Group(fanotify.NAMES)
            try:
                self._group.mark(os.fsencode(f"{self._proc}/{os.getpid()}"), _OPENED)
                self._group.unmark(os.fsencode(f"{self._proc}/{os.getpid()}"), _OPENED)
            except OSError:
                self._group.close()
                self._named = False
        if not self._named:
            self._group = Group(0)
        known = [(pid, held.entity) for pid, held in self._held.items()]
        self._let_go()
        for pid, entity in known:
            self.watch(pid, entity)

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

    def watch(self, pid: int, entity: str) -> None:
        """Watch the memory of a process."""
        known = self._held.get(pid)
        if known is not None and known.entity == entity and known.folders:
            self._held.move_to_end(pid)
            return
        self.drop(pid)
        held = self._held[pid] = _Held(entity)
        if self._group is None:
            return
        for path in (f"{self._proc}/{pid}", f"{self._proc}/{pid}/task/{pid}"):
            with contextlib.suppress(OSError):
                # The mark is on an inode that procfs makes anew once it is forgotten: holding the folder prevents that.
                held.folders.append(os.open(path, os.O_PATH | os.O_CLOEXEC))
                self._group.mark(os.fsencode(path), _OPENED)
                handle = fanotify.handle_of(os.fsencode(path))
                if self._named and handle is not None:
                    held.handles.append(handle)
                    self._by_handle[handle] = pid
        while len(self._held) > MOST:
            self.drop(next(iter(self._held)))

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
        found = [(self._target(record), record.pid) for record in records]
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
