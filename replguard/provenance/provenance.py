"""The heart: one raw event in, the same event with its actor and the facts that follow from it out."""

from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

import msgspec

from replguard.events.event import Event
from replguard.events.fact import Context
from replguard.events.file import File
from replguard.events.hint import Hint
from replguard.provenance import actors, entry
from replguard.provenance.agents import Agents, Seen
from replguard.provenance.authority import Authority
from replguard.provenance.copies import Copies
from replguard.provenance.endpoints import Endpoints
from replguard.provenance.facts import fact, relabelled
from replguard.provenance.instances import GPU_MIN, Held, Instances, Live, kin
from replguard.provenance.ledger import Artefact, Inode, Ledger
from replguard.provenance.manifest import May
from replguard.provenance.processes import Proc, ProcessTable, reaper
from replguard.provenance.serving import Serving, endpoint
from replguard.weights.examiner import Examination, Request
from replguard.weights.inventory import Protected

REFEED = timedelta(hours=2)
"""How far back facts are fed again when a lineage is confirmed as an agent."""
ACCESS_AGAIN = timedelta(hours=1)
"""A use of weights is told again after none for this long."""
ADOPT_WITHIN = timedelta(seconds=15)
TOUCH_BYTES, TOUCH_SHARE = 16 * 2**20, 0.1
"""A read of less of a file does not touch it, where a source tells how much (meanings: Touched)."""
MAX_RECENT = 20_000
_MAY: dict[str, May] = {"weights_access": "access", "weights_copy": "copy", "weights_arrival": "copy"}


