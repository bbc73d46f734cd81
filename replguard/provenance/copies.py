"""Copies: which new names and files are protected content, who made them, and whether they were copied or arrived."""

import os
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from replguard.events.event import Event
from replguard.events.fact import Attribution, Authorised, FileRef
from replguard.events.file import File
from replguard.provenance import entry
from replguard.provenance.agents import Agents
from replguard.provenance.authority import Authority
from replguard.provenance.facts import fact
from replguard.provenance.ledger import Artefact, Ledger
from replguard.provenance.processes import Proc, ProcessTable
from replguard.weights.examiner import Examination, Request
from replguard.weights.fingerprint import Match
from replguard.weights.inventory import Protected

STARTED_BYTES = 64 * 2**20
SHARE = 0.05
"""Meanings, `weights_copy`: started at 64 MiB or 5 % of the model, done at 5 % or 64 MiB matched by content."""
INFER_WITHIN = timedelta(seconds=60)
MAX_PENDING = 20_000


@dataclass(slots=True)
class _Making:
    """A file being made: when it began, by whom (once seen), and the event that said so last."""

    began: datetime
    last: Event
    maker: Proc | None = None
    seen: Attribution | None = None
    started_said: bool = False


class Copies:
    """Turns file events and examinations into `weights_copy` and `weights_arrival`."""

    def __init__(
        self,
        table: ProcessTable,
        ledger: Ledger,
        authority: Authority,
        agents: Agents,
        files: Callable[[], Iterable[Protected]],
        examine: Callable[[Request], object],
    ) -> None:
        self._table = table
        self._ledger = ledger
        self._authority = authority
        self._agents = agents
        self._files = files
        self._examine = examine
        self._making: OrderedDict[tuple[int, int], _Making] = OrderedDict()
        self._again: deque[Examination] = deque(maxlen=1024)
        self.evicted = 0

    # -- names: no content needs to be read ----------------------------------------------------------------------

    def named(self, event: Event, proc: Proc | None) -> list[Event]:
        """Return the facts of an event that gives protected content another name, or begins a file."""
        file = event.file
        if file is None:
            return []
        if event.action == "file_rename":
            return self._renamed(event, file, proc)
        if file.type == "symlink":
            return self._symlinked(event, file, proc)
        if file.type not in ("file", None):
            return []
        known = self._ledger.protected(file) or self._ledger.artefact(file)
        if known is not None and known.path != file.path and (file.links or 1) > 1:
            return [self._linked(event, file, proc, known, "hardlink")]
        if known is None or event.action != "file_create":
            self._make(event, file, proc)
        return []

    def _symlinked(self, event: Event, file: File, proc: Proc | None) -> list[Event]:
        found = self._ledger.behind_symlink(file, self._files())
        return [self._linked(event, file, proc, found[0], "symlink")] if found else []

    def _renamed(self, event: Event, file: File, proc: Proc | None) -> list[Event]:
        if file.type == "dir" and file.previous:
            prefix = file.previous.rstrip("/") + "/"
            known_files: list[Protected | Artefact] = [*self._files(), *self._ledger.artefacts()]
            inside = [k for k in known_files if k.path.startswith(prefix)]
            return [
                self._linked(event, self._moved(file, known, prefix), proc, known, "rename")
                for known in inside
            ]  # fmt: skip
        known = self._ledger.protected(file) or self._ledger.artefact(file) or self._ledger.retired(file)
        if known is None:
            self._make(event, file, proc)
            return []
        if known.path == file.path:
            return []
        if isinstance(known, Artefact) and _settling(known.path, file.path):
            known.path = file.path
            return []
        return [self._linked(event, file, proc, known, "rename")]

    def _moved(self, file: File, known: Protected | Artefact, prefix: str) -> File:
        inode = known.inode if isinstance(known, Artefact) else (known.device, known.inode)
        path = os.path.join(file.path, known.path[len(prefix) :])
        return File(
            path=path, previous=known.path, name=os.path.basename(path), device=inode[0], inode=inode[1], type="file"
        )

    def _linked(self, event: Event, file: File, proc: Proc | None, known: Protected | Artefact, how: str) -> Event:
        origin = known.origin if isinstance(known, Artefact) else _ref(known)
        origin = msgspec.structs.replace(origin, path=file.previous or origin.path) if how == "rename" else origin
        maker, seen = self._maker(_Making(event.timestamp, event, proc, _seen(event)), file)
        made = self._ledger.made(file, origin, known.model, how, maker, arrived=False)
        if isinstance(known, Artefact) and how == "rename":
            known.path = file.path
        return self._copied(event, file, maker, seen, known.model, origin, made, how, "link", None)

    # -- content: what the examiner says -------------------------------------------------------------------------

    def _make(self, event: Event, file: File, proc: Proc | None) -> None:
        if file.device is None or file.inode is None:
            return
        key = (file.device, file.inode)
        making = self._making.pop(key, None) or _Making(event.timestamp, event)
        self._making[key] = making
        making.last = event
        if proc is not None:
            making.maker, making.seen = proc, _seen(event)
        while len(self._making) > MAX_PENDING:
            self._making.popitem(last=False)
            self.evicted += 1
        if event.action in ("file_close_write", "file_grow", "file_rename") and self._worth(file):
            self._examine(Request(path=file.path, device=file.device, inode=file.inode, reason=event.action))

    def _worth(self, file: File) -> bool:
        """Whether a file is large enough to hold a reportable part of anything protected."""
        size = file.size or 0
        return size > 0 and any(
            size >= SHARE * known.size or (known.scaffold and size == known.size)
            for known in self._files()
            if known.size is not None
        )

    def examined(self, result: Examination) -> list[Event]:  # noqa: PLR0911 - one way out a case
        """Return the facts that follow from an examination."""
        if result.device is None or result.inode is None:
            return []
        making = self._making.get((result.device, result.inode))
        if making is None:
            return []
        matches = [m for m in result.matches if (m.device, m.inode) != (result.device, result.inode)]
        if not matches:
            if not result.index_ready and result.error is None:
                self._again.append(result)
            return []
        best = max(matches, key=lambda m: (m.share, m.hits))
        event, file = making.last, making.last.file
        if file is None:
            return []
        file = msgspec.structs.replace(file, size=result.size)
        if event.action == "file_grow":
            return self._growing(making, file, best)
        maker, seen = self._maker(making, file)
        authored = maker is not None and self._touched(maker, best.model, event.timestamp)
        origin = FileRef(path=best.path, device=best.device, inode=best.inode, size=best.size)
        unseen = self._unseen(best, making.began, event.timestamp)
        arrived = not authored and not unseen
        made = self._ledger.made(file, origin, best.model, "copy", maker, arrived=arrived)
        if arrived:
            return [self._arrival(event, file, maker, seen, best, origin, made)]
        return [self._copied(event, file, maker, seen, best.model, origin, made, "copy", "content", best)]

    def retry(self) -> None:
        """Examine again what could not be decided while the index was being built."""
        while self._again:
            old = self._again.popleft()
            self._examine(Request(path=old.path, device=old.device, inode=old.inode, reason="index ready"))

    def _growing(self, making: _Making, file: File, best: Match) -> list[Event]:
        if making.started_said or (file.size or 0) < min(STARTED_BYTES, SHARE * (best.size)):
            return []
        maker, seen = self._maker(making, file)
        origin = FileRef(path=best.path, device=best.device, inode=best.inode, size=best.size)
        unseen = self._unseen(best, making.began, making.last.timestamp)
        if not unseen and (maker is None or not self._touched(maker, best.model, making.last.timestamp)):
            return []
        making.started_said = True
        made = self._ledger.made(file, origin, best.model, "copy", maker, arrived=False)
        return [
            self._copied(
                making.last, file, maker, seen, best.model, origin, made, "copy", "content", best, status="started"
            )
        ]

    # -- the facts -----------------------------------------------------------------------------------------------

    def _copied(
        self, event: Event, file: File, maker: Proc | None, seen: Attribution, model: str, origin: FileRef,
        made: Artefact, technique: str, confidence: str, best: Match | None, status: str = "done",
    ) -> Event:  # fmt: skip
        if maker is not None:
            self._ledger.touch(maker, model, event.timestamp)
        return fact(
            "weights_copy", event, maker, file=file, attribution=seen, model=model, status=status, technique=technique,
            confidence=confidence, origin=origin, artefacts=(made.id,), share=best.share if best else 1.0,
            bytes=file.size, authorised=self._allowed(maker, origin.path, model, event),
        )  # fmt: skip

    def _arrival(
        self,
        event: Event,
        file: File,
        maker: Proc | None,
        seen: Attribution,
        best: Match,
        origin: FileRef,
        made: Artefact,
    ) -> Event:
        return fact(
            "weights_arrival", event, maker, file=file, attribution=seen, model=best.model, origin=origin,
            confidence="content", share=best.share, bytes=file.size, artefacts=(made.id,), technique="write",
            authorised=self._allowed(maker, origin.path, best.model, event),
        )  # fmt: skip

    def _allowed(self, maker: Proc | None, path: str, model: str, event: Event) -> Authorised | None:
        if maker is None:
            return None
        return self._authority.act(maker, entry.find(maker), "copy", path, model, event.timestamp)

    def _touched(self, maker: Proc, model: str, now: datetime) -> bool:
        return self._ledger.touched(maker, model, now, lambda proc: entry.find(proc).proc)

    def _unseen(self, best: Match, began: datetime, ended: datetime) -> bool:
        if best.device is None or best.inode is None:
            return False
        return self._ledger.opened_around((best.device, best.inode), began, ended)

    # -- who -----------------------------------------------------------------------------------------------------

    def _maker(self, making: _Making, file: File) -> tuple[Proc | None, Attribution]:
        """Return who made a file and how sure that is: seen with it open, named on a command line, or only likely."""
        if making.maker is not None:
            return making.maker, making.seen or "lineage"
        named = self._named_on_command_line(making, file)
        if named is not None:
            return named, "inferred"
        agents = [a for a in self._agents.recent(making.last.timestamp, INFER_WITHIN) if _may_own(a, file)]
        if len({entry.find(a).proc.entity for a in agents}) == 1:
            return agents[0], "inferred"
        return None, "unknown"

    def _named_on_command_line(self, making: _Making, file: File) -> Proc | None:
        began, ended = making.began - timedelta(seconds=1), making.last.timestamp + timedelta(seconds=1)
        best: Proc | None = None
        for proc in self._table:
            if proc.since > ended or (proc.ended is not None and proc.ended < began):
                continue
            if _names(proc, file.path) and (best is None or proc.since > best.since):
                best = proc
        return best


def _names(proc: Proc, path: str) -> bool:
    """Whether a command line names the file, or a folder it lies in that is not one of everybody's."""
    folder = proc.process.working_directory or "/"
    for arg in proc.process.args[1:]:
        full = os.path.normpath(os.path.join(folder, arg))
        if path == full or (path.startswith(full + "/") and full.count("/") > 2):
            return True
    line = proc.process.command_line or ""
    return len(path) > 8 and path in line


def _may_own(proc: Proc, file: File) -> bool:
    return file.uid is None or proc.user is None or proc.user.id in (None, 0, file.uid)


def _settling(before: str, after: str) -> bool:
    """A download or a safe save writes beside its final name and renames: no new act."""
    return os.path.dirname(before) == os.path.dirname(after) and before.startswith(
        (after, os.path.dirname(after) + "/.")
    )


def _ref(known: Protected) -> FileRef:
    return FileRef(path=known.path, device=known.device, inode=known.inode, size=known.size)


def _seen(event: Event) -> Attribution | None:
    return event.replguard.attribution if event.replguard else None
