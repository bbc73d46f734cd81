"""Live serving instances: process trees that hold protected content and accept connections or hold GPU memory."""

from collections.abc import Iterator
from dataclasses import dataclass

from replguard.events.fact import Authorised, Instance
from replguard.events.identity import short_hash
from replguard.events.network import listener
from replguard.provenance.agents import SHELLS
from replguard.provenance.endpoints import LOOPBACK, MAPPED
from replguard.provenance.entry import never
from replguard.provenance.ledger import Inode
from replguard.provenance.manifest import EPHEMERAL
from replguard.provenance.processes import Proc, ProcessTable
from replguard.provenance.talks import Talks

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
    """One instance. ``root`` is the process that the tree hangs on, ``counted`` the one whose generation it has.

    ``order`` is its place among all that ever began, ``leave`` what allowed it when that was said last.
    """

    id: str
    model: str
    root: Proc
    holders: frozenset[str] = frozenset()
    members: frozenset[str] = frozenset()
    pids: tuple[int, ...] = ()
    listen: frozenset[str] = frozenset()
    gpu_bytes: int | None = None
    paths: frozenset[str] = frozenset()
    artefacts: tuple[str, ...] = ()
    generation: int = 1
    counted: Proc | None = None
    order: int = 0
    leave: Authorised | None = None

    def section(self) -> Instance:
        """Return it as its part of a fact about it: which one, and what it holds."""
        return Instance(
            id=self.id,
            pids=self.pids,
            listen=tuple(sorted(self.listen)),
            weights=tuple(sorted(self.paths)),
            gpu_bytes=self.gpu_bytes,
        )


