"""Serving: facts about instances, their listeners and their device memory."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

import msgspec

from replguard.events.event import Event, Meta
from replguard.events.fact import Authorised, Context, Instance
from replguard.events.hint import Hint
from replguard.events.network import Endpoint, listener
from replguard.provenance import entry
from replguard.provenance.authority import Authority, Leave
from replguard.provenance.endpoints import LOOPBACK
from replguard.provenance.entry import Entry
from replguard.provenance.facts import fact, relabelled
from replguard.provenance.instances import GPU_MIN, Instances, Live
from replguard.provenance.processes import Proc


class _Judged(NamedTuple):
    """What allows an instance now; ``leave`` would if there were not more of them, ``total`` counts these."""

    authorised: Authorised | None
    leave: Leave | None
    total: int
    over: bool


LOOKED = timedelta(seconds=20)
"""How long after a start every sensor has told what it found at its first look."""
ANY = ("0.0.0.0", "::", "*")  # noqa: S104 - compared with, never bound
"""Addresses of a listener that takes connections to any address of the host."""


class Serving:
    """Turns listeners, holders and device memory into `server_live`, `network_listen` and `gpu_memory`."""

    def __init__(self, instances: Instances, authority: Authority, watch: Callable[[Hint], None]) -> None:
        self._instances = instances
        self._authority = authority
        self._watch = watch
        self.over: Callable[[Live, datetime], None] = lambda _, __: None
        """Told of each instance that has ended."""
        self._memory: dict[tuple[str, str | None], int] = {}
        self._watched: set[str] = set()
        self._unsure: set[tuple[str, str]] = set()
        self._until: datetime | None = None
        self._named: dict[str, set[str]] = {"holder": set(), "listener": set()}

    def listening(self, event: Event, proc: Proc | None) -> list[Event]:
        """Return the facts of a new listener."""
        address = _address(event.server)
        if proc is None or address is None:
            return []
        self._unsure.discard((proc.entity, address))
        if _accepts(event, address):
            self._instances.listen(proc, address)
        if event.event.kind == "state":
            return []
        port = event.server.port if event.server else None
        allowed = self._authority.means(proc, entry.find(proc), event.timestamp, port)
        return [fact("network_listen", event, proc, authorised=allowed, exposed=_exposed(event.server))]

    def resume(self, now: datetime) -> None:
        """After a start, have watched where instances listen, and who belongs to them."""
        self._unsure = {(who, where) for who, all_of in self._instances.doors().items() for where in all_of}
        self._until = now + LOOKED
        for live in self._instances.live.values():
            self._hint(live, drop=False)
        self._members()

    def settle(self, cause: Event) -> list[Event]:
        """Forget the listeners of before a start that no sensor found again since, and return what follows."""
        if not self._unsure or self._until is None or cause.timestamp < self._until:
            return []
        for entity, address in self._unsure:
            if (proc := self._instances.process(entity)) is not None:
                self._instances.unlisten(address, proc)
        self._unsure.clear()
        return self.refresh(cause)

    def closed(self, event: Event, proc: Proc | None) -> None:
        """Note that a listener is gone."""
        address = _address(event.server)
        if address is not None:
            self._instances.unlisten(address, proc)

    def memory(self, event: Event, proc: Proc | None, *, touched: bool) -> list[Event]:
        """Return `gpu_memory` when device memory first passes 256 MiB, at each doubling, and when it is gone."""
        if proc is None or event.gpu is None or event.gpu.memory_bytes is None:
            return []
        amount, key = event.gpu.memory_bytes, (proc.entity, event.gpu.id)
        self._instances.gpu(proc, event.gpu.id, amount)
        said = self._memory.get(key, 0)
        if amount >= max(GPU_MIN, 2 * said):
            self._memory[key] = amount
            status = "claimed" if not said else "doubled"
        elif said and not amount:
            del self._memory[key]
            status = "released"
        else:
            return []
        allowed = self._authority.means(proc, entry.find(proc), event.timestamp)
        return [fact("gpu_memory", event, proc, authorised=allowed, bytes=amount, touched=touched, status=status)]

    def ended(self, event: Event, proc: Proc) -> list[Event]:
        """Return `gpu_memory` for the device memory that a process gave back by ending."""
        self._instances.gone(proc)
        held = [key for key in self._memory if key[0] == proc.entity]
        return [
            fact("gpu_memory", event, proc, bytes=0, status="released")
            for key in held
            if self._memory.pop(key) is not None
        ]

    def refresh(self, cause: Event) -> list[Event]:
        """Return the facts of instances that began, changed or ended by what ``cause`` told."""
        began, changed, ended = self._instances.refresh()
        for live in self._instances.live.values():
            if live.counted is not live.root:
                self.generate(live)
        facts = [made for live in began for made in self._began(live, cause)]
        for live in changed:
            self._hint(live, drop=False)
            facts.append(self._say(live, cause, "changed"))
        facts += [self._say(live, cause, "ended") for live in ended]
        for live in ended:
            self._hint(live, drop=True)
            self.over(live, cause.timestamp)
        self._members()
        return facts + (self.review(cause) if ended else [])

    def review(self, cause: Event) -> list[Event]:
        """Return the facts of instances that are allowed now and were not, or no longer are.

        Entries change and expire, and where one of too many ends there is room for the next.
        """
        leaves = self._leaves(cause.timestamp)
        return [
            self._say(live, cause, "changed")
            for live in self._instances.live.values()
            if self._judge(live, leaves).authorised != live.leave
        ]

    def _members(self) -> None:
        """Have the members of instances watched, for who signals them and who reads their memory.

        Who holds weights and who listens is looked at too: what joins them is not seen in either of them alone.
        """
        self._name("holder", self._instances.asked())
        self._name("listener", set(self._instances.doors()))
        serving = {entity for live in self._instances.live.values() for entity in live.members}
        for entity in serving ^ self._watched:
            proc = self._instances.process(entity)
            if proc is not None and (entity in serving or not proc.confirmed_agent):
                self._watch(Hint(kind="process", pid=proc.pid, entity_id=entity, drop=entity not in serving))
        self._watched = serving

    def _name(self, kind: Literal["holder", "listener"], known: set[str]) -> None:
        for entity in known - self._named[kind]:
            if (proc := self._instances.process(entity)) is not None and proc.alive:
                self._watch(Hint(kind=kind, pid=proc.pid, entity_id=entity))
        self._named[kind] = known

    def _began(self, live: Live, cause: Event) -> list[Event]:
        self._hint(live, drop=False)
        self._learn(live, entry.find(live.root), cause.timestamp)
        return [self._say(live, cause, "live")]

    def generate(self, live: Live) -> None:
        """Tell the generation of an instance from who started it, and keep it on its root for what that starts."""
        live.generation, live.counted = generation(live.root), live.root
        if self._instances.serves(live):
            live.root.serves = live.generation

    def relabelled(self, known: Event, proc: Proc) -> Event:
        """Return what was said of an instance with the label that its starter has earned since."""
        before = known.replguard or Context()
        live = self._instances.live.get(before.instance.id) if before.instance else None
        if live is None or before.instance is None:
            return relabelled(known, proc, generation=generation(proc))
        judged = self._judge(live, self._leaves(known.timestamp))
        authorised = live.leave = judged.authorised if before.status != "over_limit" else None
        section = msgspec.structs.replace(
            before.instance,
            deployment=authorised.entry if authorised else None,
            max_instances=judged.leave.limit if judged.leave else None,
        )
        return relabelled(known, proc, authorised, generation=live.generation, instance=section)

    def _learn(self, live: Live, found: Entry, now: datetime) -> None:
        """Take into the baseline what was there before us, or what a service starts while the baseline is collected.

        What a session or an unknown starts later is told, not learnt: that is what a replica looks like.
        """
        baseline = self._authority.baseline
        if found.kind == "agent" or live.generation >= 2 or not baseline.collecting(now):
            return
        if baseline.before(live.root.since):
            baseline.take(found.principal, live.model, self._peers(live, found), now)

    def _known(self, live: Live, now: datetime) -> None:
        """Take a service's instance into the baseline once it has been told."""
        found = entry.find(live.root)
        baseline = self._authority.baseline
        if found.kind not in ("agent", "session", "unknown") and live.generation == 1 and baseline.collecting(now):
            baseline.take(found.principal, live.model, self._peers(live, found), now)
            live.leave = self._judge(live, self._leaves(now)).authorised

    def _say(self, live: Live, cause: Event, status: str) -> Event:
        found = entry.find(live.root)
        judged = self._judge(live, self._leaves(cause.timestamp))
        if judged.over and status != "ended":
            status = "over_limit"
        first = min(live.listen) if live.listen else None
        bare = Event(
            timestamp=max(cause.timestamp, live.root.since),
            event=Meta(action=cause.action),
            server=endpoint(first),
            replguard=Context(tier=cause.replguard.tier if cause.replguard else None, attribution="lineage"),
        )
        made = fact(
            "server_live", bare, live.root, authorised=judged.authorised, model=live.model, status=status,
            generation=live.generation, artefacts=(*live.artefacts, live.id), exposed=_exposed(endpoint(first)),
            instance=self._section(live, found, judged),
        )  # fmt: skip
        live.leave = judged.authorised
        if status == "live" and judged.authorised is None:
            self._known(live, cause.timestamp)
        return made

    def _section(self, live: Live, found: Entry, judged: _Judged) -> Instance:
        leave = judged.leave
        return msgspec.structs.replace(
            live.section(),
            count=judged.total or self._peers(live, found),
            max_instances=leave.limit if leave else None,
            deployment=leave.by.entry if leave and leave.by.by == "manifest" else None,
        )

    def _leaves(self, now: datetime) -> dict[str, Leave | None]:
        """Return what would allow each instance, were it the only one."""
        return {live.id: self._leave(live, now) for live in self._instances.live.values()}

    def _leave(self, live: Live, now: datetime) -> Leave | None:
        return self._authority.serving(
            live.root, entry.find(live.root), live.paths, live.model, now, live.listen, replica=live.generation > 1
        )

    def _judge(self, live: Live, leaves: dict[str, Leave | None]) -> _Judged:
        """Return what allows an instance: of more than an entry allows, those that began first are allowed."""
        leave = leaves[live.id] if live.id in leaves else self._leave(live, live.root.since)
        if leave is None:
            return _Judged(None, None, 0, over=False)
        if leave.by.by == "baseline":  # what the manifest allows by now was one of those that there were
            mates = self._mates(live, entry.find(live.root))
        else:
            every = self._instances.live
            mates = [every[name] for name, other in leaves.items() if other is not None and other.entry is leave.entry]
        place = 1 + sum(other.order < live.order for other in mates if other is not live)
        over = place > leave.limit
        return _Judged(None if over else leave.by, leave, len(mates), over=over)

    def _peers(self, live: Live, found: Entry) -> int:
        """Count the instances of the same principal and model, this one included."""
        return len(self._mates(live, found))

    def _mates(self, live: Live, found: Entry) -> list[Live]:
        return [
            other
            for other in self._instances.live.values()
            if other.model == live.model and entry.find(other.root).principal == found.principal
        ]

    def _hint(self, live: Live, *, drop: bool) -> None:
        for address in sorted(live.listen):
            end = endpoint(address)
            if end is not None and end.port is not None:
                here = None if end.ip in ANY else end.ip
                self._watch(Hint(kind="endpoint", ip=here, port=end.port, drop=drop))

    def gpu_memory(self) -> Counter[tuple[str, bool]]:
        """Return the bytes of device memory held, by device and whether an authorised instance holds them."""
        serving: set[str] = set()
        for live in list(self._instances.live.values()):
            if live.leave is not None:
                serving |= live.members
        found: Counter[tuple[str, bool]] = Counter()
        for (entity, device), amount in list(self._memory.items()):
            found[device or "unknown", entity in serving] += amount
        return found

    def counts(self) -> Counter[tuple[str, bool]]:
        """Return how many instances live, by deployment (or model) and whether they are authorised."""
        found: Counter[tuple[str, bool]] = Counter()
        for live in list(self._instances.live.values()):
            leave = live.leave
            found[leave.entry if leave and leave.by == "manifest" else live.model, leave is not None] += 1
        return found


def generation(root: Proc) -> int:
    """Return 1 for an instance that no agent or instance started, else one more than theirs."""
    above = list(root.chain())[1:]
    return 1 + max((max(here.serves, here.generation if here.confirmed_agent else 0) for here in above), default=0)


def _accepts(event: Event, address: str) -> bool:
    """Whether a listener can take clients: no datagrams, and not what multiprocessing opens for its own workers."""
    transport = event.network.transport if event.network else None
    return transport != "udp" and "/pymp-" not in address


def _address(end: Endpoint | None) -> str | None:
    if end is None:
        return None
    return f"{end.ip}:{end.port}" if end.port is not None else end.path


def endpoint(address: str | None) -> Endpoint | None:
    """Return the end that an ``ip:port`` or a socket path names."""
    return None if address is None else listener(address)


def _exposed(end: Endpoint | None) -> bool | None:
    return None if end is None or end.ip is None else not end.ip.startswith(LOOPBACK)
