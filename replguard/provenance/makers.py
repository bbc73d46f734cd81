"""Who may have made a file that nobody was seen to make: whose command line names it, or the one agent at work."""

import os
from collections.abc import Iterator
from datetime import datetime, timedelta

from replguard.events.file import File
from replguard.provenance import entry
from replguard.provenance.agents import SHELLS, Agents
from replguard.provenance.ledger import everybodys
from replguard.provenance.processes import Proc, ProcessTable

INFER_WITHIN = timedelta(seconds=60)
"""How lately an agent must have been answered to be taken for the maker."""
AROUND = timedelta(seconds=1)
MOST_ARGS = 64
"""Arguments of one command line that are held against the name of a file."""


class Makers:
    """Looks through the processes that lived while a file was being made."""

    def __init__(self, table: ProcessTable, agents: Agents) -> None:
        self._table = table
        self._agents = agents

    def likely(self, file: File, began: datetime, ended: datetime) -> Proc | None:
        """Return who probably made a file between two times, None where that would be a wild guess."""
        named = self._named(file.path, began - AROUND, ended + AROUND)
        if named is not None:
            return named
        agents = [a for a in self._agents.recent(ended, INFER_WITHIN) if _may_own(a, file)]
        return agents[0] if len({entry.find(a).proc.entity for a in agents}) == 1 else None

    def lent(self, shell: Proc, began: datetime, ended: datetime) -> Iterator[Proc]:
        """Yield the programs that a shell ran while a file was made that it opened: ``program > file``.

        When a file was made is told as late as it was read. If none lived then, it was the one that ended last before.
        """
        if shell.image not in SHELLS:
            return
        ran = [proc for proc in self._table.around(began - AROUND, ended) if proc.parent is shell]
        meanwhile = [proc for proc in ran if proc.ended is None or proc.ended >= began]
        yield from meanwhile or sorted(ran, key=lambda proc: proc.ended or began)[-1:]

    def _named(self, path: str, began: datetime, ended: datetime) -> Proc | None:
        """Return the newest process whose command line names the file."""
        best: Proc | None = None
        for proc in self._table.around(began, ended):
            if _names(proc, path) and (best is None or proc.since > best.since):
                best = proc
        return best


def _names(proc: Proc, path: str) -> bool:
    """Whether a command line names the file, or a folder it lies in that is not one of everybody's."""
    folder = proc.process.working_directory or "/"
    args = proc.process.args[1:]
    if len(args) > MOST_ARGS:  # a copy names its target last, or first behind an option
        args = (*args[: MOST_ARGS // 2], *args[-MOST_ARGS // 2 :])
    parts = {"", ".", "..", *path.split("/")}
    for arg in args:
        if arg.rstrip("/").rpartition("/")[2] not in parts:
            continue
        full = os.path.normpath(os.path.join(folder, arg))
        if path == full or (path.startswith(full + "/") and not everybodys(full)):
            return True
    line = proc.process.command_line or ""
    return len(path) > 8 and path in line


def _may_own(proc: Proc, file: File) -> bool:
    return file.uid is None or proc.user is None or proc.user.id in (None, 0, file.uid)
