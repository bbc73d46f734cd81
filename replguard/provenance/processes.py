"""The table of processes: lineage that survives exit and the reuse of a pid, within fixed bounds."""

from collections import deque
from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from typing import Any

from replguard.events.event import Event
from replguard.events.process import Parent, Process, User, spare

MAX_PROCESSES = 20_000
"""Remembered processes. At 1.3 KiB each (measured) this stays inside the memory budget (design §12), and it is minutes
of a host that starts 100 a second; what still runs, agents and their ancestors are kept longest."""
KEEP_TRIES = 16
"""Ended processes that are passed over at most, because others descend from them, before one is forgotten anyway."""
LATELY = 4096
"""Processes that ended last, which `around` looks through: with a hundred thousand it would take too long."""
MAX_DEPTH = 64
"""Longest chain of ancestors that is followed; deeper chains are cut, never looped."""
_REAPERS = frozenset("systemd init tini dumb-init containerd-shim-runc-v2".split())
_OWN = frozenset({"process", "user"})
_INHERITED = frozenset({"parent", "adopted", "confirmed_agent", "serves", "planner", "driver"})
"""What a place follows from: the process's own sections, and what changes only now and then."""


_AS_BORN: tuple[Any, ...] = (False, False, False, 1, 0, None, (), frozenset(), None, (-1, False), None)
"""What a process is from ``executed`` on, before anything is learnt of it."""
_set = object.__setattr__


class Age:
    """Counts what could make the place of some process another one: a place of an earlier age is worked out anew."""

    now = 0


class Proc:
    """One process: what it is now, who started it, and what provenance learnt about it.

    ``executed`` says that its own image is known, ``spawned`` that it was seen to begin it: no fork of its parent.

    ``generation`` is that of the model that drives it, ``serves`` that of the instance it is the root of (0: none).
    ``driver`` is the instance that drives it, where that is a replica.
    ``first_args`` are its arguments before it gave itself a title. ``planner`` is the process that wrote what it runs,
    or asked for it, where another started it; ``judged`` when and how it was decided whether that one counts. ``place``
    is what `entry.place` worked out.

    No msgspec.Struct: what is kept on disk names a process by its entity id, and a Struct would be written out.
    """

    __slots__ = tuple(
        "entity pid parent process user since ended adopted executed spawned confirmed_agent generation serves"
        " driver first_args children planner judged place".split()
    )
    entity: str
    pid: int
    parent: "Proc | None"
    process: Process
    user: User | None
    since: datetime
    ended: datetime | None
    adopted: bool
    executed: bool
    spawned: bool
    confirmed_agent: bool
    generation: int
    serves: int
    driver: str | None
    first_args: tuple[str, ...]
    children: set[str] | frozenset[str]
    planner: "Proc | None"
    judged: tuple[int, bool]
    place: Any

    def __init__(
        self,
        entity: str,
        pid: int,
        parent: "Proc | None",
        process: Process,
        user: User | None,
        since: datetime,
        *,
        adopted: bool = False,
    ) -> None:
        given = (entity, pid, parent, process, user, since, None, adopted, *_AS_BORN)
        for name, value in zip(self.__slots__, given, strict=True):
            _set(self, name, value)  # not as below: there is no place yet that could follow from it

    def __setattr__(self, name: str, value: Any) -> None:
        """Set, and forget the places that follow from it."""
        _set(self, name, value)
        if name in _INHERITED or (name in _OWN and self.children):
            Age.now += 1
        elif name in _OWN:
            _set(self, "place", None)

    def bear(self, entity: str) -> None:
        """Note a child. Most processes have none, and an empty set is a tenth of what is remembered of one."""
        if isinstance(self.children, frozenset):
            self.children = set(self.children)
        self.children.add(entity)

    def lose(self, entity: str) -> None:
        """Note that a child is another's."""
        if isinstance(self.children, set):
            self.children.discard(entity)

    @property
    def alive(self) -> bool:
        """Whether no exit was seen."""
        return self.ended is None

    @property
    def image(self) -> str:
        """The base name of what runs, '' when unknown."""
        return base_name(self.process.executable or self.process.name or "")

    @property
    def above(self) -> "Proc | None":
        """Who is responsible for it: the parent, or whoever planned it for an agent."""
        return self.planner if self.planned else self.parent

    @property
    def planned(self) -> bool:
        """Whether an agent planned it: what people and services write is run by others on its own account."""
        if self.planner is None:
            return False
        if self.judged[0] != Age.now:
            self.judged = Age.now, any(here.confirmed_agent for here in self.planner.chain())
        return self.judged[1]

    def chain(self) -> Iterator["Proc"]:
        """Yield this process and its ancestors, nearest first; of what an agent planned, those of its planner."""
        here: Proc | None = self
        for _ in range(MAX_DEPTH):
            if here is None:
                return
            yield here
            here = here.parent if here.planner is None else here.above


