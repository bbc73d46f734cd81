"""Copies: which new names and files are protected content, who made them, and whether they were copied or arrived."""

import os
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec

from replguard.events.event import Event
from replguard.events.fact import Attribution, Authorised, FileRef
from replguard.events.file import File
from replguard.events.hint import Hint
from replguard.provenance import entry
from replguard.provenance.agents import Agents
from replguard.provenance.asking import Asking
from replguard.provenance.authority import Authority
from replguard.provenance.facts import fact
from replguard.provenance.halves import Halves
from replguard.provenance.ledger import Artefact, Ledger, paths
from replguard.provenance.makers import Makers
from replguard.provenance.outline import Outline
from replguard.provenance.processes import Proc, ProcessTable
from replguard.weights.examiner import Examination, Request
from replguard.weights.fingerprint import Match
from replguard.weights.inventory import Protected

LARGE = 64 * 2**20
SHARE = 0.05
"""Meanings, `weights_copy`: started at 64 MiB or 5 % of the model, done at 5 % or 64 MiB matched by content."""
PART = 2**20
"""Bytes from which a file is examined: 5 % of *it* make a part, and an index keeps four blocks of a MiB or more."""
TOLD_FOR = timedelta(seconds=60)
"""A file that is closed again this soon by the same writer is the same copy still being made."""
MAX_PENDING = 20_000


@dataclass(slots=True)
class _Making:
    """A file being made: when it began, by whom (once seen), the event that said so last, and what was told of it."""

    began: datetime
    last: Event
    maker: Proc | None = None
    seen: Attribution | None = None
    started_said: bool = False
    is_new: bool = False
    writing: bool = False
    told: dict[str, tuple[float, Proc | None, datetime]] = field(default_factory=dict)

    def news(self, match: Match, maker: Proc | None) -> bool:
        """Whether a finding is more than was told: another writer, twice the share, or written anew later."""
        if match.model not in self.told:
            return True
        share, who, when = self.told[match.model]
        again = self.last.action == "file_close_write" and self.last.timestamp - when > TOLD_FOR
        return again or maker is not who or match.share >= 2 * share


