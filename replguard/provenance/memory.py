"""Provenance's memory on disk: a daemon that was killed goes on with what it knew a second before.

Parts that changed are appended once a second. Of processes those that still run, and those that something else that is
kept names, with their ancestors: the thousands that began and ended in between are nobody's. Only provenance writes it
and only provenance reads it; what rules and alerts remember is theirs.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from operator import attrgetter
from pathlib import Path
from types import GenericAlias
from typing import Any, get_args, get_origin

import msgspec

from replguard.events import clock, wire
from replguard.events.event import Event, Meta
from replguard.events.health import Health
from replguard.events.identity import entity_ids
from replguard.events.process import Process, User
from replguard.fair import Fair
from replguard.journal import Heading, Journal
from replguard.kernel import machine, procfs
from replguard.provenance.kept import OUTLIVING, PARTS, VERSION
from replguard.provenance.processes import Age, Proc, ProcessTable

EVERY = 1.0
"""Seconds between two writings: what a kill may lose."""
SHARE = 200
"""A part is written again after so many times what it took: together they cost less than a hundredth of a core."""
RATE = 64 * 2**10
"""Bytes a second that one part may write: a large one is written less often."""
MOST = 2048
"""Entries of one attribute that are kept: the newest."""
MOST_PROCESSES = 8192
MOST_NESTED = 1024
"""Entries of a queue within an entry."""
AGAIN = 30.0
"""Seconds between two times that all of it is written: where the disk takes nothing, or as much changes in a second."""
TELLS = timedelta(seconds=2)
"""How long after a start a process is believed to run that has ended meanwhile: sensors may have more to tell."""
_PROCESS = "process "
_LONG_AGO = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


class _Line(msgspec.Struct, array_like=True, frozen=True):
    """A process as it is kept; others by their entity ids."""

    entity: str
    pid: int
    parent: str | None
    process: Process
    user: User | None
    since: datetime
    ended: datetime | None
    first_args: tuple[str, ...] | None
    planner: str | None
    flags: tuple[bool, bool, bool, bool]
    generation: int
    serves: int
    driver: str | None = None


class Memory:
    """Keeps what the parts of provenance know: ``of`` is the whole, ``ours`` tells the daemon's own processes."""

    def __init__(self, path: Path | None, of: object, table: ProcessTable, ours: Callable[[Proc], bool]) -> None:
        self._of, self._table, self._ours = of, table, ours
        here = machine.machine_id(), machine.boot_id()
        self._journal = Journal(path, Heading("provenance", VERSION, *here))
        self._heading = Heading("provenance", VERSION, *here)
        self._entity = entity_ids(*here)
        self._named: dict[str, dict[str, Proc]] = {}
        self._due: dict[str, float] = {}
        self._again = 0.0
        self._written: set[str] = set()
        self._unsure: list[Proc] | None = None
        self._until = _LONG_AGO
        self._trouble: str | None = None
        self._news: list[str] = []
        self.runs: Callable[[Proc], bool] = self._runs
        """Whether a process still is the one that had its pid."""

    # -- writing -------------------------------------------------------------------------------------------------

    def save(self, *, last: bool = False) -> None:
        """Write what changed; called once a second, and a ``last`` time at the end."""
        now = clock.monotonic()
        whole = self._journal.is_long and (last or now >= self._again)
        if whole:
            self._again = now + AGAIN
        elif not self._journal.begun:
            return
        due = (name for name in PARTS if whole or last or now >= self._due.get(name, 0.0))
        records = {name: self._part(name, now) for name in due}
        records |= self._processes(now, whole=whole, last=last)
        (self._journal.replace if whole else self._journal.add)(records)
        if self._journal.trouble not in (None, self._trouble):
            self._news.append(f"{self._journal.trouble}; a restart would forget what is known now")
        self._trouble = self._journal.trouble

    def _processes(self, now: float, *, whole: bool, last: bool) -> dict[str, bytes]:
        """Return the processes that are to be kept and may differ from what was written of them."""
        moved, self._table.moved = self._table.moved, {}
        named = [proc for procs in self._named.values() for proc in procs.values()]
        if whole:
            self._written.clear()
            others = reversed(self._table.living())
        else:
            others = iter([proc for proc in moved.values() if proc.alive or proc.entity in self._written])
        wanted = _with_ancestors([*named, *(proc for proc in others if not self._ours(proc))], MOST_PROCESSES)
        again = {proc.entity for proc in named} if last or now >= self._due.get(_PROCESS, 0.0) else set[str]()
        began = clock.monotonic()
        kept = {
            _PROCESS + proc.entity: _encoded(proc)
            for proc in wanted
            if proc.entity in moved or proc.entity in again or proc.entity not in self._written
        }
        self._due[_PROCESS] = now + SHARE * (clock.monotonic() - began)
        self._written.update(proc.entity for proc in wanted)
        return kept

    def _part(self, name: str, now: float) -> bytes:
        """Return what is kept of a part, and note which processes it names and when it is its turn again."""
        began = clock.monotonic()
        where, kind = PARTS[name]
        part = attrgetter(where)(self._of)
        named = self._named[name] = {}

        def hook(value: Any) -> Any:
            if isinstance(value, Proc):
                named[value.entity] = value
                return value.entity
            return _plain(value)

        given = {field.name: _newest(getattr(part, field.name)) for field in msgspec.structs.fields(kind)}
        data = msgspec.msgpack.encode(given, enc_hook=hook)
        took = clock.monotonic() - began
        self._due[name] = now + max(EVERY / 2, SHARE * took, len(data) / RATE)
        return data

    # -- reading -------------------------------------------------------------------------------------------------

    def open(self, now: datetime) -> bool:
        """Take back what was kept. True if that was in this boot, so that what ran then may run still."""
        kept = self._journal.read()
        if kept.trouble is not None:
            self._news.append(f"{kept.trouble}: what is not in it was forgotten by this start")
        if kept.heading is None:
            return False
        same = kept.heading == self._heading
        lines = dict(self._lines(kept.records))
        found = _Found(lines, None if same else now)
        for name in PARTS if same else OUTLIVING:
            if name in kept.records:
                self._take(name, kept.records[name], found)
        for proc in _with_ancestors(found.used.values(), MOST_PROCESSES):
            self._table.restore(proc)
        self._unsure, self._until = self._table.living(), now + TELLS
        self._table.moved.clear()
        Age.now += 1
        return same

    def _lines(self, records: dict[str, bytes]) -> Iterator[tuple[str, _Line]]:
        decoder, wrong = msgspec.msgpack.Decoder(_Line), 0
        for key, data in records.items():
            if key.startswith(_PROCESS):
                try:
                    line = decoder.decode(data)
                    yield line.entity, line
                except wire.UNREADABLE:
                    wrong += 1
        if wrong:
            self._news.append(f"{wrong} processes in it cannot be read")

    def _take(self, name: str, data: bytes, found: "_Found") -> None:
        """Give a part what it knew. Each is taken whole or not at all."""
        where, kind = PARTS[name]
        part = attrgetter(where)(self._of)
        try:
            kept = msgspec.msgpack.decode(data, type=kind, dec_hook=lambda of, given: _rebuilt(of, given, found))
        except (*wire.UNREADABLE, TypeError, ValueError) as error:
            self._news.append(f"what it says of {name} is not used: {error}"[:200])
            return
        for field in msgspec.structs.fields(kind):
            _put(part, field.name, getattr(kept, field.name))

    def told(self, now: datetime) -> list[Event]:
        """Return what has to be said of the memory itself, each once."""
        said, self._news = self._news, []
        return [
            Event(timestamp=now, event=Meta(action="sensor_health", provider="replguard"),
                  health=Health(component="memory", state="degraded", reason=f"the memory of provenance: {one}"))
            for one in said
        ]  # fmt: skip

    # -- what happened meanwhile ---------------------------------------------------------------------------------

    def ended(self, now: datetime) -> list[Event] | None:
        """Return the ends of processes that ran before the start and do not run any more: once, None at other times."""
        if self._unsure is None or now < self._until:
            return None
        unsure, self._unsure = self._unsure, None
        return [
            Event(timestamp=now, event=Meta(action="process_exit", kind="state", provider="provenance"),
                  process=proc.process, user=proc.user)
            for proc in unsure if proc.alive and not self.runs(proc)
        ]  # fmt: skip

    def _runs(self, proc: Proc) -> bool:
        # A number is given again, a start time is not; one that nobody waited for yet has ended.
        found = procfs.stat(proc.pid)
        return (
            found is not None and found.state not in "ZX" and self._entity(proc.pid, found.start_ticks) == proc.entity
        )