class ProcessTable:
    """Processes by entity id and by living pid. The oldest that ended are forgotten first; evictions are counted."""

    def __init__(self, limit: int = MAX_PROCESSES) -> None:
        self._limit = limit
        self._by_entity: dict[str, Proc] = {}
        self._ended: deque[Proc] = deque()
        self._by_pid: dict[int, Proc] = {}
        self._living: dict[str, Proc] = {}
        self._lately: deque[Proc] = deque(maxlen=LATELY)
        self.evicted = 0
        self.moved: dict[str, Proc] = {}
        """Processes that began, executed or ended since somebody emptied it."""

    def __len__(self) -> int:
        return len(self._by_entity)

    def __iter__(self) -> Iterator[Proc]:
        return iter(self._by_entity.values())

    def living(self) -> list[Proc]:
        """Return the processes of which no exit was seen, the oldest first."""
        return list(self._living.values())

    def around(self, began: datetime, ended: datetime) -> Iterator[Proc]:
        """Yield the processes that lived at any time between; of those that ended, the last ones."""
        for proc in self._living.values():
            if proc.since <= ended:
                yield proc
        for proc in self._lately:
            if proc.since <= ended and (proc.ended is None or proc.ended >= began):
                yield proc

    def get(self, entity: str | None) -> Proc | None:
        """Return the process with this entity id, alive or ended."""
        return self._by_entity.get(entity) if entity else None

    def by_pid(self, pid: int | None) -> Proc | None:
        """Return the living process that has this pid now."""
        found = self._by_pid.get(pid) if pid is not None else None
        return found if found is not None and found.alive else None

    def of(self, process: Process | None) -> Proc | None:
        """Return the process that an event's section means, by entity id first.

        The kernel names who acts by pid alone: that is who had it last, also one that ended a moment ago.
        """
        if process is None or process.entity_id:
            return self.get(process.entity_id) if process is not None else None
        return self._by_pid.get(process.pid) if process.pid is not None else None

    def exec(self, event: Event) -> Proc | None:
        """Note that a process runs an image; a second exec of the same process replaces what it runs."""
        section = event.process
        if section is None or section.pid is None or section.entity_id is None:
            return None
        pid, entity, section = section.pid, section.entity_id, spare(section)
        known = self._by_entity.get(entity)
        if known is not None:
            self.moved[entity] = known
            if _another_program(event, section, known):
                known.first_args = section.args
            known.process, known.user = section, event.user or known.user
            return known
        parent, adopted = self._parent(section)
        since = section.start or event.timestamp
        proc = Proc(entity, pid, parent, section, event.user, since, adopted=adopted)
        proc.first_args = section.args
        if parent is not None:
            parent.bear(proc.entity)
        former = self._by_pid.get(pid)
        if former is not None and former.alive:
            self._end(former, event.timestamp)
        self._by_entity[proc.entity] = self._by_pid[pid] = proc
        self._living[proc.entity] = self.moved[proc.entity] = proc
        self._evict()
        return proc

    def exit(self, event: Event) -> Proc | None:
        """Note that a process ended; it stays known by its entity id."""
        proc = self.of(event.process)
        if proc is not None and proc.alive:
            self._end(proc, event.timestamp)
        return proc

    def _end(self, proc: Proc, when: datetime) -> None:
        # The pid keeps its process: no other gets it while a process group or session bears its number.
        proc.ended = when
        self._living.pop(proc.entity, None)
        self._lately.append(proc)
        self._ended.append(proc)
        self.moved[proc.entity] = proc

    def restore(self, proc: Proc) -> None:
        """Take back a process that was known before a start, with its parent; it may have ended since."""
        if proc.entity in self._by_entity:
            return
        self._by_entity[proc.entity] = proc
        if proc.alive:
            self._living[proc.entity] = self._by_pid[proc.pid] = proc
        else:
            self._by_pid.setdefault(proc.pid, proc)
            self._ended.append(proc)
            self._lately.append(proc)
        if proc.parent is not None:
            proc.parent.bear(proc.entity)
        self._evict()

    def _parent(self, section: Process) -> tuple[Proc | None, bool]:
        """Return the parent, and whether it is a guess.

        A process whose parent ended before it was polled belongs to a reaper by then. Its session tells so for certain:
        it is inherited, so one that is neither its own nor its parent's came from a parent that is gone. Its process
        group or session still names who started it: ``sh -c 'server &'`` leaves both as they were.
        """
        parent = self._named(section)
        if parent is None or _orphaned(section, parent):
            for leader in (section.group_id, section.session_id):
                mate = self._mate(leader, section)
                if mate is not None:
                    return mate, True
        return parent, False

    def _named(self, section: Process) -> Proc | None:
        """Return the parent that the event names; one younger than its child only has its pid."""
        named = section.parent
        if named is None or named.entity_id is not None:
            return self.get(named.entity_id) if named else None
        parent = self.by_pid(named.pid)
        return parent if parent is None or section.start is None or parent.since <= section.start else None

    def _mate(self, leader: int | None, section: Process) -> Proc | None:
        if leader is None or leader == section.pid:
            return None
        proc = self._by_pid.get(leader)
        if proc is None or reaper(proc) or (section.start is not None and proc.since > section.start):
            return None
        # One that ended may have left its number to another that nobody saw: the session has to agree.
        return proc if proc.alive or proc.process.session_id == section.session_id else None

    def _evict(self) -> None:
        while len(self._by_entity) > self._limit:
            self._forget(self._victim())
            self.evicted += 1

    def _victim(self) -> Proc:
        """Take out the process to forget: one that ended long ago, if possible one that no other descends from."""
        for _ in range(min(KEEP_TRIES, len(self._ended))):
            proc = self._ended.popleft()
            if not proc.confirmed_agent and not proc.children & self._by_entity.keys():
                return proc
            self._ended.append(proc)
        return self._ended.popleft() if self._ended else next(iter(self._by_entity.values()))

    def _forget(self, victim: Proc) -> None:
        del self._by_entity[victim.entity]
        self._living.pop(victim.entity, None)
        self.moved.pop(victim.entity, None)
        if self._by_pid.get(victim.pid) is victim:
            del self._by_pid[victim.pid]
        for child in victim.children:
            if (kept := self._by_entity.get(child)) is not None:
                kept.parent = victim.parent
        if victim.parent is not None:
            victim.parent.lose(victim.entity)
            for entity in victim.children & self._by_entity.keys():
                victim.parent.bear(entity)


