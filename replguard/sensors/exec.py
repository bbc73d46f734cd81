"""Processes, told by the kernel: each exec, fork and exit, by eBPF.

What it cannot see: arguments beyond 16 KiB (they are marked as cut); the invocation id of a unit whose first process
lived only milliseconds; which process of a container's own pid namespace a number inside it names (pids are the
host's). A fork that executes within the same 50 ms is told as the exec alone. When the ring overflows the loss is
counted and told, and the list of processes is read again.
"""

import contextlib
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import msgspec

from replguard.config import Config
from replguard.errors import Unavailable
from replguard.events import clock
from replguard.events.event import Event
from replguard.events.fact import Context
from replguard.events.identity import TICK
from replguard.events.process import Parent, Process, User, spare
from replguard.kernel import libbpf, machine, procfs
from replguard.kernel.bpf import process as records
from replguard.kernel.bpf.process import EXEC, FORK, Exec, Head
from replguard.kernel.procfs import PROC
from replguard.sensors.describe import Describer
from replguard.sensors.probed import KERNEL, Probed

AREA = "process"
TIER = "kernel"
REPLACES = frozenset({"process"})
_FIRST_CGROUPS = 0xEFFFFFFB
"""PROC_CGROUP_INIT_INO (include/linux/proc_ns.h): the inode of the first cgroup namespace."""
AT_READ = Context(tier="portable", read_time=True)


@dataclass(slots=True)
class _Known:
    entity: str
    process: Process
    user: User | None
    group: int | None
    """The kernel's id of its control group; None for one that was found at the start."""


