"""Labels: who becomes known as an agent, and what that makes of the facts told before."""

from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

import msgspec

from replguard.events.event import Event
from replguard.events.fact import Context
from replguard.events.hint import Hint
from replguard.provenance import entry
from replguard.provenance.agents import Agents, Seen
from replguard.provenance.authority import Authority
from replguard.provenance.endpoints import Endpoints
from replguard.provenance.facts import fact, relabelled
from replguard.provenance.instances import Instances, Live
from replguard.provenance.manifest import May
from replguard.provenance.processes import Proc, ProcessTable
from replguard.provenance.serving import Serving, endpoint

REFEED = timedelta(hours=2)
"""How far back facts are fed again when a lineage is confirmed as an agent."""
MAX_RECENT = 20_000
_MAY: dict[str, May] = {"weights_access": "access", "weights_copy": "copy", "weights_arrival": "copy"}


class Labels:
    """Notes replies from inference endpoints, tells `agent_seen`, and feeds recent facts again with a new label."""

    def __init__(
        self,
        table: ProcessTable,
        agents: Agents,
        instances: Instances,
        serving: Serving,
        authority: Authority,
        endpoints: Endpoints,
        watch: Callable[[Hint], None],
    ) -> None:
        self._table = table
        self._agents = agents
        self._instances = instances
        self._serving = serving
        self._authority = authority
        self._endpoints = endpoints
        self._watch = watch
        self._recent: deque[Event] = deque(maxlen=MAX_RECENT)

    def connected(self, event: Event, proc: Proc | None) -> list[Event]:
        """Take a connection, or a reply on one, as what may drive the process that has it."""
        if proc is None or event.destination is None or not _answered(event):
            return []
        live = self.endpoint_of(event)
        if live is None and not self._endpoints.covers(event.destination):
            return []
        if live is not None and (live.root is proc or proc.entity in live.holders):
            return []
        inode = event.network.inode if event.network else None
        where = f"{event.destination.ip}:{event.destination.port}"
        generation, server, driver = (live.generation, live.root, live.id) if live else (1, None, None)
        for noted in self._agents.reply(proc, where, event.timestamp, generation, inode, server, driver):
            self._watch(Hint(kind="process", pid=noted.pid, entity_id=noted.entity))
        return []

    def resume(self) -> None:
        """After a start, have watched who may be an agent."""
        for proc in self._agents.candidates():
            self._watch(Hint(kind="process", pid=proc.pid, entity_id=proc.entity))

    def endpoint_of(self, event: Event) -> Live | None:
        """Return the instance that a connection goes to."""
        end, source = event.destination, event.source.ip if event.source else None
        return self._instances.at(end.ip, end.port, source) if end is not None else None

    def seen(self, seen: Seen | None, cause: Event) -> list[Event]:
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
        for live in sorted(self._instances.live.values(), key=lambda live: live.root.since):
            if not any(p is agent for p in live.root.chain()):
                continue
            self._serving.generate(live)
            for driven in (proc for proc in self._table if proc.confirmed_agent):
                end = endpoint(self._agents.driven_by(driven))
                if end is not None and self._instances.at(end.ip, end.port) is live:
                    driven.generation, driven.driver = max(driven.generation, live.generation), live.id
        return self._serving.refresh(cause)  # an agent launches no workers: what hung on it is a server of its own now

    def _again(self, agent: Proc, now: datetime) -> list[Event]:
        """Return the lineage's recent facts with the label they have earned."""
        facts = []
        for place, known in enumerate(self._recent):
            proc = self._table.of(known.process)
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
            return self._serving.relabelled(known, proc)
        may = _MAY.get(known.action)
        path = before.origin.path if before.origin is not None else known.file.path if known.file is not None else None
        if may is None or path is None or before.model is None:
            return relabelled(known, proc)
        found = entry.find(proc)
        return relabelled(known, proc, self._authority.act(proc, found, may, path, before.model, known.timestamp))

    def keep(self, facts: Iterable[Event]) -> list[Event]:
        kept = list(facts)
        if not kept:
            return kept
        self._recent.extend(fact for fact in kept if fact.process is not None and _to_relabel(fact))
        return kept


def _answered(event: Event) -> bool:
    """Whether a connection was opened here and may have been answered.

    Where a sensor tells replies apart it says of a connection that nothing came back yet; elsewhere nobody knows, and
    each counts.
    """
    if event.network is not None and (event.network.initiated is False or event.network.bytes == 0):
        return False
    return event.replguard is None or event.replguard.status not in ("refused", "failed")


def _to_relabel(fact: Event) -> bool:
    """Whether a label that comes later would change a fact; `agent_seen` is it, and the egress ledger counts anew."""
    about = fact.replguard
    return fact.action not in ("agent_seen", "weights_egress") and not (
        about and (about.relabelled or (about.actor and about.actor.agent))
    )