class _Found:
    """Makes processes of what was kept, each once. ``ended``: when all of them had, None if they may run."""

    def __init__(self, lines: dict[str, _Line], ended: datetime | None) -> None:
        self.made = {entity: _process(line, ended) for entity, line in lines.items()}
        for entity, line in lines.items():
            made = self.made[entity]
            made.parent, made.planner = self.made.get(line.parent or ""), self.made.get(line.planner or "")
        self._ended = ended
        self.used: dict[str, Proc] = {} if ended is not None else self.made

    def __call__(self, entity: str) -> Proc:
        made = self.made.get(entity)
        if made is None:  # nobody of whom anything is known
            made = self.made[entity] = Proc(entity, 0, None, Process(entity_id=entity), None, _LONG_AGO)
            made.ended = _LONG_AGO
        self.used[entity] = made
        return made


def _process(line: _Line, ended: datetime | None) -> Proc:
    made = Proc(line.entity, line.pid, None, line.process, line.user, line.since)
    made.adopted, made.executed, made.spawned, made.confirmed_agent = line.flags
    made.ended, made.generation, made.serves = line.ended or ended, line.generation, line.serves
    made.driver = line.driver
    made.first_args = line.process.args if line.first_args is None else line.first_args
    return made


def _encoded(proc: Proc) -> bytes:
    return msgspec.msgpack.encode(
        _Line(
            proc.entity,
            proc.pid,
            proc.parent.entity if proc.parent is not None else None,
            proc.process,
            proc.user,
            proc.since,
            proc.ended,
            None if proc.first_args == proc.process.args else proc.first_args,
            proc.planner.entity if proc.planner is not None else None,
            (proc.adopted, proc.executed, proc.spawned, proc.confirmed_agent),
            proc.generation,
            proc.serves,
            proc.driver,
        )
    )


