"""What is done to replguard itself: signals, looks into its memory, and changes of its files by anybody but itself."""

import sys
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Any

from replguard.events.event import Event
from replguard.events.hint import Hint
from replguard.provenance.facts import fact
from replguard.provenance.guarded import CONFIGURED, compiles
from replguard.provenance.processes import Proc
from replguard.provenance.signals import manager

CHANGES = {
    "file_create": "create",
    "file_close_write": "write",
    "file_rename": "rename",
    "file_link": "link",
    "file_delete": "delete",
}
"""Kinds of events that change a file, and how that is called."""
AGAIN = timedelta(seconds=60)
"""Who does the same to the same part again is told once in so long."""
MAX_RECENT = 1024


class Guard:
    """Turns what befalls the daemon and its files into `watcher_tampering`.

    ``own`` are the pids of its parts but the examiner, ``part`` tells what of ours a path is.
    """

    def __init__(self, own: Collection[int], part: Callable[[str], str | None], watch: Callable[[Hint], None]) -> None:
        self._own, self._part, self._watch = own, part, watch
        self._program: str | None = None
        self._watched: set[int] = set()
        self._told: dict[tuple[object, ...], datetime] = {}

    def ours(self, proc: Proc, event: Event) -> None:
        """Have the daemon and its examiner watched: it is the same program, in another process."""
        if event.action != "process_exec":
            return
        if proc.pid in self._own:
            self._program = proc.process.executable
        if proc.process.executable == self._program:
            self._watch(Hint(kind="process", pid=proc.pid, entity_id=proc.entity))

    def look(self, by_pid: Callable[[int], Proc | None]) -> None:
        """Have parts watched that were known before it was known that they are ours."""
        now = set(self._own)
        for pid in now - self._watched:
            if (proc := by_pid(pid)) is not None:
                self._watch(Hint(kind="process", pid=pid, entity_id=proc.entity))
                self._watched.add(pid)
        self._watched &= now

    def signalled(self, event: Event, proc: Proc | None, target: Proc | None) -> list[Event]:
        """Return the fact of a signal to the daemon or its examiner; none for what the kernel or a terminal sent."""
        about = event.replguard
        if target is None or about is None or (proc is None and event.process is None) or not self._is_ours(target):
            return []
        given: dict[str, Any] = {"status": about.status, "signal": about.signal, "actor": manager(proc)}
        return self._fact(event, proc, self._name(target), "signal", **given)

    def accessed(self, event: Event, proc: Proc | None, target: Proc | None) -> list[Event]:
        """Return the fact of a look into the memory of the daemon or its examiner."""
        about = event.replguard
        if target is None or not self._is_ours(target):
            return []
        technique = about.technique if about is not None else None
        return self._fact(event, proc, self._name(target), technique or "open", mode="memory")

    def changed(self, event: Event, proc: Proc | None) -> list[Event]:
        """Return the fact of a change of one of our files, whatever name it was given or taken from."""
        how, file = CHANGES.get(event.action), event.file
        if how is None or file is None:
            return []
        path = (event.replguard.host_path if event.replguard else None) or file.path
        part = self._part(path)
        if part is None and file.previous is not None:
            part, how = self._part(file.previous), "delete"
        if part is None or (proc is None and event.process is None and part not in CONFIGURED):
            return []
        if proc is not None and compiles(path, proc.process.executable, sys.executable):
            return []
        return self._fact(event, proc, part, how, path)

    def _is_ours(self, target: Proc) -> bool:
        return any(here.pid in self._own and here.alive for here in target.chain()) or target.pid in self._own

    def _name(self, target: Proc) -> str:
        return "daemon" if target.pid in self._own else "examiner"

    def _fact(
        self, event: Event, proc: Proc | None, part: str, technique: str, path: str | None = None, **given: Any
    ) -> list[Event]:
        who = proc.entity if proc is not None else event.process.entity_id if event.process is not None else None
        if not self._first((who, part, technique, path, given.get("status")), event.timestamp):
            return []
        return [fact("watcher_tampering", event, proc, source=part, technique=technique, **given)]

    def _first(self, key: tuple[object, ...], now: datetime) -> bool:
        last = self._told.pop(key, None)
        self._told[key] = now
        while len(self._told) > MAX_RECENT:
            del self._told[next(iter(self._told))]
        return last is None or now - last > AGAIN
