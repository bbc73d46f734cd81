"""Live serving instances: process trees that hold protected content and accept connections or hold GPU memory."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from replguard.events.identity import short_hash
from replguard.provenance.agents import SHELLS
from replguard.provenance.entry import NEVER
from replguard.provenance.ledger import Inode
from replguard.provenance.processes import Proc, ProcessTable

GPU_MIN = 256 * 2**20
"""Device memory from which a tree counts as serving (meanings: Instance)."""


@dataclass(frozen=True, slots=True)
class Held:
    """One file that a process holds. ``artefact`` is None for the original."""

    model: str
    path: str
    artefact: str | None


@dataclass(slots=True)
class Live:
    """One instance. ``root`` is the process that the whole tree hangs on."""

    id: str
    model: str
    root: Proc
    members: frozenset[str] = frozenset()
    pids: tuple[int, ...] = ()
    listen: frozenset[str] = frozenset()
    gpu_bytes: int | None = None
    paths: frozenset[str] = frozenset()
    artefacts: tuple[str, ...] = ()
    generation: int = 1
    allowed_by: str | None = None
    said: set[str] = field(default_factory=set)


class Instances:
    """Keeps who holds, who listens and who has device memory, and derives the instances from them."""

    def __init__(self, table: ProcessTable) -> None:
        self._table = table
        self._holds: dict[str, dict[Inode, Held]] = {}
        self._listens: dict[str, set[str]] = {}
        self._gpu: dict[str, int] = {}
        self.live: dict[str, Live] = {}

    def hold(self, proc: Proc, inode: Inode, held: Held) -> None:
        """Note that a process holds a file."""
        self._holds.setdefault(proc.entity, {})[inode] = held

    def listen(self, proc: Proc, address: str) -> None:
        """Note that a process accepts connections at ``ip:port`` or a socket path."""
        self._listens.setdefault(proc.entity, set()).add(address)

    def unlisten(self, address: str, proc: Proc | None) -> None:
        """Note that a listener is gone."""
        for entity in [proc.entity] if proc else list(self._listens):
            self._listens.get(entity, set()).discard(address)

    def gpu(self, proc: Proc, memory: int | None) -> None:
        """Note what device memory a process has, in bytes."""
        if memory:
            self._gpu[proc.entity] = memory
        else:
            self._gpu.pop(proc.entity, None)

    def gone(self, proc: Proc) -> None:
        """Note that a process ended."""
        for kept in (self._holds, self._listens, self._gpu):
            kept.pop(proc.entity, None)

    def of(self, proc: Proc) -> Live | None:
        """Return the instance that a process is a member of."""
        return next((live for live in self.live.values() if proc.entity in live.members), None)

    def holders(self, live: Live) -> frozenset[str]:
        """Return the members of an instance that hold the weights: its workers, as against what they start."""
        return frozenset(entity for entity in live.members if entity in self._holds)

    def at(self, ip: str | None, port: int | None) -> Live | None:
        """Return the instance that listens at an address; a listener on any address answers for all."""
        if port is None:
            return None
        wanted = {f"{ip}:{port}", f"0.0.0.0:{port}", f":::{port}", f"*:{port}"}
        return next((live for live in self.live.values() if live.listen & wanted), None)

    def refresh(self) -> tuple[list[Live], list[Live], list[Live]]:
        """Derive the instances anew. Returns those that began, that changed, and that ended."""
        found = {live.id: live for live in self._derive()}
        began, changed = [], []
        for key, live in found.items():
            known = self.live.get(key)
            if known is None:
                self.live[key] = live
                began.append(live)
                continue
            if (known.listen, known.gpu_bytes is None) != (live.listen, live.gpu_bytes is None):
                changed.append(known)
            known.members, known.pids, known.listen = live.members, live.pids, live.listen
            known.gpu_bytes, known.paths, known.artefacts = live.gpu_bytes, live.paths, live.artefacts
        ended = [self.live.pop(key) for key in list(self.live) if key not in found]
        return began, changed, ended

    def _derive(self) -> Iterator[Live]:
        roots: dict[tuple[str, str], tuple[Proc, set[str]]] = {}
        for entity, files in self._holds.items():
            holder = self._table.get(entity)
            if holder is None or not holder.alive:
                continue
            for model in {held.model for held in files.values()}:
                root = self._root(holder, model)
                roots.setdefault((root.entity, model), (root, set()))[1].add(entity)
        for (_, model), (root, holders) in roots.items():
            live = self._live(root, model, holders)
            if live.listen or (live.gpu_bytes or 0) >= GPU_MIN:
                yield live

    def _live(self, root: Proc, model: str, holders: set[str]) -> Live:
        members = self._members(root, holders)
        listen = frozenset(address for entity in members for address in self._listens.get(entity, ()))
        memory = [self._gpu[entity] for entity in members if entity in self._gpu]
        held = [h for entity in holders for h in self._holds[entity].values() if h.model == model]
        pids = sorted(p.pid for entity in members if (p := self._table.get(entity)) is not None)
        return Live(
            short_hash("instance", root.entity, model),
            model,
            root,
            frozenset(members),
            tuple(pids),
            listen,
            sum(memory) if memory else None,
            frozenset(h.path for h in held),
            tuple(sorted({h.artefact for h in held if h.artefact})),
        )

    def _root(self, holder: Proc, model: str) -> Proc:
        """Walk up from a holder to the launcher whose workers serve together with it."""
        root = holder
        for up in list(holder.chain())[1:]:
            if not _can_launch(up) or not self._joined(up, root, model):
                break
            root = up
        return root

    def _joined(self, up: Proc, root: Proc, model: str) -> bool:
        """Whether ``up`` and ``root`` are one server: pre-fork and API-server parents are, two servers of one are not."""
        own, above = self._listens.get(root.entity, set()), self._listens.get(up.entity, set())
        if own - above:
            return False
        if above or self._holding(up, model):
            return True
        # A launcher that neither holds nor listens: ranks that accept nothing themselves, beside one that does.
        mates = [self._table.get(c) for c in up.children if c != root.entity]
        living = [m for m in mates if m is not None and m.alive]
        ranks = sum(self._holding(m, model) and not self._listens.get(m.entity) for m in living)
        front = any(
            self._listens.get(m.entity) and not self._holding(m, model) and m.image == root.image for m in living
        )
        return not own and (ranks > 0 or front)

    def _holding(self, proc: Proc, model: str) -> bool:
        return any(held.model == model for held in self._holds.get(proc.entity, {}).values())

    def _members(self, root: Proc, holders: set[str]) -> set[str]:
        """Return the root, its holders, and their living descendants, but not another server started below them."""
        members, queue = {root.entity} | holders, [root.entity, *holders]
        inherited = self._listens.get(root.entity, set())
        while queue:
            here = self._table.get(queue.pop())
            for entity in here.children if here else ():
                child = self._table.get(entity)
                if child is None or entity in members or not child.alive or child.confirmed_agent:
                    continue
                own = self._listens.get(entity, set())
                if entity in self._holds and own - inherited:
                    continue
                members.add(entity)
                queue.append(entity)
        return members


def _can_launch(proc: Proc) -> bool:
    shell = proc.image in SHELLS
    return not (shell or proc.pid == 1 or proc.image in NEVER or proc.confirmed_agent or proc.process.interactive)
