"""The heart: one raw event in, the same event with its actor and the facts that follow from it out."""

from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from replguard.events.event import Event, Meta
from replguard.events.fact import Context
from replguard.events.hint import Hint
from replguard.provenance import actors, contained, entry
from replguard.provenance.adoption import Adoption
from replguard.provenance.agents import Agents, Seen
from replguard.provenance.authority import Authority
from replguard.provenance.copies import Copies
from replguard.provenance.desk import Desk
from replguard.provenance.egress import Egress, Settings
from replguard.provenance.endpoints import Endpoints, stays
from replguard.provenance.guard import Guard
from replguard.provenance.instances import GPU_MIN, Instances, kin
from replguard.provenance.labels import Labels
from replguard.provenance.ledger import Ledger
from replguard.provenance.memory import Memory
from replguard.provenance.planned import Planned
from replguard.provenance.processes import Proc, ProcessTable
from replguard.provenance.serving import Serving
from replguard.provenance.signals import Signals
from replguard.provenance.uses import Uses
from replguard.weights.examiner import Examination, Request
from replguard.weights.inventory import Protected

MOVES_INSTANCES = frozenset(
    {
        "process_exit",
        "file_open",
        "file_read",
        "file_map",
        "socket_listen",
        "socket_close",
        "socket_used",
        "process_joined",
        "gpu_usage",
    }
)
"""Kinds of events after which another process may hold, serve or wait than before."""
WRITES = frozenset({"file_create", "file_close_write", "file_rename"})
MAX_WRITERS = 1024
WROTE_WITHIN = timedelta(seconds=60)
"""How old the writing of a policy file may be when its change is noticed."""


