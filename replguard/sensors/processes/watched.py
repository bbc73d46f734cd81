"""Whom provenance wants watched, written into a map of a probe, so that the kernel tells only of them.

A process is entered under the host's pid and under its number inside its own pid namespace; with ``threads`` also
under the number of each thread it has at the time of a look. What it cannot see: that a namespace between those two
has a third number for it.
"""

import errno
import os
from collections import deque
from collections.abc import Callable

from replguard.events.hint import Hint
from replguard.kernel import libbpf, procfs
from replguard.kernel.bpf import process as records
from replguard.kernel.procfs import PROC

MAP, PID = "watched", 4
"""The map, and the bytes of its values."""
KNOWS = Callable[[int], str | None]
"""Returns the entity id of the living process with a pid."""


class Watched:
    """Takes hints from any thread; everything else is the sensor's own thread's. ``full`` counts what found no room."""

    def __init__(self, knows: KNOWS, root: str = PROC, *, threads: bool = False) -> None:
        self._knows = knows
        self._root = root
        self._threads = threads
        self._hints: deque[Hint] = deque()
        self._keys: dict[int, set[bytes]] = {}
        self._programs: libbpf.Programs | None = None
        self.full = 0

    def __contains__(self, pid: int) -> bool:
        return pid in self._keys

    def hint(self, hint: Hint) -> None:
        """Take note of a hint; it is followed at the next ``follow``."""
        if hint.kind == "process" and hint.pid is not None:
            self._hints.append(hint)

    def begin(self, programs: libbpf.Programs) -> None:
        """Fill the map of programs that were loaded just now."""
        self._programs = programs
        watched, self._keys = list(self._keys), {}
        for pid in watched:
            self._enter(pid)

    def reconcile(self) -> None:
        """Take out whom the run before watched, and nobody asked for since."""
        if self._programs is None:
            return
        place, kept = self._programs.map(MAP), set().union(*self._keys.values())
        for key, _ in list(self._programs.entries(place, records.WATCH.size, PID)):
            if key not in kept:
                self._programs.remove(place, key)

    def end(self) -> None:
        """Forget the programs, and keep whom to watch."""
        self._programs = None

    def follow(self) -> None:
        """Do what the hints ask for. One that names another process than has the pid now is passed over."""
        while self._hints:
            hint = self._hints.popleft()
            if hint.pid is None:
                continue
            if hint.drop:
                self.drop(hint.pid)
            elif hint.entity_id in (None, self._knows(hint.pid)):
                self._enter(hint.pid)

    def look(self) -> None:
        """Look for new threads of who is watched."""
        if self._threads:
            for pid in self._keys:
                self._enter(pid)

    def drop(self, pid: int) -> None:
        """Watch a process no longer."""
        keys = self._keys.pop(pid, set())
        if keys and self._programs is not None:
            place = self._programs.map(MAP)
            for key in keys:
                self._programs.remove(place, key)

    def _enter(self, pid: int) -> None:
        if self._programs is None:
            return
        entered, place = self._keys.setdefault(pid, set()), self._programs.map(MAP)
        for key in self._names(pid) - entered:
            try:
                self._programs.put(place, key, pid.to_bytes(4, "little"))
            except OSError as error:
                if error.errno not in (errno.E2BIG, errno.ENOSPC, errno.ENOMEM):
                    raise
                self.full += 1
                return
            entered.add(key)

    def _names(self, pid: int) -> set[bytes]:
        """Return the keys of a process, and of its threads."""
        found = {records.watch_key(records.FIRST_PIDS, pid)}
        for name in self._numbers(pid):
            status = procfs.status(pid if name == str(pid) else f"{pid}/task/{name}", self._root)
            if status is None:
                continue
            found.add(records.watch_key(records.FIRST_PIDS, status.ns_pids[0]))
            space = self._space(pid) if len(status.ns_pids) > 1 else None
            if space is not None:
                found.add(records.watch_key(space, status.ns_pids[-1]))
        return found

    def _numbers(self, pid: int) -> list[str]:
        try:
            return os.listdir(f"{self._root}/{pid}/task") if self._threads else [str(pid)]  # noqa: PTH208
        except OSError:
            return []

    def _space(self, pid: int) -> int | None:
        """Return the inode of the pid namespace of a process."""
        shown = procfs.link(pid, "ns/pid", self._root) or b""
        number = shown.rpartition(b"[")[2].rstrip(b"]")
        return int(number) if number.isdigit() else None
