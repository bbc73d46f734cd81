"""Derived content: who read a model and wrote something else, by themselves or through the pipes between them.

What is compressed, encrypted, quantised or encoded shares no bytes with its origin. What is left is who made it: a
program that, by itself or at the far end of its pipes, read 20 % of a model within two hours, and wrote 5 % of what it
read, over all its files, until ten minutes after it last read. What was made counts as an origin of its own: whoever
reads 20 % of it and writes, derives again.

A shared daemon works for many at once: of its files only those count that were written while it read.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from replguard.events.fact import FileRef
from replguard.fair import Fair
from replguard.provenance import entry
from replguard.provenance.ledger import Inode
from replguard.provenance.making import Making
from replguard.provenance.pipes import Pipes, program
from replguard.provenance.processes import Proc

WINDOW = timedelta(hours=2)
READ, WRITTEN = 0.2, 0.05
"""Of a model, what has to be read; of that, what has to be written (meanings: Derived)."""
TAINT = timedelta(minutes=10)
"""How long after the last protected read what a program writes may be derived."""
SETTLE = timedelta(seconds=5)
"""How long after a write it is looked at again: what was read is told a moment later."""
MEANWHILE = timedelta(seconds=3)
"""How far from the writing of a shared daemon's file its reading may lie to belong to it."""
STEP = timedelta(seconds=10)
"""Reads of one file are added up in steps of this."""
PIECE = 2**20
"""Files from which each is told; of smaller ones one speaks for all."""
MOST, FILES = 4096, 512
"""Programs that are remembered, readers and writers each, and files of one of them."""
SHARED = frozenset("containerd containerd-shim-runc-v2 dockerd buildkitd nfsd kubelet systemd-journald".split())
"""Daemons that read and write for many."""


class Origin(NamedTuple):
    """What was read: a file of a model, or something derived from one, which counts by itself (then ``id`` is set)."""

    model: str
    file: FileRef
    id: str | None = None


class Taint(NamedTuple):
    """What a program has in its hands: of which origin, how many bytes, of how many; between which times it was read.

    ``sure`` says that it read it itself, or that the kernel named the pipes that it came through.
    """

    origin: Origin
    read: int
    whole: int
    first: datetime
    last: datetime
    sure: bool


class Finding(NamedTuple):
    """A file that is derived, by whom, from what, how many bytes of it were written, and when the last of them."""

    key: Inode
    maker: Proc
    taint: Taint
    bytes: int
    last: datetime

    @property
    def share(self) -> float:
        """The bytes written, as a part of all that there was to read."""
        return min(1.0, self.bytes / self.taint.whole)

    def by(self, proc: Proc) -> bool:
        """Whether it is the work of a process, or of the program that it was forked from."""
        return program(proc) is self.maker


@dataclass(slots=True)
class _Reading:
    """What a program read of one file: when how many bytes, of each process and way of reading as told so far."""

    origin: Origin
    told: OrderedDict[tuple[str, str], int] = field(default_factory=OrderedDict)
    steps: deque[tuple[datetime, int]] = field(default_factory=lambda: deque(maxlen=int(WINDOW / STEP)))

    def take(self, who: tuple[str, str], total: int, when: datetime) -> None:
        before = self.told.pop(who, 0)
        self.told[who] = total
        if len(self.told) > FILES:
            self.told.popitem(last=False)
        more = total - before if total >= before else total
        if self.steps and when - self.steps[-1][0] < STEP:
            since, sofar = self.steps.pop()
            self.steps.append((since, sofar + more))
        else:
            self.steps.append((when, more))


@dataclass(slots=True)
class Reader:
    """A program that read something protected, and when last."""

    proc: Proc
    last: datetime
    files: OrderedDict[Inode, _Reading] = field(default_factory=OrderedDict)


@dataclass(slots=True)
class _File:
    """A file that a program wrote: how many bytes by when. ``held`` is what it had before this program's first."""

    began: datetime
    held: int
    marks: deque[tuple[datetime, int]] = field(default_factory=lambda: deque(maxlen=64))
    content: bool = False

    @property
    def last(self) -> datetime:
        return self.marks[-1][0]

    def since(self, when: datetime) -> int:
        """Return the bytes that were written after a time."""
        before = max((total for at, total in self.marks if at < when), default=self.held)
        return max(0, self.marks[-1][1] - before)


