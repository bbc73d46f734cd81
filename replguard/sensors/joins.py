"""What joins who holds weights to who listens: pipes, socket pairs, shared memory; and who uses their Unix sockets.

Only these processes are looked at, often after a new one was named and seldom later. What it cannot see: what was
joined and let go between two looks; who used a Unix socket for less than that; without root, other users' processes.
"""

import contextlib
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from replguard.config import Config
from replguard.events import clock
from replguard.events.event import Event
from replguard.events.fact import Context
from replguard.events.hint import Hint
from replguard.events.network import Endpoint, Network
from replguard.events.process import Process
from replguard.kernel import handles, netns, unixdiag
from replguard.kernel.procfs import PROC, text
from replguard.kernel.unixdiag import LISTEN, UnixSocket
from replguard.sensors.base import Timed
from replguard.sensors.processes.who import Who

AREA = "network"
OFTEN, SELDOM = 0.25, 5.0
"""Seconds between looks, the latter once nobody new was named for a while."""
NEWS = 15.0
MOST = 512
"""Processes of each kind that are looked at; of more, those that were named longest ago are let go, which is told."""
MOST_TOLD = 8192
_SHARED = (b"/dev/shm/", b"/memfd:", b"/SYSV", b"/dev/zero")


@dataclass(slots=True)
class _Ends:
    """What a process has open that another may have the other end of."""

    reads: set[bytes] = field(default_factory=set)
    writes: set[bytes] = field(default_factory=set)
    sockets: set[int] = field(default_factory=set)
    memory: set[tuple[int, int]] = field(default_factory=set)


class JoinSensor(Timed):
    """Makes process_joined and socket_used, each once for a pair of processes."""

    name = "joins"
    area = AREA
    period = OFTEN
    blind = "what was joined, or used a Unix socket, for less than 0.25 s (of servers that are known for long: 5 s)."

    def __init__(self, root: str = PROC) -> None:
        super().__init__()
        self._root = root
        self._hints: deque[Hint] = deque(maxlen=4 * MOST)
        self._holders: OrderedDict[int, str] = OrderedDict()
        self._listeners: OrderedDict[int, str] = OrderedDict()
        self._told: OrderedDict[tuple[object, ...], None] = OrderedDict()
        self._news = self._due = 0.0

    def start(self) -> None:
        self._who = Who(self._root)

    def watch(self, hint: Hint) -> None:
        if hint.kind in ("holder", "listener") and hint.pid is not None and hint.entity_id is not None:
            self._hints.append(hint)

    def poll(self) -> Iterable[Event]:
        now = clock.monotonic()
        while self._hints:
            self._follow(self._hints.popleft())
            self._news, self._due = now + NEWS, now
        if not self._holders or now < self._due:
            return
        self._due = now + (OFTEN if now < self._news else SELDOM)
        for known in (self._holders, self._listeners):
            for pid in [pid for pid, entity in known.items() if not self._lives(pid, entity)]:
                del known[pid]
        ends = {pid: _ends(pid, self._root) for pid in self._holders | self._listeners}
        tables = _tables(ends, self._root)
        for holder in list(self._holders):
            table = tables.get(netns.namespace(holder, self._root), {})
            yield from self._joined(holder, ends, table)
            yield from self._used(holder, ends, table)

    def _follow(self, hint: Hint) -> None:
        known = self._holders if hint.kind == "holder" else self._listeners
        known[hint.pid or 0] = hint.entity_id or ""
        known.move_to_end(hint.pid or 0)
        if len(known) > MOST:
            known.popitem(last=False)
            self.counters.lose("watch", "too many processes")

    def _lives(self, pid: int, entity: str) -> bool:
        found = self._who.describer.brief(pid)
        return found is not None and found.entity_id == entity

    def _joined(self, holder: int, ends: dict[int, _Ends], table: dict[int, UnixSocket]) -> Iterator[Event]:
        mine = ends[holder]
        for pid, entity in self._listeners.items():
            how = None if pid == holder else _how(mine, ends[pid], table)
            if how is not None and self._first("joined", holder, pid, entity):
                yield self.event(
                    "process_joined",
                    clock.now(),
                    process=Process(pid=pid, entity_id=entity),
                    target=Process(pid=holder, entity_id=self._holders[holder]),
                    replguard=Context(tier="portable", attribution="lineage", read_time=True, technique=how),
                )

    def _used(self, holder: int, ends: dict[int, _Ends], table: dict[int, UnixSocket]) -> Iterator[Event]:
        """Tell of each Unix socket that a holder listens at who uses it, or once that nobody does."""
        paths = {one.name for inode in ends[holder].sockets if (one := table.get(inode)) and one.state == LISTEN}
        for path in sorted(filter(None, paths)):
            named = [one for one in table.values() if one.name == path]
            peers = {inode for one in named for inode in (one.peer, *one.waiting) if inode}
            if not peers and self._first("idle", holder, path):
                yield self._use(holder, path, "idle", None)
            for peer in sorted(peers):
                if self._first("peer", holder, path, peer):
                    yield from self._user(holder, path, peer, ends)

    def _user(self, holder: int, path: bytes, peer: int, ends: dict[int, _Ends]) -> Iterator[Event]:
        """Tell whose socket the other end of a connection is. One that was handed on by a fork has several owners."""
        near = [pid for pid, there in ends.items() if peer in there.sockets]
        pids = near or self._who.sockets({peer}, all_holders=True).get(peer, [])
        users = [found for pid in pids if (found := self._who.process(pid)) is not None]
        if not users:
            yield self._use(holder, path, "used", None)
        for user in users:
            yield self._use(holder, path, "used", user)

    def _use(self, holder: int, path: bytes, status: str, user: Process | None) -> Event:
        return self.event(
            "socket_used",
            clock.now(),
            process=user,
            target=Process(pid=holder, entity_id=self._holders[holder]),
            server=Endpoint(path=text(path)),
            network=Network(transport="unix"),
            replguard=Context(
                tier="portable", attribution="lineage" if user else "unknown", read_time=True, status=status
            ),
        )

    def _first(self, *key: object) -> bool:
        if key in self._told:
            return False
        self._told[key] = None
        if len(self._told) > MOST_TOLD:
            self._told.popitem(last=False)
        return True