class Instances:
    """Keeps who holds, who listens and who has device memory, and derives the instances from them."""

    def __init__(self, table: ProcessTable) -> None:
        self._table = table
        self._holds: dict[str, dict[Inode, Held]] = {}
        self._listens: dict[str, set[str]] = {}
        self._gpu: dict[str, dict[str | None, int]] = {}
        self._fronts: dict[str, set[str]] = {}
        self._users: dict[tuple[str, str], bool | None] = {}
        self._talks = Talks(table.get)
        self._begun = 0
        self.live: dict[str, Live] = {}

    def hold(self, proc: Proc, inode: Inode, held: Held) -> None:
        """Note that a process holds a file."""
        self._holds.setdefault(proc.entity, {})[inode] = held

    def held_by(self, proc: Proc) -> dict[Inode, Held]:
        """Return the files that a process holds."""
        return dict(self._holds.get(proc.entity, {}))

    def forked(self, proc: Proc) -> None:
        """Note a fork: it has what its parent has in memory, until it begins a program of its own."""
        held = self._holds.get(proc.parent.entity) if proc.parent is not None else None
        if held:
            self._holds[proc.entity] = dict(held)

    def listen(self, proc: Proc, address: str) -> None:
        """Note that a process accepts connections at ``ip:port`` or a socket path."""
        self._listens.setdefault(proc.entity, set()).add(address)
        if not _is_path(address):
            self._talks.listens(proc, _port(address))

    def unlisten(self, address: str, proc: Proc | None) -> None:
        """Note that a listener is gone."""
        for entity in [proc.entity] if proc else list(self._listens):
            self._listens.get(entity, set()).discard(address)
            if not _is_path(address):
                self._talks.closed(entity, _port(address))

    def connected(self, proc: Proc, port: int | None) -> None:
        """Note that a process connected to a port."""
        self._talks.connected(proc, port)

    def at_port(self, port: int, *, calling: bool) -> set[str]:
        """Return the entity ids of those that listen at a port, or of those that called it last."""
        return self._talks.calling(port) if calling else self._talks.listening(port)

    def gpu(self, proc: Proc, device: str | None, memory: int) -> None:
        """Note what memory of a device a process has, in bytes."""
        held = self._gpu.setdefault(proc.entity, {})
        held[device] = memory
        if not any(held.values()):
            del self._gpu[proc.entity]

    def join(self, front: Proc, holder: Proc, *, near: bool = False) -> None:
        """Note that one who listens is joined to one who holds, by pipe, socket pair or shared memory.

        ``near``: by a Unix socket with a name, which joins only those who have a launcher in common.
        """
        if _can_launch(front) and (not near or not set(_launchers(front)).isdisjoint(_launchers(holder))):
            self._fronts.setdefault(holder.entity, set()).add(front.entity)

    def used(self, holder: Proc, path: str, user: Proc | None, *, idle: bool) -> None:
        """Note who uses a Unix socket: its own tree alone, or another one, and nobody yet is as good as another."""
        key = (holder.entity, path)
        if idle:
            self._users.setdefault(key, None)
        else:
            own = user is not None and _one_tree(user, holder)
            self._users[key] = self._users.get(key) is True or not own

    def asked(self) -> set[str]:
        """Return the entity ids of all who hold protected content, and of the fronts that they may have."""
        above = {up.entity for entity in self._holds if (p := self._table.get(entity)) for up in _launchers(p)}
        fronts = above.union(*self._fronts.values()) & self._listens.keys()
        return set(self._holds) | fronts

    def doors(self) -> dict[str, set[str]]:
        """Return where each accepts connections who does."""
        return {entity: addresses for entity, addresses in self._listens.items() if addresses}

    def gone(self, proc: Proc) -> None:
        """Note that a process ended."""
        entity = proc.entity
        for address in self._listens.get(entity, ()):
            self._talks.closed(entity, _port(address))
        self._talks.gone(entity)
        for kept in (self._holds, self._listens, self._gpu, self._fronts):
            kept.pop(entity, None)
        for fronts in self._fronts.values():
            fronts.discard(entity)
        for key in [key for key in self._users if key[0] == entity]:
            del self._users[key]

    def _doors(self, entity: str) -> set[str]:
        """Return where a process accepts connections: at no Unix socket that only its own tree uses.

        Who uses one is told a moment after the socket is.
        """
        return {
            address
            for address in self._listens.get(entity, ())
            if not _is_path(address) or self._users.get((entity, address), False) is not False
        }

    def process(self, entity: str) -> Proc | None:
        """Return a process by its entity id."""
        return self._table.get(entity)

    def replaced(self, proc: Proc) -> None:
        """Note that a process runs another image now: what it had mapped is gone, its sockets may be inherited."""
        self._holds.pop(proc.entity, None)

    def concerns(self, proc: Proc) -> bool:
        """Whether the end of a process can change an instance: most processes hold nothing and serve nobody."""
        entity = proc.entity
        return entity in self._holds or entity in self._listens or entity in self._gpu or self.of(proc) is not None

    def of(self, proc: Proc) -> Live | None:
        """Return the instance that a process is a member of."""
        for live in self.live.values():
            if proc.entity in live.members:
                return live
        return None

    def serves(self, live: Live) -> bool:
        """Whether the root is itself a server, not only the launcher of some."""
        return live.root.entity in live.holders or bool(self._doors(live.root.entity))

    def at(self, ip: str | None, port: int | None, source: str | None = None) -> Live | None:
        """Return the instance that listens at an address.

        A listener on any address answers for those of this host: loopback, and what a connection to oneself comes from.
        """
        if port is None or ip is None:
            return None
        plain = ip.removeprefix(MAPPED)
        wanted = {f"{ip}:{port}", f"{plain}:{port}", f"{MAPPED}{plain}:{port}"}
        if ip.startswith(LOOPBACK) or ip == source or source is None:
            wanted |= {f"0.0.0.0:{port}", f":::{port}", f"*:{port}"}
        return next((live for live in self.live.values() if live.listen & wanted), None)

    def refresh(self) -> tuple[list[Live], list[Live], list[Live]]:
        """Derive the instances anew. Returns those that began, that changed, and that ended."""
        found, known = list(self._derive()), dict(self.live)
        began, changed, kept = [], [], {}
        for live in found:
            old = _same(live, known)
            if old is None:
                began.append(live)
                continue
            del known[old.id]
            kept[old.id] = old
            if (old.listen, old.gpu_bytes is None) != (live.listen, live.gpu_bytes is None):
                changed.append(old)
            old.root, old.holders, old.members, old.pids = live.root, live.holders, live.members, live.pids
            old.listen, old.gpu_bytes = live.listen, live.gpu_bytes
            old.paths, old.artefacts = live.paths, live.artefacts
        for live in began:
            live.id = live.id if live.id not in kept else short_hash(live.id, min(live.holders))
            self._begun += 1
            live.order = self._begun
            kept[live.id] = live
        self.live = kept
        return began, changed, list(known.values())

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
        listen = frozenset(address for entity in members for address in self._doors(entity))
        memory = [sum(self._gpu[entity].values()) for entity in members if entity in self._gpu]
        held = [h for entity in holders for h in self._holds[entity].values() if h.model == model]
        pids = sorted(p.pid for entity in members if (p := self._table.get(entity)) is not None and p.alive)
        return Live(
            short_hash("instance", root.entity, model),
            model,
            root,
            frozenset(holders),
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
        return self._first_rank(self._launcher(root, holder))

    def _first_rank(self, root: Proc) -> Proc:
        """Return the oldest of the ranks that a shell's script started, and that talk to each other."""
        found, queue = {root.entity: root}, [root]
        while queue:
            for entity in self._talks.of(queue.pop()):
                mate = self._table.get(entity)
                if mate is not None and mate.alive and entity not in found and mate.first_args == root.first_args:
                    found[entity] = mate
                    queue.append(mate)
        return min(found.values(), key=lambda proc: (proc.since, proc.pid))

    def _launcher(self, root: Proc, holder: Proc) -> Proc:
        """Return who launched both a holder without a door of its own and the front that it is joined to."""
        if self._doors(root.entity):
            return root
        above = list(_launchers(root))
        for front in map(self._table.get, sorted(self._fronts.get(holder.entity, ()))):
            common = next((p for p in _launchers(front) if p in above), None) if front is not None else None
            if common is not None:
                return common
        return root

    def _joined(self, up: Proc, root: Proc, model: str) -> bool:
        """Whether ``up`` and ``root`` are one server: a launcher of workers and ranks is, one of two servers is not."""
        own, above = self._doors(root.entity), self._doors(up.entity)
        if kin(up, root):
            return True
        mates = [m for c in up.children if c != root.entity and (m := self._table.get(c)) is not None and m.alive]
        ranks = [m for m in mates if self._holding(m, model)]
        twins = [m for m in ranks if m.first_args and m.first_args == root.first_args]
        if twins:  # ranks of one launcher: at most one of them is the door, the others talk among themselves
            doors = sum(self._door(m, above) for m in (root, *twins))
            listen = [m for m in (root, *twins) if self._doors(m.entity) - above]
            alike = not doors and len(listen) > 1  # at ports that the kernel chose, clients may come to each as well
            return doors <= 1 and (not alike or any(self._talks.of(m) for m in listen))
        if own - above:
            return False
        if above or self._holding(up, model):
            return True
        # A launcher that neither holds nor listens, of programs that hold the same and differ: those without a door.
        return not own and any(not self._doors(m.entity) for m in ranks)

    def _door(self, proc: Proc, above: set[str]) -> bool:
        """Whether a process listens where clients come to, and not only where the kernel chose a port for its peers."""
        return any(_port(address) < EPHEMERAL for address in self._doors(proc.entity) - above)

    def _holding(self, proc: Proc, model: str) -> bool:
        return any(held.model == model for held in self._holds.get(proc.entity, {}).values())

    def _members(self, root: Proc, holders: set[str]) -> set[str]:
        """Return what serves together: the root, its holders and their programs, but no server started by them."""
        inherited = self._doors(root.entity)
        alike = {p.first_args for entity in holders if (p := self._table.get(entity)) is not None and p.first_args}
        fronts = {front for entity in holders for front in self._fronts.get(entity, ()) if front not in self._holds}
        members, queue = {root.entity, *fronts}, [root.entity]
        for entity in sorted(holders):
            for between in self._chain_to(entity, root):
                if between not in members:
                    members.add(between)
                    queue.append(between)
        while queue:
            here = self._table.get(queue.pop())
            for entity in here.children if here else ():
                child = self._table.get(entity)
                if here is None or child is None or entity in members or not child.alive or not _belongs(child):
                    continue
                if entity in self._holds and self._doors(entity) - inherited:
                    continue
                if here.entity in holders or kin(here, child) or child.first_args in alike:
                    members.add(entity)
                    queue.append(entity)
        return members

    def _chain_to(self, entity: str, root: Proc) -> Iterator[str]:
        holder = self._table.get(entity)
        above = list(holder.chain()) if holder else []
        yield from [here.entity for here in (above[: above.index(root)] if root in above else above[:1])]


def _same(live: Live, known: dict[str, Live]) -> Live | None:
    """Return the instance that this one was when last looked at: of the same root, else of the same holders."""
    mine = [old for old in known.values() if old.model == live.model]
    same = [old for old in mine if old.root is live.root] or [old for old in mine if old.holders & live.holders]
    return same[0] if same else None


def _launchers(proc: Proc) -> Iterator[Proc]:
    """Yield a process and above it those who may have launched it as a part of themselves."""
    for here in proc.chain():
        if not _can_launch(here):
            return
        yield here


def _one_tree(user: Proc, holder: Proc) -> bool:
    """Whether who uses a socket belongs to who listens at it: below it, its launcher, or the same program beside it."""
    if holder in user.chain() or user in _launchers(holder):
        return True
    mates = user.parent is not None and user.parent is holder.parent and _can_launch(user.parent)
    return mates and bool(user.first_args) and user.first_args == holder.first_args


def _is_path(address: str) -> bool:
    return listener(address).port is None


def _can_launch(proc: Proc) -> bool:
    return not (proc.image in SHELLS or proc.pid == 1 or never(proc) or proc.confirmed_agent)


def _belongs(child: Proc) -> bool:
    """Whether a child may be part of its parent's program: what a shell or an agent starts is a program of its own."""
    return not (child.confirmed_agent or child.image in SHELLS)


def kin(up: Proc, child: Proc) -> bool:
    """Whether a child still is its parent's program: forked, started by multiprocessing, or under its own title."""
    if up.process.executable is None or child.process.executable != up.process.executable or not _can_launch(up):
        return False
    args = child.first_args
    titled = len(args) == 1 and args[0].rpartition("/")[2] not in (child.image, child.process.name)
    forked = bool(args) and not child.spawned and args in (up.first_args, up.process.args)
    return forked or titled or any("multiprocessing" in arg for arg in args[1:4])


def _port(address: str) -> int:
    return listener(address).port or 0
