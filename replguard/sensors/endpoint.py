"""Connections to inference endpoints, however short: an agent opens a new one for each request.

Idle until provenance names an endpoint; then it asks the kernel 25 times a second for sockets with that port. Idle
too where the kernel itself tells of each reply (see the tcp sensor).
What it cannot see: who made a connection that was over within one look (40 ms; it is told without a process, since
the kernel remembers closed connections for a minute), and any that was reset within one. Without root, who made one
as another user, and connections in other network namespaces. Replies on one connection that follow each other within
a quarter of a second are one.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from replguard.config import Config
from replguard.errors import Unavailable
from replguard.events import clock
from replguard.events.event import Event
from replguard.events.fact import Context
from replguard.events.hint import Hint
from replguard.events.network import Network
from replguard.events.process import Process
from replguard.kernel.sockdiag import (
    CLOSE_WAIT,
    ESTABLISHED,
    FIN_WAIT1,
    FIN_WAIT2,
    LAST_ACK,
    SYN_SENT,
    TIME_WAIT,
    Socket,
)
from replguard.sensors.base import Timed
from replguard.sensors.processes.who import Who
from replguard.sensors.sockets import tables
from replguard.sensors.sockets.tables import SHARED, Ledger, Pair, Sources, endpoint

AREA = "network"
LOOK, IDLE = 0.04, 0.25
"""Seconds between looks, with and without an endpoint to look for."""
SPACES_EVERY = 125
"""Looks between searches for network namespaces."""
QUIET = 0.25
"""Seconds without a byte after which a reply is over; tokens of a streamed one come faster."""
MOST_KEPT = 4096
TRIES = 5
"""Looks in which the owner of a new connection is searched before it is told without."""
_STATES = (ESTABLISHED, SYN_SENT, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT, LAST_ACK)
CLOSED_EVERY = 25
"""Looks between reads of closed connections: the kernel keeps them for 60 s, and a busy server has very many."""
HELD = Context(tier="portable", attribution="lineage")
GONE = Context(tier="portable", read_time=True)


@dataclass(slots=True)
class _Port:
    """What is watched at one port: addresses, None for any local one. ``fresh`` until its first look."""

    addresses: set[str | None] = field(default_factory=set)
    fresh: bool = True


@dataclass(slots=True)
class _Kept:
    """An open connection of a known process: what it received so far, and since when nothing more came."""

    process: Process
    received: int = 0
    grew: float | None = None


class EndpointSensor(Timed):
    """Makes network_connection for connections to hinted endpoints."""

    name = "endpoint"
    area = AREA
    period = IDLE
    blind = "a connection to an inference endpoint that lasts shorter than 40 ms may be told without its process."

    def __init__(self, ledger: Ledger | None = None) -> None:
        super().__init__()
        self._ledger = SHARED if ledger is None else ledger
        self._sources = Sources()
        self._hints: deque[Hint] = deque()
        self._ports: dict[int, _Port] = {}
        self._seen: set[Pair] = set()
        self._waiting: dict[int, tuple[Socket, int]] = {}
        self._kept: dict[int, _Kept] = {}
        self._looks = 0
        self._addresses: frozenset[str] = frozenset()

    def start(self) -> None:
        self._who = Who()
        self._sources.start()
        if self._sources.why:
            raise Unavailable(self._sources.why)

    def stop(self) -> None:
        self._sources.close()

    def watch(self, hint: Hint) -> None:
        if hint.kind == "endpoint" and hint.port is not None:
            self._hints.append(hint)

    def poll(self) -> Iterable[Event]:
        while self._hints:
            self._take(self._hints.popleft())
        looks = bool(self._ports) and not self._ledger.replies
        self.period = LOOK if looks else IDLE
        if not looks:
            return
        if self._looks % SPACES_EVERY == 0:
            self._sources.refresh()
            self._addresses = tables.addresses()
        closed = self._looks % CLOSED_EVERY == 0
        self._looks += 1
        rows = self._sources.tcp((*_STATES, TIME_WAIT) if closed else _STATES, self._ports, volume=True)
        before = self._seen
        if closed:
            self._seen = set()
        yield from self._look(rows, before, closed=closed)

    def _take(self, hint: Hint) -> None:
        port = hint.port or 0
        if not hint.drop:
            self._ports.setdefault(port, _Port()).addresses.add(hint.ip)
        elif port in self._ports:
            self._ports[port].addresses.discard(hint.ip)
            if not self._ports[port].addresses:
                del self._ports[port]

    def _look(self, rows: list[Socket], before: set[Pair], *, closed: bool) -> Iterator[Event]:
        ends = {(row.source, row.destination): row for row in rows}
        fresh: list[Socket] = []
        for row in rows:
            pair = self._client_side(row, ends)
            if pair is None:
                continue
            known = pair in before
            self._seen.add(pair)
            if known:
                continue
            if row.inode and row.source == pair[0]:
                owner = self._ledger.owner(row.inode)
                if self._ledger.claim(row):
                    self._waiting[row.inode] = (row, TRIES)
                elif owner is not None and len(self._kept) < MOST_KEPT:
                    self._kept[row.inode] = _Kept(owner)  # told by the kernel, which does not tell of replies here
            elif not self._ports[pair[1][1]].fresh and self._ledger.claim_closed(pair):
                fresh.append(row._replace(source=pair[0], destination=pair[1]))
        for port in self._ports.values():
            port.fresh = port.fresh and not closed
        yield from self._owned()
        for row in fresh:
            yield self._told(row, None)
        yield from self._replies(rows)

    def _replies(self, rows: list[Socket]) -> Iterator[Event]:
        """Tell of each reply that has come in whole on a connection that stays open: bytes grew, and then no more."""
        now = clock.monotonic()
        open_now = {row.inode: row for row in rows if row.inode in self._kept and row.received is not None}
        for inode in self._kept.keys() - open_now.keys():
            del self._kept[inode]
        for inode, row in open_now.items():
            kept, received = self._kept[inode], row.received or 0
            if received > kept.received:
                kept.received, kept.grew = received, now
            elif kept.grew is not None and now - kept.grew >= QUIET:
                kept.grew = None
                yield self._told(row, kept.process, received)

    def _client_side(self, row: Socket, ends: dict[Pair, Socket]) -> Pair | None:
        """Return (client, server) when the row is a connection to a watched endpoint, seen once.

        The server's row counts where the client's is gone: whoever closes first keeps the memory of the connection.
        """
        mirrored = (row.destination, row.source) in ends
        if self._watched(row.destination, here=mirrored):
            return row.source, row.destination
        if row.state == TIME_WAIT and not mirrored and self._local(row.destination[0]):
            return (row.destination, row.source) if self._watched(row.source, here=True) else None
        return None

    def _watched(self, place: tuple[str, int], *, here: bool) -> bool:
        port = self._ports.get(place[1])
        if port is None:
            return False
        return place[0] in port.addresses or (None in port.addresses and (here or self._local(place[0])))

    def _local(self, address: str) -> bool:
        return address in self._addresses or address.startswith("127.")

    def _owned(self) -> Iterator[Event]:
        owners = self._who.sockets(set(self._waiting)) if self._waiting else {}
        for inode, (row, tries) in list(self._waiting.items()):
            pid = next(iter(owners.get(inode, [])), None)
            process = None if pid is None else self._who.process(pid)
            if process is None and tries > 1 and (row.source, row.destination) in self._seen:
                self._waiting[inode] = (row, tries - 1)
                continue
            del self._waiting[inode]
            if process is not None and len(self._kept) < MOST_KEPT:
                self._kept[inode] = _Kept(process)
            yield self._told(row, process)

    def _told(self, row: Socket, process: Process | None, received: int | None = None) -> Event:
        return self.event(
            "network_connection",
            clock.now(),
            process=process,
            source=endpoint(row.source),
            destination=endpoint(row.destination),
            network=Network(transport="tcp", initiated=True, inode=row.inode or None, bytes=received),
            replguard=GONE if process is None else HELD,
        )


def open(config: Config) -> EndpointSensor:  # noqa: A001, ARG001 - the registry calls every sensor module alike
    """Return the sensor."""
    return EndpointSensor()