def _ends(pid: int, root: str) -> _Ends:
    found = _Ends()
    for fd in handles.fds(pid, root):
        if fd.target.startswith(b"pipe:"):
            reads, writes = handles.mode(fd)
            found.reads |= {fd.target} if reads else set()
            found.writes |= {fd.target} if writes else set()
        elif fd.target.startswith(b"socket:["):
            found.sockets.add(int(fd.target[8:-1]))
    maps = handles.maps(pid, root)
    found.memory = {key for key, mapped in maps.items() if mapped.writable and mapped.path.startswith(_SHARED)}
    return found


def _how(mine: _Ends, other: _Ends, table: dict[int, UnixSocket]) -> str | None:
    """Return what joins two processes. One pipe that both only write to, as their errors, joins nobody."""
    if mine.reads & other.writes or mine.writes & other.reads:
        return "pipe"
    for inode in mine.sockets:
        near = table.get(inode)
        far = table.get(near.peer) if near is not None else None
        if near is not None and far is not None and far.inode in other.sockets:
            return "unix" if near.name or far.name else "socketpair"
    return "memory" if mine.memory & other.memory else None


def _tables(pids: Iterable[int], root: str) -> dict[int | None, dict[int, UnixSocket]]:
    """Return the Unix sockets of each network namespace that these processes are in."""
    ours = netns.namespace("self", root)
    spaces = {netns.namespace(pid, root): pid for pid in pids}
    found: dict[int | None, dict[int, UnixSocket]] = {}
    for space, pid in spaces.items():
        with contextlib.suppress(OSError), contextlib.nullcontext() if space == ours else netns.inside(pid):
            found[space] = unixdiag.sockets()
    return found


def open(config: Config) -> JoinSensor:  # noqa: A001, ARG001 - the registry calls every sensor module alike
    """Return the sensor."""
    return JoinSensor()