class Provenance:
    """Wires lineage, agents, copies and serving. Feed it raw events in order; its state is bounded."""

    def __init__(
        self,
        *,
        own_pid: int,
        authority: Authority,
        endpoints: Endpoints,
        by_inode: Callable[[int, int], Protected | None],
        files: Callable[[], Iterable[Protected]],
        examine: Callable[[Request], object],
        watch: Callable[[Hint], None],
        index_ready: Callable[[], bool],
    ) -> None:
        self.table = ProcessTable()
        self.ledger = Ledger(by_inode)
        self.agents = Agents()
        self.instances = Instances(self.table)
        self.authority = authority
        self.endpoints = endpoints
        self.copies = Copies(self.table, self.ledger, authority, self.agents, files, examine, watch)
        self.serving = Serving(self.instances, authority, watch)
        self._own_pid = own_pid
        self._watch = watch
        self._index_ready = index_ready
        self._accesses: dict[tuple[str, str, str | None], datetime] = {}
        self._readers: dict[str, dict[Inode, Held]] = {}
        self._recent: deque[Event] = deque(maxlen=MAX_RECENT)
        self._steps: dict[str, Callable[[Event, Proc | None], list[Event]]] = {
            "process_children": self._child_unseen,
            "process_exit": self._ended,
            "file_create": self.copies.named,
            "file_close_write": self.copies.named,
            "file_grow": self.copies.named,
            "file_link": self.copies.named,
            "file_rename": self.copies.named,
            "file_delete": self._deleted,
            "file_open": self._used,
            "file_map": self._used,
            "network_connection": self._connected,
            "socket_listen": self.serving.listening,
            "socket_close": self._closed,
            "gpu_usage": self._gpu,
            "host_shutdown": self._shutdown,
        }
        self._moves_instances = {"process_exit", "file_open", "file_map", "socket_listen", "socket_close", "gpu_usage"}

    def feed(self, event: Event) -> list[Event]:
        """Return the event, enriched, then the facts that follow from it, in the order in which rules must see them."""
        if event.action in ("process_exec", "process_fork"):
            return self._began(event)
        proc = self._proc(event) or self._met(event)
        if proc is not None and self._ours(proc):
            return []
        facts = self._steps.get(event.action, _nothing)(event, proc)
        if event.action in self._moves_instances:
            facts += self.serving.refresh(event)
        seen = [] if event.event.kind == "state" else [self._enriched(event, proc)]
        return [*seen, *self._keep(facts)]

    def examined(self, result: Examination) -> list[Event]:
        """Return the facts that follow from what the examiner found."""
        return self._keep(self.copies.examined(result))

    def tick(self) -> None:
        """Once a second: look again at what the index could not answer yet, and keep the baseline on disk."""
        if self._index_ready():
            self.copies.retry()
        self.authority.baseline.save()

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
        return any(p.pid == self._own_pid and p.alive for p in proc.chain())

    def _enriched(self, event: Event, proc: Proc | None) -> Event:
        if event.action == "network_connection" and event.destination is not None:
            live = self._endpoint(event)
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
        image = known.process.executable if known is not None else None
        proc = self.table.exec(event)
        if proc is None:
            return [event]
        if self._ours(proc):
            return []
        if not proc.executed and event.event.kind != "state":
            self._adopt(proc, event)
        facts: list[Event] = []
        if event.action == "process_exec" and not proc.executed:
            proc.executed = True
            proc.spawned = event.event.kind != "state"
            if proc.spawned and not self._is_worker(proc):
                facts = self._seen(self.agents.started(proc.parent, proc, event.timestamp), event)
        if image not in (None, proc.process.executable):
            self.instances.replaced(proc)
            facts += self.serving.refresh(event)
        seen = [] if event.event.kind == "state" else [actors.enrich(event, proc)]
        return [*seen, *self._keep(facts)]

    def _is_worker(self, proc: Proc) -> bool:
        """Whether a child is the worker of a model server, whose start says nothing about who drives it."""
        live = self.instances.of(proc.parent) if proc.parent is not None else None
        return live is not None and proc.parent is not None and kin(proc.parent, proc)

    def _adopt(self, proc: Proc, event: Event) -> None:
        """Give an orphan to the one agent that had just got a reply, where nothing else names who started it.

        A program that detached itself (setsid, double fork) is the adopter's by now. In the same control group, as the
        same user, seconds after a reply, it is most likely the agent's: a guess, and marked as one.
        """
        if proc.parent is None or not (proc.adopted or reaper(proc.parent)):
            return
        recent = self.agents.recent(event.timestamp, ADOPT_WITHIN)
        if proc.adopted:
            self._readopt(proc, recent)
            return
        agents = [a for a in recent if a.process.cgroup == proc.process.cgroup and a.user == proc.user]
        if len(agents) == 1:
            _give(proc, agents[0])

    def _readopt(self, proc: Proc, recent: list[Proc]) -> None:
        """Give an orphan of a session with several agents to the one answered last: a replica's agent shares it.

        The session named its leader, which may be the agent that started the replica's agent and is no longer acting.
        """
        session = proc.process.session_id
        mates = [agent for agent in recent if agent.process.session_id == session and agent is not proc]
        if mates and mates[0] is not proc.parent and any(p is proc.parent for p in mates[0].chain()):
            _give(proc, mates[0])

    def _child_unseen(self, event: Event, proc: Proc | None) -> list[Event]:
        """A child ran and ended between two polls; only its parent's accounting tells."""
        return self._seen(self.agents.started(proc, None, event.timestamp), event)

    def _ended(self, event: Event, proc: Proc | None) -> list[Event]:
        if proc is None:
            return []
        self._readers.pop(proc.entity, None)
        return self.serving.ended(event, proc) + self._seen(self.agents.ended(proc, event.timestamp), event)

    def _connected(self, event: Event, proc: Proc | None) -> list[Event]:
        if proc is None or event.destination is None or (event.network and event.network.initiated is False):
            return []
        live = self._endpoint(event)
        if live is None and not self.endpoints.covers(event.destination):
            return []
        if live is not None and (live.root is proc or proc.entity in live.holders):
            return []
        where = f"{event.destination.ip}:{event.destination.port}"
        for noted in self.agents.reply(proc, where, event.timestamp, live.generation if live else 1):
            self._watch(Hint(kind="process", pid=noted.pid, entity_id=noted.entity))
        return []

    def _endpoint(self, event: Event) -> Live | None:
        """Return the instance that a connection goes to."""
        end, source = event.destination, event.source.ip if event.source else None
        return self.instances.at(end.ip, end.port, source) if end is not None else None

    def _seen(self, seen: Seen | None, cause: Event) -> list[Event]:
        if seen is None:
            return []
        cause = msgspec.structs.replace(cause, process=seen.proc.process, file=None)
        status = "confirmed" if seen.confirmed else "suspected"
        facts = [
            fact("agent_seen", cause, seen.proc, status=status, turns=seen.turns, endpoint=seen.endpoint,
                 generation=seen.proc.generation)
        ]  # fmt: skip
        if seen.confirmed:
            facts += self._recount(seen.proc, cause)
            facts += self._again(seen.proc, cause.timestamp)
        return facts

    def _recount(self, agent: Proc, cause: Event) -> list[Event]:
        """An instance started by what turns out to be an agent is a replica, and no baseline covers it."""
        for live in sorted(self.instances.live.values(), key=lambda live: live.root.since):
            if not any(p is agent for p in live.root.chain()):
                continue
            self.serving.generate(live)
            for driven in (proc for proc in self.table if proc.confirmed_agent):
                end = endpoint(self.agents.driven_by(driven))
                if end is not None and self.instances.at(end.ip, end.port) is live:
                    driven.generation = max(driven.generation, live.generation)
        return self.serving.refresh(cause)  # an agent launches no workers: what hung on it is a server of its own now

    def _again(self, agent: Proc, now: datetime) -> list[Event]:
        """Return the lineage's recent facts with the label they have earned."""
        facts = []
        for place, known in enumerate(self._recent):
            proc = self.table.of(known.process)
            if proc is None or now - known.timestamp > REFEED or not any(p is agent for p in proc.chain()):
                continue
            if known.replguard is None or known.replguard.actor is None or known.replguard.actor.agent:
                continue
            facts.append((place, self._labelled(known, proc)))
        for place, fed in facts:
            self._recent[place] = fed
        return [fed for _, fed in facts]

    def _labelled(self, known: Event, proc: Proc) -> Event:
        """Return a fact with the label: whether it is allowed is asked anew, for an agent inherits nothing."""
        before = known.replguard or Context()
        if known.action == "server_live":
            return self.serving.relabelled(known, proc)
        may = _MAY.get(known.action)
        path = before.origin.path if before.origin is not None else known.file.path if known.file is not None else None
        if may is None or path is None or before.model is None:
            return relabelled(known, proc)
        found = entry.find(proc)
        return relabelled(known, proc, self.authority.act(proc, found, may, path, before.model, known.timestamp))

    # -- files ---------------------------------------------------------------------------------------------------

    def _used(self, event: Event, proc: Proc | None) -> list[Event]:
        """A protected file, or a copy of one, was opened or mapped."""
        file = event.file
        known = self.ledger.protected(file) or self.ledger.artefact(file)
        if known is None or file is None or file.device is None or file.inode is None:
            return []
        if proc is None:
            self.ledger.opened((file.device, file.inode), event.timestamp)
            return []
        given = event.replguard
        mode = given.mode if given and given.mode else ("map" if event.action == "file_map" else "read")
        amount = given.bytes if given else None
        if amount is not None and amount < min(TOUCH_BYTES, TOUCH_SHARE * (file.size or 0)):
            return []
        self.ledger.touch(proc, known.model, event.timestamp)
        made = self.ledger.name(file.path) or known
        artefact = made.id if isinstance(made, Artefact) else None
        inode, held = (file.device, file.inode), Held(known.model, known.path, artefact)
        if mode in ("map", "memory") or (amount is not None and amount >= (file.size or 0) / 2):
            self.instances.hold(proc, inode, held)
        elif mode == "read":
            self._read(proc, inode, held, file)
        return self._access(event, proc, known, file, mode)

    def _read(self, proc: Proc, inode: Inode, held: Held, file: File) -> None:
        """Note an open for reading. How much was read nobody says on this tier; what the reader keeps tells later."""
        self._readers.setdefault(proc.entity, {})[inode] = held
        while len(self._readers) > MAX_RECENT:
            del self._readers[next(iter(self._readers))]
        self._watch(
            Hint(kind="reader", pid=proc.pid, entity_id=proc.entity, path=file.path, device=file.device,
                 inode=file.inode, size=file.size)
        )  # fmt: skip

    def _access(self, event: Event, proc: Proc, known: Protected | Artefact, file: File, mode: str) -> list[Event]:
        found = entry.find(proc)
        key = (f"{found.principal}#{found.proc.entity}", known.path, mode)
        last = self._accesses.pop(key, None)
        self._accesses[key] = event.timestamp
        if last is not None and event.timestamp - last < ACCESS_AGAIN:
            return []
        if len(self._accesses) > MAX_RECENT:
            del self._accesses[next(iter(self._accesses))]
        self._learn(proc, found, known.model, event.timestamp)
        allowed = self.authority.act(proc, found, "access", known.path, known.model, event.timestamp)
        artefacts = (known.id,) if isinstance(known, Artefact) else ()
        return [
            fact("weights_access", event, proc, authorised=allowed, model=known.model, mode=mode,
                 precision="mapped" if mode == "map" else "open", artefacts=artefacts,
                 file=msgspec.structs.replace(file, path=file.path or known.path))
        ]  # fmt: skip

    def _learn(self, proc: Proc, found: entry.Entry, model: str, now: datetime) -> None:
        """Take who used a model before the daemon first came into the baseline: it is what the day looks like here."""
        baseline = self.authority.baseline
        if found.kind != "agent" and baseline.collecting(now) and baseline.before(proc.since):
            baseline.take(found.principal, model, 0, now)

    def _deleted(self, event: Event, _: Proc | None) -> list[Event]:
        if event.file is not None:
            self.ledger.gone(event.file)
        return []

    # -- serving -------------------------------------------------------------------------------------------------

    def _closed(self, event: Event, proc: Proc | None) -> list[Event]:
        self.serving.closed(event, proc)
        return []

    def _gpu(self, event: Event, proc: Proc | None) -> list[Event]:
        touched = proc is not None and self.ledger.touched(proc, None, event.timestamp, lambda p: entry.find(p).proc)
        memory = event.gpu.memory_bytes if event.gpu else None
        if proc is not None and memory is not None and memory >= GPU_MIN:
            # Weights that were read and then moved to the device are held there; the file is closed by now.
            for inode, held in self._readers.get(proc.entity, {}).items():
                self.instances.hold(proc, inode, held)
        return self.serving.memory(event, proc, touched=touched)

    def _shutdown(self, event: Event, proc: Proc | None) -> list[Event]:
        """A scheduled shutdown is a signal to every instance (meanings: serving_signal); a cancelled one is none."""
        if event.replguard is not None and event.replguard.status == "cancelled":
            return []
        return [
            fact("serving_signal", msgspec.structs.replace(event, target=live.root.process), proc, status="scheduled",
                 model=live.model)
            for live in self.instances.live.values()
        ]  # fmt: skip

    def _keep(self, facts: Iterable[Event]) -> list[Event]:
        kept = list(facts)
        self._recent.extend(fact for fact in kept if fact.process is not None and _to_relabel(fact))
        return kept


def _to_relabel(fact: Event) -> bool:
    """Whether a label that comes later would change a fact; `agent_seen` is the label itself."""
    about = fact.replguard
    return fact.action != "agent_seen" and not (about and (about.relabelled or (about.actor and about.actor.agent)))


def _nothing(_: Event, __: Proc | None) -> list[Event]:
    return []


def _give(proc: Proc, parent: Proc) -> None:
    if proc.parent is not None:
        proc.parent.children.discard(proc.entity)
    proc.parent, proc.adopted = parent, True
    parent.children.add(proc.entity)
