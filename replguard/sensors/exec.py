"""Processes, told by the kernel: each exec, fork and exit by eBPF, and who signals or reads a watched process.

What it cannot see: arguments beyond 16 KiB (they are marked as cut); the invocation id of a unit whose first process
lived only milliseconds; what a kernel before 5.17 cannot walk of a path (beyond 48 names). A fork that executes within
the same 50 ms is told as the exec alone. A signal within 50 ms of when its target became one to watch is not told.
When the ring overflows the loss is counted and told, and the list of processes is read again.

`sensors.memory_access` adds `process_vm_readv` and `ptrace` on watched processes, which costs some 100 ns on every
system call of the host. It cannot see a target that is named by its number in a pid namespace between the host's and
its own, a thread that is younger than a second, and the calls of the x32 ABI.
"""

import contextlib
import os
import signal
from collections.abc import Container, Iterable, Iterator
from datetime import timedelta
from functools import lru_cache
from pathlib import Path

import msgspec

from replguard.config import Config
from replguard.errors import Unavailable
from replguard.events import clock
from replguard.events.event import Event, Meta
from replguard.events.fact import Context
from replguard.events.hint import Hint
from replguard.events.process import KEPT, Namespaces, Parent, Process, User, spare
from replguard.kernel import libbpf, machine, procfs
from replguard.kernel.bpf import process as records
from replguard.kernel.bpf.process import ACCESS, EXEC, EXIT, FORK, MEMORY, SIGNAL, Act, Exec, Head
from replguard.kernel.procfs import PROC
from replguard.kernel.told import Told
from replguard.sensors.probed import KERNEL, LOOK, Probed, tried
from replguard.sensors.processes import argv, meanwhile
from replguard.sensors.processes.describe import Describer
from replguard.sensors.processes.known import Known
from replguard.sensors.processes.meanwhile import MEANWHILE
from replguard.sensors.processes.watched import Watched

AREA = "process"
TIER = "kernel"
REPLACES = frozenset({"process"})
_FIRST_CGROUPS = 0xEFFFFFFB
"""PROC_CGROUP_INIT_INO (include/linux/proc_ns.h): the inode of the first cgroup namespace."""
_OFF = "sensors.memory_access is off: it costs some 100 ns on every system call"
AT_READ = Context(tier="portable", read_time=True)
_META = {action: Meta(action=action, provider="exec") for action in ("process_exec", "process_fork", "process_exit")}
_USERS_KEPT = 1.0
"""Seconds for which who a user is is not asked again."""