def part(size: int) -> float:
    """Return the least part of a model's file of so many bytes that is worth telling."""
    return min(PART, SHARE * size)


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
        watch: Callable[[Hint], None],
    ) -> None:
        self._ledger = ledger
        self._authority = authority
        self._makers = Makers(table, agents)
        self._files = files
        self.outline = Outline(files, part)
        self._asking = Asking(examine)
        self._watch = watch
        self._halves = Halves()
        self._making: OrderedDict[tuple[int, int], _Making] = OrderedDict()
        self._evicted = 0

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
        if file.type in ("file", None):
            return self._file(event, file, proc)
        return []

    def _file(self, event: Event, file: File, proc: Proc | None) -> list[Event]:
        known = self._ledger.protected(file) or self._ledger.artefact(file)
        if isinstance(known, Artefact) and event.action == "file_create" and _anew(known, file):
            self._ledger.replaced(known.inode)
            known = None
        if known is not None and file.path not in paths(known) and (file.links or 1) > 1:
            return [] if self._told(file) else [self._linked(event, file, proc, known, "hardlink")]
        moved = self._ledger.retired(file) if known is None else known
        elsewhere = event.action == "file_create" and moved is not None and file.path not in paths(moved)
        if elsewhere and isinstance(moved, Protected) and self._halves.found(event, file, moved):
            return [self._linked(event, file, proc, moved, "rename")]
        if known is None or event.action != "file_create":
            self._make(event, file, proc)
        return []

    def deleted(self, event: Event) -> list[Event]:
        """Forget a name; return the fact of a rename if the file stands under another one, which was found before."""
        file = event.file
        if file is None:
            return []
        self._ledger.gone(file)
        known = self._ledger.protected(file) or self._ledger.retired(file)
        found = self._halves.went(file, known) if known is not None else None
        if known is None or found is None or found.file is None:
            return []
        return [self._linked(found, found.file, None, known, "rename")]

    def _told(self, file: File) -> bool:
        """Whether a link is known by this name: it is made once, however many events tell of it."""
        name = self._ledger.name(file.path)
        return name is not None and name.inode == (file.device, file.inode)

    def _symlinked(self, event: Event, file: File, proc: Proc | None) -> list[Event]:
        found = None if self._told(file) else self._ledger.behind_symlink(file, self.outline)
        return [self._linked(event, file, proc, found[0], "symlink")] if found else []

    def mounted(self, event: Event, proc: Proc | None) -> list[Event]:
        """Return the fact of a bind mount: a folder or file has another name, though nothing was written."""
        if event.file is None or event.file.target_path is None:
            return []
        # The inode shown at the mount point is that of the original, which it stays.
        file = msgspec.structs.replace(event.file, device=None, inode=None)
        found = self._ledger.behind_symlink(file, self.outline)
        return [self._linked(event, file, proc, found[0], "bind")] if found else []

    def _renamed(self, event: Event, file: File, proc: Proc | None) -> list[Event]:
        if file.type == "dir" and file.previous:
            prefix = file.previous.rstrip("/") + "/"
            self._moved_making(prefix, file.path)
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
        if file.path in paths(known):
            return []
        if isinstance(known, Artefact) and _settling(known.path, file.path):
            self._ledger.moved(known, file.path)
            return []
        return [self._linked(event, file, proc, known, "rename")]

    def _moved_making(self, prefix: str, folder: str) -> None:
        """Let files in the making, which the examiner may still be reading, follow their folder to its new name."""
        for making in self._making.values():
            file = making.last.file
            if file is not None and file.path.startswith(prefix):
                moved = msgspec.structs.replace(file, path=os.path.join(folder, file.path[len(prefix) :]))
                making.last = msgspec.structs.replace(making.last, file=moved)

    def _moved(self, file: File, known: Protected | Artefact, prefix: str) -> File:
        inode = known.inode if isinstance(known, Artefact) else (known.device, known.inode)
        path = os.path.join(file.path, known.path[len(prefix) :])
        return File(
            path=path, previous=known.path, name=os.path.basename(path), device=inode[0], inode=inode[1], type="file"
        )

    def _linked(self, event: Event, file: File, proc: Proc | None, known: Protected | Artefact, how: str) -> Event:
        origin = known.origin if isinstance(known, Artefact) else _ref(known)
        if how == "rename" and not isinstance(known, Artefact):
            origin = msgspec.structs.replace(origin, path=file.previous or origin.path)
        maker, seen = self._maker(_Making(event.timestamp, event, proc, _seen(event)), file)
        made = self._ledger.made(file, origin, known.model, how, maker, arrived=False)
        self._mark(made, file, event)
        return self._copied(event, file, maker, seen, known.model, origin, made, how, "link", None)

    def _mark(self, made: Artefact, file: File, event: Event) -> None:
        """Have what was made watched as the original is: a server that uses it is a replica."""
        if file.type != "symlink" and file.device is not None and file.inode is not None:
            self._watch(
                Hint(kind="inode", path=made.path, host_path=_host_path(made, event), device=file.device,
                     inode=file.inode, size=file.size or None)
            )  # fmt: skip

    # -- content: what the examiner says -------------------------------------------------------------------------

    def _make(self, event: Event, file: File, proc: Proc | None) -> None:
        if file.device is None or file.inode is None:
            return
        key = (file.device, file.inode)
        making = self._making.pop(key, None)
        if making is None or (making.told and event.action == "file_create"):
            making = _Making(event.timestamp, event, is_new=event.action == "file_create")
        self._making[key] = making
        making.last = event
        if proc is not None and not (making.writing and event.action == "file_close_write"):
            making.maker, making.seen = proc, _seen(event)
            making.writing = event.action == "file_grow"  # who closes it may be the shell that only lent its name
        while len(self._making) > MAX_PENDING:
            self._making.popitem(last=False)
            self._evicted += 1
        if event.action in ("file_close_write", "file_grow", "file_rename") and self.outline.worth(file.size or 0):
            self._asking.ask(file, event.action, event.replguard.host_path if event.replguard else None)

    def examined(self, result: Examination) -> list[Event]:
        """Return the facts that follow from an examination."""
        if result.device is None or result.inode is None:
            return []
        making = self._making.get((result.device, result.inode))
        if making is None:
            return []
        strangers = [m for m in result.matches if (m.device, m.inode) != (result.device, result.inode)]
        if not strangers:
            if result.error is None and not result.index_ready:
                self._asking.undecided(result)
            elif result.error is None and not result.changed:
                self._ledger.replaced((result.device, result.inode))
            return []
        file = making.last.file
        if file is None:
            return []
        file = msgspec.structs.replace(file, size=result.size)
        best: dict[str, Match] = {}
        for match in sorted(strangers, key=lambda m: (-m.share, -m.hits, m.path)):
            best.setdefault(match.model, match)
        growing = result.request.reason == "file_grow"  # what was read then, though the file may be closed by now
        made = [self._made(making, file, m, growing=growing) for m in best.values() if _enough(m, result.size)]
        return [fact for fact in made if fact is not None]

    def tick(self, *, index_ready: bool) -> None:
        """Once a second: have examined what was refused, and what could not be decided while the index was built."""
        self._asking.tick(index_ready=index_ready)

    @property
    def evicted(self) -> int:
        """How many files were forgotten before it was known what they hold."""
        return self._evicted + self._asking.evicted

    def _made(self, making: _Making, file: File, best: Match, *, growing: bool) -> Event | None:
        """Return the fact of a file that holds a model's content, None for what was told or is not yet worth it."""
        event = making.last
        maker, seen = self._maker(making, file)
        authored = maker is not None and self._authored(maker, best, making.began, event.timestamp)
        arrived = not authored and not self._unseen(best, making.began, event.timestamp, maker)
        if growing and best.model in making.told:
            return None
        if growing and (arrived or making.started_said or _written(event) < min(LARGE, SHARE * self._whole(best))):
            return None
        if not growing and not making.news(best, maker):
            return None
        making.started_said = making.started_said or growing
        if not growing:
            making.told[best.model] = (best.share, maker, event.timestamp)
        origin = FileRef(path=best.path, device=best.device, inode=best.inode, size=best.size)
        made = self._ledger.made(file, origin, best.model, "copy", maker, arrived=arrived)
        self._mark(made, file, event)
        technique = "overwrite" if self._overwrites(making, file, best.model) else "copy"
        if arrived:
            return self._arrival(event, file, maker, seen, best, origin, made)
        status = "started" if growing else "done"
        return self._copied(event, file, maker, seen, best.model, origin, made, technique, "content", best, status)

    def _overwrites(self, making: _Making, file: File, model: str) -> bool:
        """Whether the file took the place of another protected one: written over it, or renamed onto its name."""
        return any(
            known.path == file.path
            and known.model != model
            and not (making.is_new and known.key == (file.device, file.inode))
            for known in self._files()
        )

    def _whole(self, match: Match) -> int:
        """Return the size of the model that a file is of, in bytes."""
        return sum(known.size or 0 for known in self._files() if known.model == match.model) or match.size

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

    def _authored(self, maker: Proc, best: Match, began: datetime, now: datetime) -> bool:
        """Whether the maker's actor touched the model, or opened the very file whose content it wrote just then.

        A reflink reads nothing, and large pages are mapped untold: there the open is all that there is.
        """
        if self._ledger.touched(maker, best.model, now, _entry):
            return True
        origin = (best.device or 0, best.inode or 0)
        return self._ledger.opened_by(maker, origin, began, _entry)

    def _unseen(self, best: Match, began: datetime, ended: datetime, maker: Proc | None) -> bool:
        """Whether an open of the origin may be the maker's; where nobody saw the maker, anybody's may be."""
        if best.device is None or best.inode is None:
            return False
        return self._ledger.opened_around((best.device, best.inode), began, ended, anybody=maker is None)

    # -- who -----------------------------------------------------------------------------------------------------

    def _maker(self, making: _Making, file: File) -> tuple[Proc | None, Attribution]:
        """Return who made a file and how sure that is: seen with it open, named on a command line, or only likely."""
        if making.maker is not None:
            return making.maker, making.seen or "lineage"
        likely = self._makers.likely(file, making.began, making.last.timestamp)
        return likely, "unknown" if likely is None else "inferred"