class ExecSensor(Probed):
    """Makes process_exec, process_fork and process_exit, with the sections that the portable sensor makes."""

    name = "exec"
    area = AREA
    early = True
    blind = "arguments beyond 16 KiB are cut, and what a full ring drops is told as a loss."

    records = records

    def __init__(self, config: Config | None = None, root: str = PROC) -> None:
        super().__init__(config, root)
        self._known: dict[int, _Known] = {}
        self._begun = self._fresh = False

    def start(self) -> None:
        self._describer = Describer(self._root)
        self._own_groups = not _first_groups(self._root)
        self._hybrid = (procfs.read(f"{self._root}/self/cgroup") or b"").count(b"\n") != 1
        super().start()
        self._fresh = True

    def require(self, programs: libbpf.Programs) -> None:
        if "process_exec" in programs.missing:
            raise Unavailable(f"the kernel refuses the probe of exec ({programs.missing['process_exec']}).")

    def tick(self) -> Iterable[Event]:
        """The first look tells what runs already."""
        if self._fresh:
            yield from self._look(first=not self._begun)
            self._begun, self._fresh = True, False
        yield from super().tick()

    def after_loss(self) -> Iterable[Event]:
        return self._look()

    def decoded(self, taken: list[bytes]) -> Iterable[Event]:
        records = [one for one in map(self._decoded, taken) if one is not None]
        self._boot = self._describer.started(0)
        executed = {(head.pid, head.start) for head, body in records if body is not None}
        for head, body in records:
            if body is not None:
                yield self._executed(head, body)
            elif head.kind == FORK:
                yield from self._forked(head, told=(head.pid, head.start) not in executed)
            else:
                yield from self._ended(head)

    def _decoded(self, record: bytes) -> tuple[Head, Exec | None] | None:
        try:
            head = records.head(record)
            return head, records.body(record) if head.kind == EXEC else None
        except struct.error:
            self.counters.lose("decode", "malformed")
            return None

    def _executed(self, head: Head, body: Exec) -> Event:
        """Tell of an exec. The parent is the one that forked, also after the process was handed to init."""
        entity = self._describer.entity(head.pid, head.ticks)
        known = self._known.get(head.pid)
        if known is not None and known.entity != entity:
            known = None
        parent = known.process.parent if known else self._parent(head.parent, head.parent_ticks)
        args, cut = body.args, body.truncated
        if args is None:
            args, cut = (procfs.cmdline(head.pid, self._root) if self._lives(head) else None) or ((), True)
        folder, group = body.working_directory, self._group(head, body.cgroup, known.process.cgroup if known else None)
        process = Process(
            pid=head.pid,
            entity_id=entity,
            start=self._boot + timedelta(seconds=head.ticks * TICK),
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
            invocation_id=self._invocation(head, known, group),
            parent=parent,
        )
        user = self._describer.named(head.uid, body.loginuid)
        self._known[head.pid] = _Known(entity, spare(process), user, head.cgroup)
        return self.event("process_exec", self.at(head.when), process=process, user=user, replguard=KERNEL)

    def _forked(self, head: Head, *, told: bool) -> Iterator[Event]:
        """Note a child: until it executes it is what its parent is. Not told when its exec follows at once."""
        entity = self._describer.entity(head.pid, head.ticks)
        known, above = self._known.get(head.pid), self._known.get(head.parent)
        if known is not None and known.entity == entity:
            self.counters.skip()
            return
        process = above.process if above else self._describer.describe(head.pid) or Process()
        group = process.cgroup
        if above is not None and above.group not in (None, head.cgroup):
            group = self._group(head, None, group)
        process = msgspec.structs.replace(
            process,
            pid=head.pid,
            entity_id=entity,
            start=self._boot + timedelta(seconds=head.ticks * TICK),
            cgroup=group,
            parent=self._parent(head.parent, head.parent_ticks),
        )
        user = self._describer.named(head.uid, above.user.audit if above and above.user else None)
        self._known[head.pid] = _Known(entity, process, user, head.cgroup)
        if told:
            yield self.event("process_fork", self.at(head.when), process=process, user=user, replguard=KERNEL)
        else:
            self.counters.skip()

    def _ended(self, head: Head) -> Iterator[Event]:
        known = self._known.get(head.pid)
        if known is None or known.entity != self._describer.entity(head.pid, head.ticks):
            self.counters.skip()  # the second of two threads that ended together, or told already
            return
        del self._known[head.pid]
        process = msgspec.structs.replace(known.process, exit_code=head.exit_code)
        yield self.event("process_exit", self.at(head.when), process=process, user=known.user, replguard=KERNEL)

    def _parent(self, pid: int, ticks: int) -> Parent | None:
        if pid == 0:
            return None
        entity = self._describer.entity(pid, ticks)
        known = self._known.get(pid)
        if known is None or known.entity != entity:
            stat = procfs.stat(pid, self._root)
            named = stat is not None and stat.start_ticks == ticks
            return Parent(pid=pid, entity_id=entity, name=stat.comm if stat and named else None)
        p = known.process
        return Parent(pid=pid, entity_id=entity, executable=p.executable, command_line=p.command_line, name=p.name)

    def _lives(self, head: Head) -> bool:
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
        found = procfs.cgroup(head.pid, self._root)
        return found if found is not None and self._lives(head) else inherited

    def _invocation(self, head: Head, known: _Known | None, group: str | None) -> str | None:
        """Return systemd's id of the run: its parent's while the control group is the same, which is what it names."""
        if known is not None and known.process.cgroup == group:
            return known.process.invocation_id
        found = procfs.invocation_id(head.pid, self._root)
        return found if found is not None and self._lives(head) else None

    def _look(self, *, first: bool = False) -> Iterator[Event]:
        """Compare with the list of processes: what is there and was not told, and the other way round."""
        listed = machine.pids(self._root)
        for pid in self._known.keys() - set(listed):
            gone = self._known.pop(pid)
            yield self.event("process_exit", clock.now(), process=gone.process, user=gone.user, replguard=AT_READ)
        for pid in listed:
            stat = procfs.stat(pid, self._root)
            if stat is None or stat.kthread:
                continue
            entity, known = self._describer.entity(pid, stat.start_ticks), self._known.get(pid)
            if known is not None and known.entity == entity:
                continue
            process = self._describer.describe(pid, stat)
            if process is not None:
                user = self._describer.user(pid)
                self._known[pid] = _Known(entity, spare(process), user, None)
                kind, when = "state" if first else "event", process.start or clock.now()
                yield self.event("process_exec", when, kind=kind, process=process, user=user, replguard=AT_READ)


def _first_groups(root: str) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"{root}/self/ns/cgroup").stat().st_ino == _FIRST_CGROUPS
    return False


def open(config: Config) -> ExecSensor:  # noqa: A001 - the registry calls every sensor module alike
    """Return the sensor, after a trial: whoever asks learns at once whether it works. Raises Unavailable."""
    sensor = ExecSensor(config)
    try:
        sensor.start()
    except OSError as error:
        raise Unavailable(f"eBPF does not work here: {error}.") from error
    finally:
        sensor.stop()
    return sensor