@dataclass(slots=True)
class _Sum:
    """What several programs read of one origin together: of each file no more than there is."""

    origin: Origin
    first: datetime
    last: datetime
    sure: bool = True
    read: dict[Inode, int] = field(default_factory=dict)

    def add(self, inode: Inode, origin: Origin, more: int, first: datetime, last: datetime, *, sure: bool) -> None:
        self.read[inode] = min(self.read.get(inode, 0) + more, origin.file.size or more)
        self.first, self.last, self.sure = min(self.first, first), max(self.last, last), self.sure and sure
        if (origin.file.size or 0) > (self.origin.file.size or 0):
            self.origin = origin

    @property
    def total(self) -> int:
        return sum(self.read.values())


@dataclass(slots=True)
class Writer:
    """A program that wrote files, and until when they are judged."""

    proc: Proc
    files: OrderedDict[Inode, _File] = field(default_factory=OrderedDict)
    until: datetime | None = None


class Derived:
    """Remembers who read and who wrote how much, and judges what was written."""

    def __init__(self, model_size: Callable[[str], int], known: Callable[[str], Proc | None]) -> None:
        """``model_size`` returns the bytes of a model by its name, ``known`` a process by its entity id."""
        self.pipes = Pipes(known)
        self._model_size = model_size
        self._readers: Fair[str, Reader] = Fair(MOST)
        self._writers: Fair[str, Writer] = Fair(MOST)
        self._due: dict[str, Writer] = {}
        self._opened: OrderedDict[tuple[str, int], tuple[Inode, Origin]] = OrderedDict()
        self._sent: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._spoken: OrderedDict[tuple[str, str], Finding] = OrderedDict()
        self._last_read: datetime | None = None

    @property
    def evicted(self) -> int:
        """How many programs were forgotten."""
        return self._readers.evicted + self._writers.evicted

    def warm(self, when: datetime) -> bool:
        """Whether anybody read anything protected lately: else nothing can be derived."""
        return self._last_read is not None and when - self._last_read <= TAINT + SETTLE

    # -- what is told --------------------------------------------------------------------------------------------

    def read(self, proc: Proc, inode: Inode, origin: Origin, mode: str, total: int, when: datetime) -> None:
        """Take the bytes that a process has read of a protected or derived file so far."""
        self._last_read = max(when, self._last_read or when)
        who = program(proc)
        reader = self._readers.pop(who.entity) or Reader(who, when)
        self._readers.put(who.entity, reader, entry.find(who).proc.entity)
        reader.last = max(when, reader.last)
        reading = reader.files.pop(inode, None)
        if reading is None or reading.origin.id != origin.id:
            reading = _Reading(origin)
        reader.files[inode] = reading
        if len(reader.files) > FILES:
            reader.files.popitem(last=False)
        reading.take((proc.entity, mode), total, when)

    def opened(self, proc: Proc, inode: Inode, origin: Origin, when: datetime) -> None:
        """Take that a process opened something derived: a reflink of it reads nothing, and has its size."""
        self._last_read = max(when, self._last_read or when)
        self._opened[program(proc).entity, origin.file.size or 0] = inode, origin
        while len(self._opened) > MOST:
            self._opened.popitem(last=False)

    def wrote(self, proc: Proc, key: Inode, making: Making) -> None:
        """Take what a process has written of a file so far."""
        who, when, total = program(proc), making.last.timestamp, making.written()
        if making.closed and making.grown is None and total and (who.entity, total) in self._opened:
            inode, origin = self._opened[who.entity, total]
            self.read(proc, inode, origin, "reflink", total, when)
        writer = self._writers.pop(who.entity) or Writer(who)
        self._writers.put(who.entity, writer, entry.find(who).proc.entity)
        file = writer.files.pop(key, None)
        if file is None or file.marks[-1][1] > total:
            fresh = making.maker in (None, proc) and when - making.began < WINDOW
            file = _File(making.began, 0 if fresh else total)
        writer.files[key] = file
        file.marks.append((when, total))
        if len(writer.files) > FILES:
            writer.files.popitem(last=False)
        self.again(who, when)

    def again(self, proc: Proc, when: datetime) -> None:
        """Have what a process wrote judged again from now on for a moment."""
        who = program(proc)
        writer = self._writers.get(who.entity)
        if writer is not None and self.warm(when):
            writer.until = max(when + SETTLE, writer.until or when)
            self._due[who.entity] = writer
            if len(self._due) > MOST:
                del self._due[next(iter(self._due))]

    def sent(self, proc: Proc, sinks: Iterable[str], amount: int, when: datetime) -> None:
        """Take that a process sent bytes to programs of this host, by their entity ids.

        They have what it has once it sent enough of that to derive from: a server that tells its metrics sent little.
        """
        source = program(proc)
        had = sum(taint.read for taint in self._sums(source, when - WINDOW, when + SETTLE)) if self.warm(when) else 0
        for sink in map(self.pipes.known, sinks if had else ()):
            if sink is None or program(sink) is source:
                continue
            way = source.entity, program(sink).entity
            total = self._sent.pop(way, 0) + amount
            self._sent[way] = total
            if len(self._sent) > MOST:
                self._sent.popitem(last=False)
            if total >= WRITTEN * had:
                self.pipes.joined(source, sink)
                self.again(sink, when)

    def same(self, proc: Proc, key: Inode) -> None:
        """Note that a file holds protected content itself: it is a copy, and nothing derived."""
        writer = self._writers.get(program(proc).entity)
        if writer is not None and key in writer.files:
            writer.files[key].content = True

    # -- what follows --------------------------------------------------------------------------------------------

    def tainted(self, proc: Proc, model: str, when: datetime) -> Taint | None:
        """Return what of a model a process has in its hands, read by itself or come through its pipes.

        None of a shared daemon: what it read for one it does not write for another.
        """
        return None if _shared(proc) else next((t for t in self._taints(proc, when) if t.origin.model == model), None)

    def reads(self, proc: Proc, when: datetime) -> bool:
        """Whether anything of a model came to a process by itself or through its pipes, enough to derive from."""
        return any(True for _ in self._taints(proc, when))

    def left_by(self, proc: Proc, when: datetime) -> Iterator[Taint]:
        """Yield what programs that have ended left in the hands of one that they wrote to."""
        others = [source for source, _ in self.pipes.sources(proc) if source is not program(proc)]
        readers = [source for source in others if source.entity in self._readers]
        if readers and not any(source.alive for source in readers) and not _shared(proc):
            yield from self._taints(proc, when)

    def due(self, now: datetime) -> Iterator[Finding]:
        """Once a second: yield the files that were written lately and are derived, as often as they are found so."""
        parts: dict[str, None] = {}
        for entity, writer in list(self._due.items()):
            if writer.until is None or now > writer.until or not self.warm(now):
                del self._due[entity]
            found = list(self._judge(writer))
            yield from found
            if not found and not _shared(writer.proc):
                parts[entry.find(writer.proc).proc.entity] = None
        for actor in parts:
            yield from self._judge_together(actor)

    def _judge(self, writer: Writer) -> Iterator[Finding]:
        if not writer.files:
            return
        newest = max(file.last for file in writer.files.values())
        if _shared(writer.proc):
            yield from self._alone(writer)
            return
        taints = list(self._taints(writer.proc, newest))
        least = WRITTEN * sum(taint.read for taint in taints)
        for taint in taints:
            made = _made(writer, taint)
            if made and sum(one.bytes for one in made) >= least:
                yield from self._told(writer.proc.entity, made)

    def _judge_together(self, actor: str) -> Iterator[Finding]:
        """Judge what several programs of one actor made, each of the part that it read."""
        sums: dict[tuple[str, str | None], list[tuple[Taint, list[Finding]]]] = {}
        works = [(max(f.last for f in w.files.values()), w) for w in self._writers.of(actor, FILES) if w.files]
        if not works:  # what they did before they were known as an agent's is another's by name
            return
        newest = max(last for last, _ in works)
        for writer in (writer for last, writer in works if newest - last <= WINDOW):
            for taint in self._sums(writer.proc, newest - WINDOW, newest + SETTLE):
                made = _made(writer, taint)
                if made and sum(one.bytes for one in made) >= WRITTEN * taint.read:
                    sums.setdefault((taint.origin.model, taint.origin.id), []).append((taint, made))
        for parts in sums.values():
            read, whole = sum(taint.read for taint, _ in parts), parts[0][0].whole
            if len(parts) > 1 and read >= READ * whole:
                found = [one for _, made in parts for one in made]
                yield from self._told(
                    actor, [one._replace(taint=one.taint._replace(read=min(read, whole))) for one in found]
                )

    def _told(self, who: str, found: list[Finding]) -> Iterator[Finding]:
        """Yield each file of weight; where all are small one speaks for all, the newest of every ten minutes."""
        read, model = found[0].taint.read, found[0].taint.origin.model
        large = [one for one in found if one.bytes >= min(PIECE, WRITTEN * read)]
        if not large:
            newest, spoken = max(found, key=lambda one: one.last), self._spoken.pop((who, model), None)
            if spoken is None or newest.last - spoken.last >= TAINT:
                spoken = newest
            self._spoken[who, model] = spoken
            if len(self._spoken) > MOST:
                self._spoken.popitem(last=False)
            together = sum(one.bytes for one in found)
            large = [one._replace(bytes=together) for one in found if one.key == spoken.key]
        yield from large

    def _alone(self, writer: Writer) -> Iterator[Finding]:
        """Judge each file of a shared daemon by what was read while it was written."""
        for key, file in writer.files.items():
            since, until = file.began - MEANWHILE, file.last + MEANWHILE
            for taint in self._taints(writer.proc, file.last, since, until):
                if not file.content and file.since(since) >= WRITTEN * taint.read:
                    yield Finding(key, writer.proc, taint, file.since(since), file.last)

    def _taints(
        self, proc: Proc, when: datetime, since: datetime | None = None, until: datetime | None = None
    ) -> Iterator[Taint]:
        """Yield what came to a program by a time, of each model once: what it has most of, by its share."""
        best: dict[str, Taint] = {}
        for taint in self._sums(proc, since or when - WINDOW, until or when + SETTLE):
            known = best.get(taint.origin.model)
            if taint.read < READ * taint.whole or when > taint.last + TAINT:
                continue
            if known is None or taint.read / taint.whole > known.read / known.whole:
                best[taint.origin.model] = taint
        yield from best.values()

    def _sums(self, proc: Proc, since: datetime, until: datetime) -> Iterator[Taint]:
        """Add up what was read of each origin between two times by all whose output may come to a program."""
        sums: dict[tuple[str, str | None], _Sum] = {}
        for source, sure in self.pipes.sources(proc):
            reader = self._readers.get(source.entity)
            for inode, reading in (reader.files if reader is not None else {}).items():
                steps = [(at, more) for at, more in reading.steps if since <= at <= until]
                if reader is None or not steps:
                    continue
                origin, last = reading.origin, min(reader.last, until)
                known = sums.setdefault((origin.model, origin.id), _Sum(origin, steps[0][0], last))
                known.add(inode, origin, sum(more for _, more in steps), steps[0][0], last, sure=sure)
        for each in sums.values():
            # A model that was moved away is not listed any more: what was read of it says how large it is.
            whole = (self._model_size(each.origin.model) if each.origin.id is None else 0) or each.origin.file.size
            if whole:
                yield Taint(each.origin, min(each.total, whole), whole, each.first, each.last, each.sure)


def _made(writer: Writer, taint: Taint) -> list[Finding]:
    """Return the files that a program wrote while it had something in its hands."""
    since, ended = taint.first - SETTLE, taint.last + TAINT
    files = [(key, file) for key, file in writer.files.items() if not file.content and since <= file.last <= ended]
    return [Finding(key, writer.proc, taint, file.since(since), file.last) for key, file in files]


def _shared(proc: Proc) -> bool:
    return program(proc).image in SHARED