def _host_path(made: Artefact, event: Event) -> str | None:
    """Return our way to what was made by an act in another namespace, on a file or on a folder that it lies in."""
    there, here = event.file.path if event.file else None, event.replguard.host_path if event.replguard else None
    if there is None or here is None or not (made.path + "/").startswith(there + "/"):
        return None
    return here + made.path[len(there) :]


def _entry(proc: Proc) -> Proc:
    return entry.find(proc).proc


def _written(event: Event) -> int:
    """Return the bytes that were written of a growing file: what a source added up, else how large it is."""
    told = event.replguard.bytes if event.replguard else None
    return told if told is not None else (event.file.size or 0) if event.file else 0


def _enough(match: Match, size: int | None) -> bool:
    """Whether 5 % or 64 MiB of a file is protected content, by what share of the origin was found in it."""
    found = match.share * match.size
    return found >= LARGE or found >= SHARE * (size or 0)


def _anew(known: Artefact, file: File) -> bool:
    """Whether a file that begins has the inode of an artefact that is gone: unseen, or seen to lose its name."""
    return known.nameless or (file.path != known.path and (file.links or 1) == 1)


def _settling(before: str, after: str) -> bool:
    """A download or a safe save writes beside its final name and renames: no new act."""
    return os.path.dirname(before) == os.path.dirname(after) and before.startswith(
        (after, os.path.dirname(after) + "/.")
    )


def _ref(known: Protected) -> FileRef:
    return FileRef(path=known.path, device=known.device, inode=known.inode, size=known.size)


def _seen(event: Event) -> Attribution | None:
    return event.replguard.attribution if event.replguard else None