class ExecSensor(Probed):
    """Makes process_exec, process_fork and process_exit, with the sections that the portable sensor makes.

    Of processes that a hint names also process_signal and, if it is switched on, process_access.
    """

    name = "exec"
    area = AREA
    early = True
    blind = "arguments beyond 16 KiB are cut, and what a full ring drops is told as a loss."

    records = records

    def __init__(self, config: Config | None = None, root: str = PROC) -> None:
        super().__init__(config, root)
        self._own = os.getpid()
        self._known: dict[int, Known] = {}
        self._users: dict[tuple[int, int | None], User] = {}
        self._users_until = 0.0
        self._born: dict[int, Head] = {}
        self._gone: set[tuple[int, int]] = set()
        self._begun = self._behind = False
        self._watched = Watched(self._entity, root, threads=self.config.sensors.memory_access)

    def left(self) -> dict[str, str]:
        left = super().left()
        return left if self.config.sensors.memory_access else {MEMORY: _OFF} | left

    def start(self) -> None:
        self._describer = Describer(self._root)
        self._own_groups = not _first_groups(self._root)
        self._hybrid = (procfs.read(f"{self._root}/self/cgroup") or b"").count(b"\n") != 1
        super().start()

    def prepare(self, programs: libbpf.Programs, noted: Told) -> None:  # noqa: ARG002 - it tells no sums
        self._watched.begin(programs)

    def reconcile(self) -> None:
        self._watched.reconcile()

    def require(self, programs: libbpf.Programs) -> None:
        if not {"process_exec", "process_exec_bounded"} - programs.missing.keys():
            reason = programs.missing["process_exec_bounded"] or programs.missing["process_exec"]
            raise Unavailable(f"the kernel refuses the probe of exec ({reason}).")
        made = ("process_signal", "process_access")  # programs and what they make have the same names
        self.makes = frozenset(action for action in made if action not in programs.missing)

    def stop(self) -> None:
        self._watched.end()
        super().stop()

    def watch(self, hint: Hint) -> None:
        """Watch an agent or a member of a serving instance for signals and for who reads its memory."""
        self._watched.hint(hint)

    def tick(self) -> Iterable[Event]:
        """The first look tells what runs already."""
        yield from super().tick()
        self._watched.follow()

    def begin(self, taken: list[bytes]) -> Iterator[Event]:
        """Tell what runs already, then what was done while nobody read: as it would have been told, look by look."""
        heads = list(meanwhile.heads(taken))
        born = {(head.pid, head.ticks) for head in heads if head.kind == FORK}
        yield from self._look(first=not self._begun, but=born)
        self._begun, self._behind = True, self.programs.adopted
        if self._behind:
            MEANWHILE.note(heads, self.at)
        for part in meanwhile.looks(taken, LOOK):
            yield from self.decoded(part)
        self._behind = False

    def check(self) -> Iterable[Event]:
        self._watched.look()
        full, self._watched.full = self._watched.full, 0
        if full:
            yield self.health("degraded", f"{full} processes or threads are too many to be watched", stage="watch")

    def after_loss(self) -> Iterable[Event]:
        return self._look()

    def decoded(self, taken: list[bytes]) -> Iterable[Event]:
        records = list(self.parsed(_record, taken))
        self._boot = self._describer.started(0)
        executed = {(head.pid, head.start) for head, _ in records if head.kind == EXEC}
        self._gone = {(head.pid, head.start) for head, _ in records if head.kind == EXIT}
        now = clock.monotonic()
        if now >= self._users_until:
            self._users, self._users_until = {}, now + _USERS_KEPT
        for head, body in records:
            if head.parent == self._own:
                self.heard = now
            if isinstance(body, Exec):
                yield self._executed(head, body)
            elif isinstance(body, Act):
                yield from self._acted(head, body)
            elif head.kind == FORK:
                yield from self._forked(head, told=(head.pid, head.start) not in executed)
            else:
                yield from self._ended(head)
        self._born, self._gone = {}, set()

    def _told(self, action: str, head: Head, process: Process, user: User | None) -> Event:
        return Event(timestamp=self.at(head.when), event=_META[action], process=process, user=user, replguard=KERNEL)

    def _executed(self, head: Head, body: Exec) -> Event:
        """Tell of an exec. The parent is the one that forked, also after the process was handed to init."""
        known = self._known.get(head.pid)
        if known is not None and known.ticks != head.ticks:
            known = None
        born = self._born.pop(head.pid, None)
        entity = known.entity if known else self._describer.entity(head.pid, head.ticks)
        above = known or self._above(born or head)
        parent = known.parent if known else self._parent(born or head)
        if body.args is not None:
            args, cut = argv.hide(body.args, body.truncated)
        else:
            args, cut = argv.read(head.pid, self._root) if self._lives(head) else ((), True)
        folder, group = body.working_directory, self._group(head, body.cgroup, above.process.cgroup if above else None)
        invocation, trigger = self._unit_run(head, above, group)
        process = Process(
            pid=head.pid,
            entity_id=entity,
            start=self._boot + timedelta(milliseconds=10 * head.ticks),
            executable=body.executable or self._image(head),
            invoked=records.absolute(body.interp, folder),
            name=body.comm,
            args=args,
            args_truncated=cut,
            command_line=" ".join(args) if args else None,
            working_directory=folder,
            interactive=body.tty is not None and body.foreground == body.group,
            tty=body.tty,
            session_id=body.session,
            group_id=body.group,
            audit_session=body.audit_session,
            cgroup=group,
            invocation_id=invocation,
            trigger=trigger,
            namespaces=_namespaces(body.mount_space, body.pid_space, body.net_space),
            namespace_pid=body.pid_inside,
            pipes_in=body.pipes_in,
            pipes_out=body.pipes_out,
            parent=parent,
        )
        user = self._user(head.uid, body.loginuid)
        kept = process if len(process.command_line or "") < KEPT else spare(process)  # the line joins the arguments
        self._known[head.pid] = Known(head.ticks, entity, kept, user, head.cgroup, parent)
        return self._told("process_exec", head, process, user)

    def _forked(self, head: Head, *, told: bool) -> Iterator[Event]:
        """Note a child: until it executes it is what its parent is. Not told when its exec follows at once."""
        known = self._known.get(head.pid)
        if not told or (known is not None and known.ticks == head.ticks):
            self._born[head.pid] = head
            self.counters.skip()
            return
        made = self._child(head)
        yield self._told("process_fork", head, made.process, made.user)

    def _child(self, head: Head) -> Known:
        """Note a child as what its parent is."""
        above, parent = self._above(head), self._parent(head)
        entity = self._describer.entity(head.pid, head.ticks)
        process = above.process if above else self._describer.describe(head.pid) or Process()
        group = process.cgroup
        if above is not None and above.group not in (None, head.cgroup):
            group = self._group(head, None, group)
        process = msgspec.structs.replace(
            process,
            pid=head.pid,
            entity_id=entity,
            start=self._boot + timedelta(milliseconds=10 * head.ticks),
            cgroup=group,
            namespaces=None,
            namespace_pid=None,
            parent=parent,
        )
        user = self._user(head.uid, above.user.audit if above and above.user else None)
        made = self._known[head.pid] = Known(head.ticks, entity, process, user, head.cgroup, parent)
        return made

    def _ended(self, head: Head) -> Iterator[Event]:
        known = self._known.get(head.pid)
        if known is None or known.ticks != head.ticks:
            yield from self._ended_unknown(head)
            return
        del self._known[head.pid]
        if self._behind:
            MEANWHILE.ends(head)
        if head.pid in self._watched:
            self._watched.drop(head.pid)
        process = msgspec.structs.replace(known.process, exit_code=head.exit_code)
        yield self._told("process_exit", head, process, known.user)

    def _ended_unknown(self, head: Head) -> Iterator[Event]:
        """Tell the end of a process that ran before we did, and ended before we looked; no other that is not known.

        Else it is the second of two threads that ended together, or told already.
        """
        if not self._behind or not MEANWHILE.ends(head):
            self.counters.skip()
            return
        entity = self._describer.entity(head.pid, head.ticks)
        process = Process(pid=head.pid, entity_id=entity, parent=self._parent(head), exit_code=head.exit_code)
        yield self._told("process_exit", head, process, self._user(head.uid, None))

    def _acted(self, head: Head, act: Act) -> Iterator[Event]:
        """Tell of a signal or an access. The kernel's own signals, of the OOM killer or a terminal, have no sender."""
        target = self._known.get(act.target)
        if target is None and not self._behind:
            self.counters.skip()
            return
        known = self._known.get(head.pid)
        user = known.user if known is not None and known.ticks == head.ticks else self._user(head.uid, None)
        process: Process | None = known.process if known is not None and known.ticks == head.ticks else None
        if process is None:
            process = Process(pid=head.pid, entity_id=self._describer.entity(head.pid, head.ticks))
        if head.kind == SIGNAL:
            action, about = (
                "process_signal",
                Context(tier="kernel", attribution="kernel", signal=act.what, status=_signal(act.what)),
            )
        else:
            action, about = "process_access", Context(
                tier="kernel", attribution="kernel", mode="memory", bytes=act.bytes or None,
                technique="process_vm_readv" if act.what == records.READV else "ptrace",
            )  # fmt: skip
        if act.kernel:
            process, user, about = None, None, msgspec.structs.replace(about, attribution="unknown")
        of = target.process if target is not None else Process(pid=act.target)  # it ended while nobody read
        yield self.event(action, self.at(head.when), process=process, target=of, user=user, replguard=about)

    def _user(self, uid: int, audit: int | None) -> User:
        found = self._users.get((uid, audit))
        if found is None:
            found = self._users[uid, audit] = self._describer.named(uid, audit)
        return found

    def _entity(self, pid: int) -> str | None:
        known = self._known.get(pid)
        return known.entity if known else None

    def _above(self, head: Head) -> Known | None:
        """Return what is known of the parent that a record names, which may be about to execute itself."""
        known = self._known.get(head.parent)
        if known is not None and known.ticks == head.parent_ticks:
            return known
        born = self._born.get(head.parent)
        return self._child(born) if born is not None and born.ticks == head.parent_ticks else None

    def _parent(self, head: Head) -> Parent | None:
        pid, ticks = head.parent, head.parent_ticks
        if pid == 0:
            return None
        known = self._above(head)
        if known is not None:
            return known.as_parent()
        stat = procfs.stat(pid, self._root)
        named = stat is not None and stat.start_ticks == ticks
        entity = self._describer.entity(pid, ticks)
        return Parent(pid=pid, entity_id=entity, name=stat.comm if stat and named else None)

    def _lives(self, head: Head) -> bool:
        if (head.pid, head.start) in self._gone:
            return False
        stat = procfs.stat(head.pid, self._root)
        return stat is not None and stat.start_ticks == head.ticks

    def _image(self, head: Head) -> str | None:
        found = procfs.exe(head.pid, self._root)
        return found[0] if found is not None and self._lives(head) else None

    def _group(self, head: Head, told: str | None, inherited: str | None) -> str | None:
        """Return the control group. Older hierarchies, and namespaces of our own, are known to ``/proc`` only.

        There a process that is gone already had what it inherited, as far as anybody can know.
        """
        if told is not None and not self._own_groups and not (self._hybrid and told == "/"):
            return told
        if (head.pid, head.start) in self._gone:
            return inherited
        found = procfs.cgroup(head.pid, self._root)
        return found if found is not None and self._lives(head) else inherited

    def _unit_run(self, head: Head, known: Known | None, group: str | None) -> tuple[str | None, str | None]:
        """Return systemd's id of the run and what set it off: the parent's while the control group is the same."""
        if known is not None and known.process.cgroup == group:
            return known.process.invocation_id, known.process.trigger
        found = procfs.unit_run(head.pid, self._root)
        return found if found != (None, None) and self._lives(head) else (None, None)

    def _look(self, *, first: bool = False, but: Container[tuple[int, int]] = ()) -> Iterator[Event]:
        """Compare with the list of processes: what is there and was not told, and the other way round.

        ``but`` are those, by pid and start, of which the records tell that they were made.
        """
        listed = machine.newest_first(machine.pids(self._root), machine.last_pid(self._root))[::-1]
        for pid in self._known.keys() - set(listed):
            gone = self._known.pop(pid)
            self._watched.drop(pid)
            yield self.event("process_exit", clock.now(), process=gone.process, user=gone.user, replguard=AT_READ)
        # Oldest first, for a parent has to be known before its child; numbers begin again, start times do not.
        stats = [(pid, stat) for pid in listed if (stat := procfs.stat(pid, self._root)) is not None]
        for pid, stat in sorted(stats, key=lambda found: found[1].start_ticks):
            if stat.kthread:
                continue
            known = self._known.get(pid)
            if (known is not None and known.ticks == stat.start_ticks) or (pid, stat.start_ticks) in but:
                continue
            process = self._describer.describe(pid, stat)
            if process is not None and process.entity_id is not None:
                kept, user = spare(process), self._describer.user(pid)
                self._known[pid] = Known(stat.start_ticks, process.entity_id, kept, user, None, process.parent)
                kind, when = "state" if first else "event", process.start or clock.now()
                yield self.event("process_exec", when, kind=kind, process=process, user=user, replguard=AT_READ)


@lru_cache(maxsize=1024)
def _namespaces(mount: int, pid: int, network: int) -> Namespaces:
    return Namespaces(mount=mount, pid=pid, network=network)


def _record(data: bytes) -> tuple[Head, Exec | Act | None]:
    head = records.head(data)
    if head.kind == EXEC:
        return head, records.body(data)
    return head, records.act(data) if head.kind in (SIGNAL, ACCESS) else None


def _signal(number: int) -> str:
    """Return the name of a signal as `kill -l` shows it."""
    try:
        return signal.Signals(number).name.removeprefix("SIG")
    except ValueError:
        return str(number)


def _first_groups(root: str) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"{root}/self/ns/cgroup").stat().st_ino == _FIRST_CGROUPS
    return False


def open(config: Config) -> ExecSensor:  # noqa: A001 - the registry calls every sensor module alike
    """Return the sensor, after a trial: whoever asks learns at once whether it works. Raises Unavailable."""
    return tried(ExecSensor(config))
