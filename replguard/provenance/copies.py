"""Copies: which new names and files are protected content, who made them, and whether they were copied or arrived."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

import msgspec

from replguard.events.event import Event, Meta
from replguard.events.fact import Attribution, Authorised, FileRef
from replguard.events.file import File
from replguard.events.hint import Hint
from replguard.provenance import entry
from replguard.provenance.agents import Agents
from replguard.provenance.asking import Asking
from replguard.provenance.authority import Authority
from replguard.provenance.derived import Derived, Finding
from replguard.provenance.early import Early, hint, host_path
from replguard.provenance.facts import fact
from replguard.provenance.fragments import Fragments
from replguard.provenance.ledger import Artefact, Inode, Ledger
from replguard.provenance.links import Links
from replguard.provenance.makers import Makers
from replguard.provenance.making import CLOSING, Making, Makings, Told, writes
from replguard.provenance.outline import Outline
from replguard.provenance.processes import Proc, ProcessTable
from replguard.weights.examiner import Examination, Request
from replguard.weights.fingerprint import Match
from replguard.weights.inventory import Protected
from replguard.weights.messages import Rank

LARGE = 64 * 2**20
SHARE = 0.05
"""Meanings, `weights_copy`: started at 64 MiB or 5 % of the model, done at 5 % or 64 MiB matched by content."""
PART = 2**20
"""Bytes from which a file is examined: 5 % of *it* make a part, and an index keeps four blocks of a MiB or more."""
SMALL = 64 * 2**10
"""The same of agents and of those who touched weights: their parts may be many, and add up. Smaller ones are not told.
"""
QUIET = timedelta(seconds=0.5)
"""How long after the last that was heard of a file it is called derived: how much it is comes bit by bit."""
ANSWER = timedelta(seconds=10)
"""How long the examiner is waited for before a file is called derived: content says more."""


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
        self._fragments = Fragments()
        self._makings = Makings()
        self.derived = Derived(self._model_size, table.get)
        self.early = Early(watch)
        links = Links(ledger, self.outline, files, self._makings, self._make, self._linked)
        self.writes = writes
        self.named, self.deleted, self.mounted = links.named, links.deleted, links.mounted

    def _linked(self, event: Event, file: File, proc: Proc | None, known: Protected | Artefact, how: str) -> Event:
        origin = known.origin if isinstance(known, Artefact) else _ref(known)
        confidence = "derived" if isinstance(known, Artefact) and known.derived else "link"
        if how == "rename" and not isinstance(known, Artefact):
            origin = msgspec.structs.replace(origin, path=file.previous or origin.path)
        maker, seen = self._maker(Making(event.timestamp, event, proc, _seen(event)), file)
        made = self._ledger.made(file, origin, known.model, how, maker, arrived=False, derived=confidence == "derived")
        self._mark(made, file, event)
        # A name for what was made before belongs to whatever that belongs to.
        of = (known.id,) if isinstance(known, Artefact) else ()
        return self._copied(event, file, maker, seen, known.model, origin, made, how, confidence, 1.0, of=of)

    def _mark(self, made: Artefact, file: File, event: Event) -> None:
        """Have what was made watched as the original is: a server that uses it is a replica."""
        if file.type != "symlink" and file.device is not None and file.inode is not None:
            self.early.found((file.device, file.inode), hint(file, made.path, host_path(made, event)))

    # -- content: what the examiner says -------------------------------------------------------------------------

    def _make(self, event: Event, file: File, proc: Proc | None) -> None:
        if file.device is None or file.inode is None:
            return
        key = (file.device, file.inode)
        making = self._makings.get(key)
        if making is None or (making.told and event.action == "file_create"):
            making = Making(event.timestamp, event)
        making.is_new |= event.action == "file_create"  # which may be told after the first of its growth
        making.hear(event)
        growing = event.action == "file_grow"
        about = event.replguard
        counted = growing and about is not None and about.bytes is not None
        if counted and about is not None:
            making.grown = about.bytes
        if event.action == "file_close_write":
            making.closer = proc
        # Who began and closes it may be the shell that only lent its name; both may be told after what was written.
        # Of a file that was seen to grow its maker is named, and not who writes, unless the bytes were counted.
        named = event.action in ("file_create", "file_close_write") or (growing and making.grown is not None)
        if proc is not None and (counted or not (making.writing and named)):
            making.maker, making.seen = proc, _seen(event)
            making.writing = growing
        rank = self._rank(making.maker)
        self._makings.put(key, making, toucher=rank == "toucher")
        if event.action in (*CLOSING, "file_grow"):
            worth = self.outline.worth(file.size or 0)
            openable = file.links != 0  # else it is in memory, and has no name
            if openable and (worth or (rank != "other" and (file.size or 0) >= SMALL)):
                # Of small files there may be thousands: they wait behind nobody's copy. What is asked of a close must
                # stay so: the question that waits gives way to the newer one.
                way = about.host_path if about else None
                self._asking.ask(file, making.last.action, way, rank if worth else "other")
                making.asked = event.timestamp
            self._wrote(making, file, key)

    def _rank(self, maker: Proc | None) -> Rank:
        if maker is None:
            return "other"
        found = entry.find(maker)
        return "toucher" if self._ledger.toucher(found.proc) else "agent" if found.kind == "agent" else "other"

    def _wrote(self, making: Making, file: File, key: Inode) -> None:
        """Have it judged whether a file is derived, if anybody read anything lately."""
        when = making.last.timestamp
        if self.derived.warm(when):
            worth = making.maker is None and self.outline.worth(file.size or 0)
            maker = self._makers.likely(file, making.began, when) if worth else making.maker
            if maker is not None and making.closed and making.grown is None:
                for child in self._makers.lent(maker, making.began, when):
                    if self.derived.reads(child, when):  # nobody saw who wrote: what the shell opened was for it
                        maker = making.maker = child
                        making.seen = "lineage"
            if maker is not None:
                if self.outline.worth(file.size or 0) and self.derived.reads(maker, when):
                    about = making.last.replguard
                    self.early.made(key, hint(file, file.path, about.host_path if about else None), when)
                self.derived.wrote(maker, key, making)

    def examined(self, result: Examination) -> list[Event]:
        """Return the facts that follow from an examination."""
        if result.device is None or result.inode is None:
            return []
        key = (result.device, result.inode)
        making = self._makings.get(key)
        if making is None or making.last.file is None:
            return []
        if making.asked is not None and result.time >= making.asked:  # else it was looked at before it was written on
            making.asked = None
        strangers = [m for m in result.matches if (m.device, m.inode) != key]
        file = msgspec.structs.replace(making.last.file, size=result.size)
        best: dict[str, Match] = {}
        for match in sorted(strangers, key=lambda m: (-m.share, -m.hits, m.path)):
            best.setdefault(match.model, match)
        for match in self._fragments.found(key, _actor(making.maker), result.traces, self._model_size):
            best.setdefault(match.model, match)
        if not best:
            self._nothing(result, making, key)
            return []
        enough = [match for match in best.values() if _enough(match, result.size)]
        if making.maker is not None and enough:
            self.derived.same(making.maker, key)
        elif making.maker is not None:  # too little of a large file to call that a copy: who wrote it may say more
            self.derived.again(making.maker, making.last.timestamp)
        # What was read while it grew, though the file may be closed by now; or late, and it is not closed yet.
        why = result.request.reason
        growing = why == "file_grow" or (why not in CLOSING and not making.closed)
        made = [self._made(making, file, match, growing=growing) for match in enough]
        return [fact for fact in made if fact is not None]

    def _nothing(self, result: Examination, making: Making, key: Inode) -> None:
        """A file holds nothing protected, or not that we can tell yet: it may be derived all the same."""
        if making.maker is not None:
            self.derived.again(making.maker, making.last.timestamp)
        known = self._ledger.artefact(making.last.file)
        if result.error is None and not result.index_ready:
            making.asked = result.time  # no answer yet
            actor = _actor(making.maker)
            self._asking.undecided(result, self._ledger.models_of(actor) if actor is not None else frozenset())
        elif result.error is None and not result.changed and not (known is not None and known.derived):
            if known is not None and known.technique == "copy":
                self._overwritten(result, making, key)
            self._ledger.replaced(key)

    def _overwritten(self, result: Examination, making: Making, key: Inode) -> None:
        """Take a copy that holds nothing of its origin any more for written over, all of it, by who closed it last.

        No source adds that up while the pages of what stood there before are still on their way to the disk.
        """
        if making.closed and making.closer is not None and result.size:
            making.maker, making.seen = making.closer, _seen(making.last)
            making.grown, making.is_new = result.size, False
            self.derived.wrote(making.closer, key, making)

    def tick(self, now: datetime, *, index_ready: bool) -> list[Event]:
        """Once a second: ask again what was refused or could not be decided; return the facts of what is derived."""
        self._makings.tick(now)
        self.early.tick(now)
        self._asking.tick(index_ready=index_ready, indexed=self._indexed)
        return [fact for found in self.derived.due(now) if (fact := self._derive(found, now)) is not None]

    def _indexed(self) -> frozenset[str]:
        """Return the models of which every file has its fingerprint, or never will."""
        states: dict[str, bool] = {}
        for known in self._files():
            states[known.model] = states.get(known.model, True) and known.state != "listed"
        return frozenset(model for model, done in states.items() if done)

    def resume(self) -> None:
        """After a start, have watched what was made before."""
        for made in self._ledger.artefacts():
            self.early.found(
                made.inode, hint(File(path=made.path, device=made.inode[0], inode=made.inode[1]), made.path)
            )

    def settle(self, now: datetime) -> None:
        """A moment after a start, have examined what was made before and not told, but for what is still written."""
        for making, file in self._makings.untold():
            if not making.closed and making.maker is not None and self.writes(making.maker, file):
                continue
            making.last = msgspec.structs.replace(making.last, event=Meta(action="file_close_write"))
            about, making.asked = making.last.replguard, now
            self._asking.ask(file, "file_close_write", about.host_path if about else None, "toucher")
            self._wrote(making, file, (file.device or 0, file.inode or 0))

    @property
    def evicted(self) -> int:
        """How many files were forgotten before it was known what they hold."""
        return self._makings.evicted + self._asking.evicted + self.derived.evicted

    def _derive(self, found: Finding, now: datetime) -> Event | None:
        """Return the fact of a derived file, None for what was told, or what the examiner is still asked about."""
        making, model = self._makings.get(found.key), found.taint.origin.model
        if making is None or making.last.file is None or not (making.maker is None or found.by(making.maker)):
            return None  # of two that wrote it, whoever did so last is told
        if (making.asked is not None and now - making.asked < ANSWER) or now - making.last.timestamp < QUIET:
            self.derived.again(found.maker, now)
            return None
        status = "done" if making.closed else "started"
        enough = found.bytes >= min(LARGE, SHARE * self._model_size(model))
        if status == "started" and (not enough or model in making.started or model in making.told):
            return None
        if status == "done" and not making.news(model, found.share, found.maker, "derived"):
            return None
        self._note(making, model, Told(found.share, found.maker, "derived", making.last.timestamp), status)
        event, file, origin = making.last, making.last.file, found.taint.origin
        seen = (making.seen if making.maker is not None else "inferred") or "lineage"
        seen = "lineage" if seen == "kernel" and not found.taint.sure else seen
        made = self._ledger.made(file, origin.file, model, "copy", found.maker, arrived=False, derived=True)
        self._mark(made, file, event)
        return self._copied(
            event, file, found.maker, seen, model, origin.file, made, "transform", "derived", found.share, status
        )

    @staticmethod
    def _note(making: Making, model: str, told: Told, status: str) -> None:
        if status == "started":
            making.started += (model,)
        else:
            making.told[model] = told

    def _made(self, making: Making, file: File, best: Match, *, growing: bool) -> Event | None:
        """Return the fact of a file that holds a model's content, None for what was told or is not yet worth it."""
        event = making.last
        maker, seen = self._maker(making, file)
        authored = maker is not None and self._authored(maker, best, making.began, event.timestamp)
        arrived = not authored and not self._unseen(best, making.began, event.timestamp, maker)
        model, status = best.model, "started" if growing else "done"
        if growing and (arrived or model in making.told or model in making.started):
            return None
        if growing and _written(event) < min(LARGE, SHARE * (self._model_size(model) or best.size)):
            return None
        if not growing and not making.news(model, best.share, maker, "content"):
            return None
        self._note(making, model, Told(best.share, maker, "content", event.timestamp), status)
        origin = FileRef(path=best.path, device=best.device, inode=best.inode, size=best.size)
        made = self._ledger.made(file, origin, model, "copy", maker, arrived=arrived)
        self._mark(made, file, event)
        technique = "overwrite" if self._overwrites(making, file, model) else "copy"
        if arrived:
            return self._arrival(event, file, maker, seen, best, origin, made)
        return self._copied(event, file, maker, seen, model, origin, made, technique, "content", best.share, status)

    def _overwrites(self, making: Making, file: File, model: str) -> bool:
        """Whether the file took the place of another protected one: written over it, or renamed onto its name."""
        return any(
            known.path == file.path
            and known.model != model
            and not (making.is_new and known.key == (file.device, file.inode))
            for known in self._files()
        )

    def _model_size(self, model: str) -> int:
        """Return the bytes of all files of a model, 0 if none is known."""
        return sum(known.size or 0 for known in self._files() if known.model == model)

    # -- the facts -----------------------------------------------------------------------------------------------

    def _copied(
        self, event: Event, file: File, maker: Proc | None, seen: Attribution, model: str, origin: FileRef,
        made: Artefact, technique: str, confidence: str, share: float, status: str = "done", of: tuple[str, ...] = (),
    ) -> Event:  # fmt: skip
        if maker is not None:
            self._ledger.touch(maker, model, event.timestamp)
        return fact(
            "weights_copy", event, maker, file=file, attribution=seen, model=model, status=status, technique=technique,
            confidence=confidence, origin=origin, artefacts=(made.id, *of), share=share,
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

    def _maker(self, making: Making, file: File) -> tuple[Proc | None, Attribution]:
        """Return who made a file and how sure that is: seen with it open, named on a command line, or only likely."""
        if making.maker is not None:
            return making.maker, making.seen or "lineage"
        likely = self._makers.likely(file, making.began, making.last.timestamp)
        return likely, "unknown" if likely is None else "inferred"


def _entry(proc: Proc) -> Proc:
    return entry.find(proc).proc


def _actor(proc: Proc | None) -> Proc | None:
    return _entry(proc) if proc is not None else None


def _written(event: Event) -> int:
    """Return the bytes that were written of a growing file: what a source added up, else how large it is."""
    told = event.replguard.bytes if event.replguard else None
    return told if told is not None else (event.file.size or 0) if event.file else 0


def _enough(match: Match, size: int | None) -> bool:
    """Whether 5 % or 64 MiB of a file is protected content, by what share of the origin was found in it."""
    found = match.share * match.size
    return found >= LARGE or found >= SHARE * (size or 0)


def _ref(known: Protected) -> FileRef:
    return FileRef(path=known.path, device=known.device, inode=known.inode, size=known.size)


def _seen(event: Event) -> Attribution | None:
    return event.replguard.attribution if event.replguard else None