class Provenance:
    """Wires lineage, labels, uses, copies and serving. Feed it raw events in order; its state is bounded."""

    def __init__(
        self,
        *,
        own: Collection[int],
        authority: Authority,
        endpoints: Endpoints,
        by_inode: Callable[[int, int], Protected | None],
        files: Callable[[], Iterable[Protected]],
        examine: Callable[[Request], object],
        watch: Callable[[Hint], None],
        index_ready: Callable[[], bool],
        counted: Callable[[int, int], bool] = lambda _, __: False,
        egress: Settings | None = None,
        remote: Callable[[str], tuple[str, str] | None] = lambda _: None,
        guarded: Callable[[str], str | None] = lambda _: None,
        state: Path | None = None,
        names: contained.Names | None = None,
        memory: Path | None = None,
    ) -> None:
        contained.Current.names = names or contained.Names()
        self.table, self.ledger = ProcessTable(), Ledger(by_inode)
        self.agents = Agents()
        self.planned = Planned(self.agents)
        self.adoption = Adoption(self.agents, self.planned)
        self.instances, self.authority = Instances(self.table), authority
        self.copies = Copies(self.table, self.ledger, authority, self.agents, files, examine, watch)
        self.signals = Signals(self.instances, authority)
        self.serving = Serving(self.instances, authority, watch)
        early, derived = self.copies.early, self.copies.derived
        self.uses = Uses(self.ledger, self.instances, authority, watch, counted, files, derived, early)
        self.labels = Labels(self.table, self.agents, self.instances, self.serving, authority, endpoints, watch)
        self.egress = Egress(egress or Settings(), self.instances, authority, files, remote)
        self.ledger.touching, self.serving.over = self.egress.touched, self.egress.answers.over
        self.guard, self.desk = Guard(own, guarded, watch), Desk(self.table, self.agents, state)
        self.memory = Memory(memory, self, self.table, self._ours)
        self._own, self._index_ready = own, index_ready
        self._writers: dict[str, tuple[Proc, datetime]] = {}
        self._steps = self._by_kind()

    def _by_kind(self) -> dict[str, Callable[[Event, Proc | None], list[Event]]]:
        """Return what each kind of event leads to."""
        return {
            "process_children": self._child_unseen,
            "process_exit": self._ended,
            "file_create": self.copies.named,
            "file_close_write": self._written,
            "file_grow": self._written,
            "file_link": self.copies.named,
            "file_rename": self.copies.named,
            "file_delete": lambda event, _: self.copies.deleted(event),
            "file_open": self.uses.opened,
            "file_read": self.uses.used,
            "file_map": self.uses.used,
            "network_connection": self._connected,
            "network_volume": self._sent,
            "socket_listen": self._listening,
            "socket_close": self._closed,
            "socket_used": self._used,
            "process_joined": self._joined,
            "gpu_usage": self._gpu,
            "host_mount": self.copies.mounted,
            "host_shutdown": self.signals.scheduled,
            "process_signal": self._signalled,
            "process_access": self._accessed,
            "control_request": self.desk.asked,
        }

    def feed(self, event: Event) -> list[Event]:
        """Return the event, enriched, then the facts that follow from it, in the order in which rules must see them."""
        action = event.event.action
        if action in ("process_exec", "process_fork"):
            return self._began(event)
        if action == "authority_change":
            return [self._authority_changed(event)]
        proc = self._proc(event) or self._met(event)
        if proc is not None and self._ours(proc):
            return []
        moves = action in MOVES_INSTANCES
        if action == "process_exit":
            moves = proc is not None and self.instances.concerns(proc)
        self.planned.wrote(event, proc)
        if proc is not None and event.file is not None and action in WRITES:
            self._wrote(event.file.path, proc, event.timestamp)
        facts = self._steps.get(action, _nothing)(event, proc) + self.guard.changed(event, proc)
        if moves:
            facts += self.serving.refresh(event)
        seen = [] if event.event.kind == "state" else [self._enriched(event, proc)]
        if action == "process_exit" and proc is not None:
            proc.place = None  # hardly anybody asks about it again, and tens of thousands that ended are remembered
        return [*seen, *self.labels.keep(facts)]

    def examined(self, result: Examination) -> list[Event]:
        """Return the facts that follow from what the examiner found."""
        return self.labels.keep([*self.copies.examined(result), *self._used_before()])

    def resume(self, now: datetime) -> None:
        """Go on with what was known before a start. To be called before anything is fed."""
        if self.memory.open(now):
            self.labels.resume()
            self.serving.resume(now)
        self.copies.resume()

    def tick(self, now: datetime) -> list[Event]:
        """Once a second: ask the examiner again, and return what is allowed no longer, or is now."""
        told = self._ticked(now)
        self.memory.save()
        return [*told, *self.memory.told(now)]

    def _ticked(self, now: datetime) -> list[Event]:
        self.copies.outline.stale()
        self.guard.look(self.table.by_pid)
        missed = self._missed(now)
        made = self.copies.tick(now, index_ready=self._index_ready())
        passed = Event(timestamp=now, event=Meta(action="sensor_health", provider="replguard"))
        made += self._used_before()
        made += self.serving.refresh(passed) if self.uses.fed(now) else []
        made += self.serving.settle(passed)
        kept = self.labels.keep([*made, *self.serving.review(passed)])
        return [*missed, *self.authority.baseline.tick(now), *self.egress.tick(now), *self.desk.tick(now), *kept]

    def _missed(self, now: datetime) -> list[Event]:
        """A moment after a start, return the facts of what ended since it was known."""
        ended = self.memory.ended(now)
        if ended is None:
            return []
        facts = [fact for event in ended for fact in self.feed(event)]
        self.copies.settle(now)
        return facts

    def end(self) -> list[Event]:
        """Return what egress would have told within seconds: the daemon ends, and its ledger is all that is kept."""
        told = self.egress.settle()
        self.memory.save(last=True)
        return told

    def _used_before(self) -> list[Event]:
        """Return what follows from uses of a file that was recognised only now."""
        facts: list[Event] = []
        for event, proc in self.copies.early.due():
            facts += self.uses.used(event, proc)
            facts += self.serving.refresh(event)
        return facts

    def drives(self, pid: int) -> bool | None:
        """Whether a model drives, or may drive, a process; None where it is not known and some model drives somebody.

        Called from other threads.
        """
        proc = self.table.by_pid(pid)
        if proc is None:
            return None if self.agents.any else False
        return self.agents.drives(proc) is not None

    def ancestors(self, entity: str) -> list[Event]:
        """Return a process and those above it up to its entry point: one event each, the nearest first."""
        proc = self.table.get(entity)
        return [] if proc is None else [actors.told(each) for each in entry.way(proc)]

    def _proc(self, event: Event) -> Proc | None:
        if event.action == "process_exit":
            return self.table.exit(event)
        return self.table.of(event.process)

    def _met(self, event: Event) -> Proc | None:
        """Get to know a process that another sensor saw first; that it was executed is still to be told."""
        section = event.process
        if event.action == "process_exit" or section is None or section.start is None or section.executable is None:
            return None
        return self.table.exec(event)

    def _ours(self, proc: Proc) -> bool:
        """Whether the daemon itself, or its examiner, acted: it reads weights for a living."""
        return any(above.pid in self._own and self.table.by_pid(above.pid) is above for above in proc.chain())

    def _enriched(self, event: Event, proc: Proc | None) -> Event:
        if event.action == "network_connection" and event.destination is not None:
            live = self.labels.endpoint_of(event)
            if live is not None:
                known = event.replguard or actors.context(None, None)
                about = msgspec.structs.replace(
                    known, model=live.model, generation=live.generation, artefacts=(live.id,)
                )
                if proc is not None:
                    about = msgspec.structs.replace(about, actor=actors.actor(proc))
                event = msgspec.structs.replace(event, replguard=about)
        if proc is None and event.process is None and not event.action.startswith(("file_", "network_", "gpu_")):
            return event
        return actors.enrich(event, proc)

    # -- processes and agents ------------------------------------------------------------------------------------

    def _began(self, event: Event) -> list[Event]:
        known = self.table.of(event.process)
        image, words = (known.process.executable, known.first_args) if known is not None else (None, ())
        proc = self.table.exec(event)
        if proc is None:
            return [event]
        if self._ours(proc):
            self.guard.ours(proc, event)
            return []
        self.adoption.began(proc, event)
        facts: list[Event] = []
        if event.action == "process_exec":
            self.copies.derived.pipes.started(proc)
        if event.action == "process_exec" and not proc.executed:
            proc.executed = True
            proc.spawned = event.event.kind != "state"
            if proc.spawned and not self._is_worker(proc):
                facts = self._seen(self.agents.started(proc.parent, proc, event.timestamp), event)
        if known is None and event.action == "process_fork":
            self.instances.forked(proc)
        if image is not None and (image, words) != (proc.process.executable, proc.first_args):
            facts += self._replaced(proc, event)
        seen = [] if event.event.kind == "state" else [actors.enrich(event, proc)]
        return [*seen, *self.labels.keep(facts)]

    def _replaced(self, proc: Proc, event: Event) -> list[Event]:
        """Return what follows from a program in place of another: it has not mapped what that one had."""
        if not self.instances.concerns(proc):
            return []
        self.instances.replaced(proc)
        return self.serving.refresh(event)

    def _is_worker(self, proc: Proc) -> bool:
        """Whether a child is the worker of a model server, whose start says nothing about who drives it."""
        live = self.instances.of(proc.parent) if proc.parent is not None else None
        return live is not None and proc.parent is not None and kin(proc.parent, proc)

    def _child_unseen(self, event: Event, proc: Proc | None) -> list[Event]:
        """A child ran and ended between two polls; only its parent's accounting tells."""
        return self._seen(self.agents.started(proc, None, event.timestamp), event)

    def _ended(self, event: Event, proc: Proc | None) -> list[Event]:
        if proc is None:
            return []
        self.uses.gone(proc)
        return self.serving.ended(event, proc) + self._seen(self.agents.ended(proc, event.timestamp), event)

    def _seen(self, seen: Seen | None, event: Event) -> list[Event]:
        """Return the facts of a label, and with it of what was done before it came."""
        facts = self.labels.seen(seen, event)
        return facts + self.egress.confirmed(seen.proc, event.timestamp) if seen and seen.confirmed else facts

    # -- files ---------------------------------------------------------------------------------------------------

    def _written(self, event: Event, proc: Proc | None) -> list[Event]:
        return self.copies.named(event, proc) + self.egress.wrote(event, proc)

    # -- serving -------------------------------------------------------------------------------------------------

    def _listening(self, event: Event, proc: Proc | None) -> list[Event]:
        if proc is not None and event.event.kind != "state":
            self.uses.listening(proc, event.timestamp)
        return self.serving.listening(event, proc)

    def _closed(self, event: Event, proc: Proc | None) -> list[Event]:
        self.serving.closed(event, proc)
        return []

    def _connected(self, event: Event, proc: Proc | None) -> list[Event]:
        if proc is not None and event.destination is not None:
            port = event.destination.port
            self.instances.connected(proc, port)
            if port is not None and stays(event):
                self.copies.derived.pipes.connected(proc, port, self.instances.at_port(port, calling=False))
            self.planned.connected(event, proc)
        return self.labels.connected(event, proc)

    def _sent(self, event: Event, proc: Proc | None) -> list[Event]:
        network, port = event.network, event.destination.port if event.destination is not None else None
        if proc is not None and network is not None and network.initiated and port is not None and stays(event):
            sinks = self.copies.derived.pipes.peers(proc, port) or self.instances.at_port(port, calling=False)
            self.copies.derived.sent(proc, sinks, network.bytes or 0, event.timestamp)
        return self.egress.sent(event, proc)

    def _used(self, event: Event, proc: Proc | None) -> list[Event]:
        holder, path = self.table.of(event.target), event.server.path if event.server else None
        if holder is not None and path is not None:
            idle = event.replguard is not None and event.replguard.status == "idle"
            self.instances.used(holder, path, proc, idle=idle)
        return []

    def _joined(self, event: Event, proc: Proc | None) -> list[Event]:
        holder = self.table.of(event.target)
        if holder is not None and proc is not None:
            near = event.replguard is not None and event.replguard.technique == "unix"
            self.instances.join(proc, holder, near=near)
        return []

    def _gpu(self, event: Event, proc: Proc | None) -> list[Event]:
        touched = proc is not None and self.ledger.touched(proc, None, event.timestamp, lambda p: entry.find(p).proc)
        memory = event.gpu.memory_bytes if event.gpu else None
        if proc is not None and memory is not None and memory >= GPU_MIN:
            self.uses.on_device(proc)
        return self.serving.memory(event, proc, touched=touched)

    def _wrote(self, path: str, proc: Proc, when: datetime) -> None:
        """Note who was seen to write a small text file: it may turn out to be what says what is allowed."""
        if not path.endswith((".yaml", ".yml")):
            return
        self._writers.pop(path, None)
        self._writers[path] = (proc, when)
        while len(self._writers) > MAX_WRITERS:
            del self._writers[next(iter(self._writers))]

    def _authority_changed(self, event: Event) -> Event:
        """Name who changed what is allowed, where a sensor saw the writer."""
        proc, when = self._writers.get(event.file.path, (None, None)) if event.file is not None else (None, None)
        if proc is None or when is None or event.timestamp - when > WROTE_WITHIN:
            return actors.enrich(event, None)
        about = msgspec.structs.replace(event.replguard or Context(), actor=None, attribution=None)
        return actors.enrich(msgspec.structs.replace(event, replguard=about), proc)

    def _signalled(self, event: Event, proc: Proc | None) -> list[Event]:
        target = self.table.of(event.target)
        return self.signals.sent(event, proc, target) + self.guard.signalled(event, proc, target)

    def _accessed(self, event: Event, proc: Proc | None) -> list[Event]:
        target = self.table.of(event.target)
        return self.uses.accessed(event, proc, target) + self.guard.accessed(event, proc, target)


def _nothing(_: Event, __: Proc | None) -> list[Event]:
    return []