@lru_cache(maxsize=1024)
def base_name(path: str) -> str:
    """Return the name of an image by its path."""
    return path.rpartition("/")[2].removesuffix(" (deleted)")


def reaper(proc: Proc) -> bool:
    """Whether this is where orphans land by its nature: PID 1, or a user's or container's init."""
    return proc.pid == 1 or proc.image in _REAPERS


def _another_program(event: Event, section: Process, known: Proc) -> bool:
    """Whether a known process began a program, and did not only give itself a title.

    The kernel tells no titles. Who looks sees other arguments of the same image: of one that only was forked so far
    they are a program's, as the launcher of ranks starts them, unless they are a single word.
    """
    told = event.action == "process_exec" and event.replguard is not None and event.replguard.tier == "kernel"
    begun = not known.executed and len(section.args) > 1
    return told or begun or section.executable != known.process.executable


def _orphaned(section: Process, parent: Proc) -> bool:
    """Whether the parent is only who adopted the process (PR_SET_CHILD_SUBREAPER makes anybody one)."""
    if reaper(parent):
        return True
    session = section.session_id
    return session not in (None, section.pid) and parent.process.session_id not in (None, session)


def parent_section(proc: Proc | None) -> Parent | None:
    """Return the ECS ``process.parent`` of a known process."""
    if proc is None:
        return None
    here = proc.process
    return Parent(
        pid=proc.pid,
        entity_id=proc.entity,
        executable=here.executable,
        command_line=here.command_line,
        name=here.name,
    )
