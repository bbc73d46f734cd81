"""The heart: one raw event in, the same event with its actor and the facts that follow from it out."""

from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

import msgspec

from replguard.events.event import Event
from replguard.events.file import File
from replguard.events.hint import Hint
from replguard.provenance import actors, entry
from replguard.provenance.agents import Agents, Seen
from replguard.provenance.authority import Authority
from replguard.provenance.copies import Copies
from replguard.provenance.endpoints import Endpoints
from replguard.provenance.facts import fact, relabelled
from replguard.provenance.instances import Held, Instances
from replguard.provenance.ledger import Artefact, Ledger
from replguard.provenance.processes import Proc, ProcessTable, reaper
from replguard.provenance.serving import Serving
from replguard.weights.examiner import Examination, Request
from replguard.weights.inventory import Protected

REFEED = timedelta(hours=2)
"""How far back facts are fed again when a lineage is confirmed as an agent."""
ACCESS_AGAIN = timedelta(hours=1)
"""A use of weights is told again after none for this long."""
ADOPT_WITHIN = timedelta(seconds=15)
MAX_RECENT = 20_000


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
        self.copies = Copies(self.table, self.ledger, authority, self.agents, files, examine)
        self.serving = Serving(self.instances, authority, watch)
        self._own_pid = own_pid
        self._watch = watch
        self._index_ready = index_ready
        self._accesses: dict[tuple[str, str, str | None], datetime] = {}
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
        proc = self._proc(event)
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

    def _ours(self, proc: Proc) -> bool:
        """Whether the daemon itself, or its examiner, acted: it reads weights for a living."""
        return any(p.pid == self._own_pid and p.alive for p in proc.chain())

    def _enriched(self, event: Event, proc: Proc | None) -> Event:
        if event.action == "network_connection" and event.destination is not None:
            live = self.instances.at(event.destination.ip, event.destination.port)
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
        proc = self.table.exec(event)
        if proc is None:
            return [event]
        if self._ours(proc):
            return []
        if known is None and event.event.kind != "state":
            self._adopt(proc, event)
        facts: list[Event] = []
        if event.action == "process_exec" and not proc.executed:
            proc.executed = True
            facts = self._seen(self.agents.started(proc.parent, proc, event.timestamp), event)
        seen = [] if event.event.kind == "state" else [actors.enrich(event, proc)]
        return [*seen, *self._keep(facts)]

    def _adopt(self, proc: Proc, event: Event) -> None:
        """Give an orphan to the one agent that had just got a reply, where nothing else names who started it.

        A program that detached itself (setsid, double fork) is the adopter's by now. In the same control group, as the
        same user, seconds after a reply, it is most likely the agent's: a guess, and marked as one.
        """
        if proc.adopted or proc.parent is None or not reaper(proc.parent):
            return
        agents = [
            agent
            for agent in self.agents.recent(event.timestamp, ADOPT_WITHIN)
            if agent.process.cgroup == proc.process.cgroup and agent.user == proc.user
        ]
        if len(agents) == 1:
            proc.parent, proc.adopted = agents[0], True
            agents[0].children.add(proc.entity)

    def _child_unseen(self, event: Event, proc: Proc | None) -> list[Event]:
        """A child ran and ended between two polls; only its parent's accounting tells."""
        return self._seen(self.agents.started(proc, None, event.timestamp), event)

    def _ended(self, event: Event, proc: Proc | None) -> list[Event]:
        if proc is None:
            return []
        self.instances.gone(proc)
        return self._seen(self.agents.ended(proc, event.timestamp), event)

    def _connected(self, event: Event, proc: Proc | None) -> list[Event]:
        if proc is None or event.destination is None or (event.network and event.network.initiated is False):
            return []
        live = self.instances.at(event.destination.ip, event.destination.port)
        if live is None and not self.endpoints.covers(event.destination):
            return []
        if live is not None and (live.root is proc or proc.entity in self.instances.holders(live)):
            return []
        where = f"{event.destination.ip}:{event.destination.port}"
        for noted in self.agents.reply(proc, where, event.timestamp, live.generation if live else 1):
            self._watch(Hint(kind="process", pid=noted.pid, entity_id=noted.entity))
        return []

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
            self._recount(seen.proc)
            facts += self._again(seen.proc, cause.timestamp)
        return facts

    def _recount(self, agent: Proc) -> None:
        """An instance started by what turns out to be an agent is a replica, and no baseline covers it."""
        for live in self.instances.live.values():
            if any(p is agent for p in live.root.chain()):
                live.generation = max(live.generation, agent.generation + 1)

    def _again(self, agent: Proc, now: datetime) -> list[Event]:
        """Return the lineage's recent facts with the label they have earned."""
        facts = []
        for known in list(self._recent):
            proc = self.table.of(known.process)
            if proc is None or now - known.timestamp > REFEED or not any(p is agent for p in proc.chain()):
                continue
            facts.append(relabelled(known, proc))
        return facts

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
        self.ledger.touch(proc, known.model, event.timestamp)
        artefact = known.id if isinstance(known, Artefact) else None
        if mode in ("map", "memory"):
            self.instances.hold(proc, (file.device, file.inode), Held(known.model, known.path, artefact))
        return self._access(event, proc, known, file, mode)

    def _access(self, event: Event, proc: Proc, known: Protected | Artefact, file: File, mode: str) -> list[Event]:
        found = entry.find(proc)
        key = (f"{found.principal}#{found.proc.entity}", known.path, mode)
        last = self._accesses.get(key)
        self._accesses[key] = event.timestamp
        if last is not None and event.timestamp - last < ACCESS_AGAIN:
            return []
        if len(self._accesses) > MAX_RECENT:
            del self._accesses[next(iter(self._accesses))]
        allowed = self.authority.act(proc, found, "access", known.path, known.model, event.timestamp)
        artefacts = (known.id,) if isinstance(known, Artefact) else ()
        return [
            fact("weights_access", event, proc, authorised=allowed, model=known.model, mode=mode,
                 precision="mapped" if mode == "map" else "open", artefacts=artefacts,
                 file=msgspec.structs.replace(file, path=file.path or known.path))
        ]  # fmt: skip

    def _deleted(self, event: Event, _: Proc | None) -> list[Event]:
        if event.file is not None and (event.file.links or 0) == 0:
            self.ledger.gone(event.file)
        return []

    # -- serving -------------------------------------------------------------------------------------------------

    def _closed(self, event: Event, proc: Proc | None) -> list[Event]:
        self.serving.closed(event, proc)
        return []

    def _gpu(self, event: Event, proc: Proc | None) -> list[Event]:
        touched = proc is not None and self.ledger.touched(proc, None, event.timestamp, lambda p: entry.find(p).proc)
        return self.serving.memory(event, proc, touched=touched)

    def _shutdown(self, event: Event, proc: Proc | None) -> list[Event]:
        """A scheduled shutdown is a signal to every instance (meanings: serving_signal)."""
        return [
            fact("serving_signal", msgspec.structs.replace(event, target=live.root.process), proc, status="scheduled",
                 model=live.model)
            for live in self.instances.live.values()
        ]  # fmt: skip

    def _keep(self, facts: Iterable[Event]) -> list[Event]:
        kept = list(facts)
        self._recent.extend(f for f in kept if f.process is not None and not (f.replguard and f.replguard.relabelled))
        return kept


def _nothing(_: Event, __: Proc | None) -> list[Event]:
    return []