def _with_ancestors(procs: Iterable[Proc], most: int) -> list[Proc]:
    """Return processes, and all that lead up from them, each once."""
    found: dict[str, Proc] = {}
    ahead = deque(procs)
    while ahead and len(found) < most:
        proc = ahead.popleft()
        if proc.entity not in found:
            found[proc.entity] = proc
            ahead.extendleft(each for each in (proc.parent, proc.planner) if each is not None)
    return list(found.values())


def _newest(value: Any) -> Any:
    """Return a container with no more than may be kept of it."""
    if isinstance(value, dict) and len(value) > MOST:
        return dict(islice(value.items(), len(value) - MOST, None))
    if isinstance(value, deque) and len(value) > MOST:
        return list(islice(value, len(value) - MOST, None))
    return value


def _plain(value: Any) -> Any:
    """Return what msgspec does not know as what it knows."""
    if isinstance(value, Fair):
        return value.shares()[-MOST:]
    if isinstance(value, deque):
        return list(value)
    raise TypeError(type(value).__name__)


def _rebuilt(of: Any, given: Any, found: _Found) -> Any:
    """Return a value of a type that msgspec does not know. Raises ValidationError for what is none."""

    def inside(kind: Any) -> Any:
        return msgspec.convert(given, kind, dec_hook=lambda of, given: _rebuilt(of, given, found))

    if of is Proc:
        return found(inside(str))
    origin, args = get_origin(of), get_args(of)
    if origin is deque:
        return deque(inside(GenericAlias(list, args)), maxlen=MOST_NESTED * 4)
    if origin is OrderedDict:
        return OrderedDict(inside(GenericAlias(dict, args)))
    if origin is Fair:
        made: Fair[Any, Any] = Fair(MOST * 2)
        share = GenericAlias(tuple, (*args, str | int | None))
        for key, value, owner in inside(GenericAlias(list, (share,))):
            made.put(key, value, owner)
        return made
    raise TypeError(str(of))


def _put(part: object, name: str, value: Any) -> None:
    """Fill a container that others may hold too, as it is bounded; set anything else."""
    there = getattr(part, name)
    if isinstance(there, Fair):
        for key, each, owner in value.shares():
            there.put(key, each, owner)
    elif isinstance(there, (dict, set)):
        there.update(value)
    elif isinstance(there, deque):
        there.extend(value)
    else:
        setattr(part, name, value)
