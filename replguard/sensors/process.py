"""Processes, by looking: new ones forty times a second, all of them four times.

What it cannot see: a process that begins and ends between two looks (25 ms, longer on a busy machine); the parent of
one that was handed to init before the first look; the exit code. With hidepid, or in a container, the processes of
other users and containers. A process that executes a new image while it is older than ten seconds is noticed within
seconds, not at once. Processes forked by the kernel itself are left out.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from replguard.config import Config
from replguard.events import clock
from replguard.events.event import Event
from replguard.events.fact import Context
from replguard.events.hint import Hint
from replguard.events.process import Parent, Process, User, spare, spare_args
from replguard.kernel import machine, procfs
from replguard.kernel.procfs import PROC, Stat
from replguard.sensors.base import Timed
from replguard.sensors.processes import argv
from replguard.sensors.processes.describe import Describer

AREA = "process"
LOOK = 0.025
"""Seconds between looks for new processes: one read of 30 bytes when nothing was forked."""
SWEEP = 0.25
"""Seconds between full lists, which find exits and what the quick look could not."""
YOUNG = 10.0
"""Seconds in which a process is compared at every sweep: programs exec early."""
FRESH = 0.5
"""Seconds in which it is compared at every look: between fork and exec."""
OLD_PER_SWEEP = 100
"""Older processes that one sweep compares, in turn."""
CHILD_FAULTS = 40
"""Page faults of reaped children that mean that one ran: ``/bin/true`` has 49, a shell 65 and more (measured on 6.18).
A fork that runs no program has more still, so this sign cannot tell the two apart."""
MOST_NEW = 512
"""Pids that the quick look tries one by one; after more, the full list is cheaper."""
AT_READ = Context(tier="portable", read_time=True)


@dataclass(slots=True)
class _Known:
    entity: str
    stat: Stat
    seen: float
    process: Process
    user: User | None


class ProcessSensor(Timed):
    """Makes process_exec, process_fork, process_exit and, for processes that a hint names, process_children."""

    name = "process"
    area = AREA
    period = LOOK
    early = True
    blind = "processes that live shorter than 25 ms may be missed, and exit codes are not known."

    def __init__(self, root: str = PROC) -> None:
        super().__init__()
        if not procfs.read(f"{root}/1/stat", 16):
            self.because("processes of other users are hidden from us (hidepid).")
        self._root = root
        self._known: dict[int, _Known] = {}
        self._kernel: set[int] = set()
        self._fresh: set[int] = set()
        self._old: deque[int] = deque()
        self._last: int | None = None
        self._swept: float | None = None
        self._drivers: dict[int, tuple[str, int]] = {}
        self._parents: set[int] = set()

    def watch(self, hint: Hint) -> None:
        """Watch a process that talks to a model for children that live too short to be seen."""
        if hint.kind != "process" or hint.pid is None or hint.entity_id is None:
            return
        if hint.drop:
            self._drivers.pop(hint.pid, None)
        elif hint.pid not in self._drivers:
            stat = procfs.stat(hint.pid, self._root)
            self._drivers[hint.pid] = (hint.entity_id, stat.reaped_faults if stat else 0)

    def start(self) -> None:
        self._describer = Describer(self._root)
        self._pid_max = machine.pid_max(self._root)

    def poll(self) -> Iterable[Event]:
        now = clock.monotonic()
        first, last = self._swept is None, machine.last_pid(self._root)
        if self._swept is not None and now - self._swept < SWEEP:
            fresh = list(self._fresh)
            yield from self._look(now, last)
            yield from self._compare(fresh, now)
            return
        self._swept, self._last = now, last
        yield from self._sweep(now, first=first)

    def _look(self, now: float, last: int | None) -> Iterator[Event]:
        previous, self._last = self._last, last
        if last is None or previous is None or last == previous:
            return
        if not 0 < last - previous <= MOST_NEW:  # a burst, or the counter began again
            self._swept = now
            yield from self._sweep(now)
            return
        for pid in range(previous + 1, last + 1):
            stat = procfs.stat(pid, self._root)
            status = procfs.status(pid, self._root) if stat is not None else None
            if stat is not None and status is not None and status.tgid == pid:
                yield from self._meet(pid, stat, now)

    def _sweep(self, now: float, *, first: bool = False) -> Iterator[Event]:
        listed = machine.pids(self._root)
        present = set(listed)
        for pid in self._known.keys() - present:
            yield from self._end(pid)
        self._kernel &= present
        fresh = [p for p in listed if p not in self._known and p not in self._kernel]
        inorder = machine.newest_first(fresh, machine.last_pid(self._root))[::-1]
        stats = [(pid, stat) for pid in inorder if (stat := procfs.stat(pid, self._root)) is not None]
        # Oldest first, for a parent has to be known before its child; numbers begin again, start times do not.
        for pid, stat in sorted(stats, key=lambda found: found[1].start_ticks):
            yield from self._meet(pid, stat, now, first=first)
        yield from self._compare(self._due(now), now)
        yield from self._reaped()

    def _reaped(self) -> Iterator[Event]:
        """Tell of children that only their parent's accounting saw; one that was met explains what it reaped."""
        met, self._parents = self._parents, set()
        for pid, (entity, faults) in list(self._drivers.items()):
            known, stat = self._known.get(pid), procfs.stat(pid, self._root)
            if stat is None or known is None or known.entity != entity:
                self._drivers.pop(pid, None)
                continue
            self._drivers[pid] = (entity, stat.reaped_faults)
            if stat.reaped_faults - faults >= CHILD_FAULTS and pid not in met:
                yield self.event("process_children", clock.now(), process=known.process, replguard=AT_READ)

    def _due(self, now: float) -> list[int]:
        """Return whom to compare in this sweep: all the young, and the old in turn."""
        young = [pid for pid, known in self._known.items() if now - known.seen < YOUNG]
        turns = min(OLD_PER_SWEEP, len(self._known))
        if len(self._old) < turns:
            self._old.extend(self._known)
        return young + [self._old.popleft() for _ in range(min(turns, len(self._old)))]

    def _meet(self, pid: int, stat: Stat, now: float, *, first: bool = False) -> Iterator[Event]:
        """Tell of a process that was not known, or whose pid was known for another."""
        if stat.kthread:
            self._kernel.add(pid)
            self.counters.skip()
            return
        entity = self._describer.entity(pid, stat.start_ticks)
        before = self._known.get(pid)
        if before is not None:
            if before.entity == entity:
                return
            yield from self._end(pid)
        process = self._describer.describe(pid, stat, self._parent(stat))
        if process is None:
            self.counters.lose("poll", "ended while it was read")
            return
        known = _Known(entity, stat, now, spare(process), self._describer.user(pid))
        self._known[pid] = known
        self._fresh.add(pid)
        self._parents.add(stat.ppid)
        action = "process_fork" if not first and self._forked(known) else "process_exec"
        when = process.start or clock.now()
        kind = "state" if first else "event"
        yield self.event(action, when, kind=kind, process=process, user=known.user)

    def _parent(self, stat: Stat) -> Parent | None:
        """Return the parent as we know it: what it ran when it forked, even if it has ended meanwhile."""
        known = self._known.get(stat.ppid)
        if known is None or known.stat.start_ticks > stat.start_ticks:
            return None
        p = known.process
        return Parent(
            pid=p.pid, entity_id=known.entity, executable=p.executable, command_line=p.command_line, name=p.name
        )

    def _forked(self, child: _Known) -> bool:
        """Tell whether a new process still is its parent's image: then nothing was executed yet."""
        parent = self._known.get(child.stat.ppid)
        if parent is None:
            return False
        if child.stat.image is not None and parent.stat.image is not None:
            return child.stat.image == parent.stat.image
        mine, its = child.process, parent.process
        if mine.name != its.name or not mine.args:  # without arguments it is a zombie: only its name is left
            return mine.name == its.name
        return (mine.executable, mine.args) == (its.executable, its.args)

    def _compare(self, pids: Iterable[int], now: float) -> Iterator[Event]:
        for pid in pids:
            known = self._known.get(pid)
            if known is None:
                self._fresh.discard(pid)
                continue
            if now - known.seen > FRESH:
                self._fresh.discard(pid)
            stat = procfs.stat(pid, self._root)
            if stat is None:
                continue
            if stat.start_ticks != known.stat.start_ticks:
                yield from self._meet(pid, stat, now)
            elif self._changed(pid, known, stat, now):
                yield from self._replaced(pid, known, stat, now)

    def _changed(self, pid: int, known: _Known, stat: Stat, now: float) -> bool:
        """Tell whether a process runs another image than before.

        exec draws new addresses for stack and arguments; where those are hidden the command name, and for young
        processes executable and arguments, have to do.
        """
        if stat.state == "Z":
            return False
        if stat.image is not None and known.stat.image is not None:
            return stat.image != known.stat.image
        if stat.comm != known.stat.comm:
            return True
        if now - known.seen > YOUNG:
            return False
        args, _ = argv.read(pid, self._root)
        image = procfs.exe(pid, self._root)
        before = (known.process.executable, known.process.args)
        return bool(args) and (image[0] if image else None, spare_args(args)) != before

    def _replaced(self, pid: int, known: _Known, stat: Stat, now: float) -> Iterator[Event]:
        process = self._describer.describe(pid, stat, known.process.parent)
        if process is None:
            return
        kept = spare(process)
        same = (kept.executable, kept.args) == (known.process.executable, known.process.args)
        renamed_only = same and stat.image is None
        known.stat, known.process, known.user = stat, kept, self._describer.user(pid)
        if renamed_only:
            return
        known.seen = now
        self._fresh.add(pid)
        yield self.event("process_exec", clock.now(), process=process, user=known.user, replguard=AT_READ)

    def _end(self, pid: int) -> Iterator[Event]:
        known = self._known.pop(pid)
        self._fresh.discard(pid)
        yield self.event("process_exit", clock.now(), process=known.process, user=known.user, replguard=AT_READ)


def open(config: Config) -> ProcessSensor:  # noqa: A001, ARG001 - the registry calls every sensor module alike
    """Return the sensor."""
    return ProcessSensor()
