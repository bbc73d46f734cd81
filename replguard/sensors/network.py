"""Listeners and connections, by looking once a second; less often where the kernel tells of those of TCP.

Then it finds what was there before, Unix sockets, bound UDP ports, processes that inherited a listener, and what the
kernel's teller lost. What it cannot see: connections and listeners that live shorter than a second (short ones to
inference endpoints are the endpoint sensor's matter); attempts that are refused; who owns a socket, without root, when
another user does; other network namespaces, without root. UDP in other namespaces, and UDP ports from the range given
to clients. Bytes are told of connections that are open at a look, of TCP alone, where the kernel does not tell them.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec

from replguard.config import Config
from replguard.events import clock
from replguard.events.event import Event
from replguard.events.fact import Context
from replguard.events.network import Endpoint, Network
from replguard.events.process import Process
from replguard.kernel.procfs import text
from replguard.kernel.sockdiag import (
    CLOSE_WAIT,
    ESTABLISHED,
    FIN_WAIT1,
    FIN_WAIT2,
    LAST_ACK,
    LISTEN,
    SYN_SENT,
    Socket,
)
from replguard.sensors.base import Timed
from replguard.sensors.losses import Losses
from replguard.sensors.processes.who import Who
from replguard.sensors.sockets.sent import Amount, Sent
from replguard.sensors.sockets.tables import SHARED, Ledger, Sources, endpoint, ephemeral

AREA = "network"
PERIOD, RARELY = 1.0, 5.0
"""Seconds between looks, the latter where the kernel tells."""
SPACES_EVERY = 5
"""Looks between searches for network namespaces."""
MOST_HOLDERS = 16
"""Processes that are told for one listener which many share."""
MOST_NEW = 500
"""New listeners of one user that are told at a look, the others at the next ones."""
TRIES = 10
"""Looks in which the owner of a new listener is searched: on a busy host one look may not reach everybody."""
TRIES_CONNECTED = 5
"""The same of a connection, which is not told before."""
_CLOSING = (FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT, LAST_ACK)
AT_READ = Context(tier="portable", read_time=True)
HELD = Context(tier="portable", read_time=True, attribution="lineage")
GUESSED = Context(tier="portable", read_time=True, attribution="inferred")


@dataclass(frozen=True, slots=True)
class _Listener:
    inode: int
    server: Endpoint
    transport: str
    user: int | None = None


class NetworkSensor(Timed):
    """Makes socket_listen, socket_close and network_connection, and network_volume where the kernel tells none."""

    name = "network"
    area = AREA
    period = PERIOD
    blind = (
        "connections and listeners that live shorter than 1 s are missed, and connections that are refused; "
        "bytes are counted once a second and for TCP alone."
    )

    def __init__(self, ledger: Ledger | None = None) -> None:
        super().__init__()
        self._ledger = SHARED if ledger is None else ledger
        self._sources = Sources()
        self._looks = 0
        self._listening: dict[int, _Listener] = {}
        self._connected: set[int] = set()
        self._doubtful: set[int] = set()
        self._ownerless: dict[int, int] = {}
        self._stood: set[int] = set()
        self._unowned: dict[int, tuple[Socket, int]] = {}
        self._sent: Sent | None = None
        self._waiting: set[int] = set()
        self._gaps = Losses(self)

    def start(self) -> None:
        self._who = Who()
        self._ephemeral = ephemeral()
        self._sources.start()
        self.because(self._sources.why)

    def stop(self) -> None:
        self._sources.close()

    def poll(self) -> Iterable[Event]:
        first = self._looks == 0
        self.period = RARELY if self._ledger.kernel else PERIOD
        if self._looks % SPACES_EVERY == 0:
            self._sources.refresh()
        self._looks += 1
        self._sources.owners.clear()
        kind = "state" if first else "event"
        listeners = {listener.inode: listener for listener in self._listeners()}
        # What stood at the first look began before it, also where who holds it is found by a later one.
        self._stood = set(listeners) if first else self._stood & listeners.keys()
        yield from self._listeners_changed(listeners, kind)
        yield from self._connections(kind)
        yield from self._gaps.tell()

    def _listeners(self) -> Iterator[_Listener]:
        for found in self._sources.tcp([LISTEN]):
            yield _Listener(found.inode, endpoint(found.source), "tcp", found.uid)
        for found in self._sources.udp_bound():
            if found.source[1] not in self._ephemeral:
                yield _Listener(found.inode, endpoint(found.source), "udp", found.uid)
        for inode, path in self._sources.unix():
            yield _Listener(inode, Endpoint(path=text(path)), "unix")

    def _listeners_changed(self, now: dict[int, _Listener], kind: str) -> Iterator[Event]:
        for inode in self._listening.keys() - now.keys():
            listener = self._listening.pop(inode)
            for _, process in self._ledger.closes(inode):
                yield self._told("socket_close", listener, process, kind)
        fresh = self._affordable(now, now.keys() - self._listening.keys(), kind)
        again = self._ownerless.keys() & now.keys()
        owners = self._owners(fresh | again, all_holders=True)
        for inode in sorted(fresh | again):
            holders = [p for p in map(self._who.process, owners.get(inode, [])[:MOST_HOLDERS]) if p is not None]
            self._listening[inode] = now[inode]
            tries = self._ownerless.pop(inode, 0)
            if not holders and tries < TRIES:
                self._ownerless[inode] = tries + 1  # its owner may be found once the budget allows another look
            for process in (*holders,) or (None,):
                if self._ledger.listens(inode, now[inode].server, process):
                    yield self._told("socket_listen", now[inode], process, "state" if inode in self._stood else kind)

    def _affordable(self, now: dict[int, _Listener], fresh: set[int], kind: str) -> set[int]:
        """Return the new listeners that are told at this look: of each user so many, lest one keep others waiting."""
        if kind == "state":
            return fresh
        self._gaps.add("poll", "listeners of a user who has too many at once", len(self._waiting - now.keys()))
        told: Counter[int | None] = Counter()
        taken: set[int] = set()
        for inode in sorted(fresh):
            user = now[inode].user
            told[user] += 1
            if user is None or told[user] <= MOST_NEW:
                taken.add(inode)
        self._waiting = fresh - taken
        return taken

    def _connections(self, kind: str) -> Iterator[Event]:
        counts = not self._ledger.kernel
        rows = self._sources.tcp((ESTABLISHED, SYN_SENT, *(_CLOSING if counts else ())), volume=counts)
        found = {row.inode: row for row in rows if row.inode and row.state in (ESTABLISHED, SYN_SENT)}
        ports = {listener.server.port for listener in self._listening.values() if listener.transport == "tcp"}
        fresh = [row for inode, row in found.items() if inode not in self._connected]
        self._connected = set(found)
        outbound = [row for row in fresh if row.source[1] not in ports]
        self.counters.skip(len(fresh) - len(outbound))
        claimed = [row for row in self._untold(outbound, found, kind) if self._ledger.claim(row)]
        for row, process in self._owned(claimed, found, 0 if kind == "state" else TRIES_CONNECTED):
            yield self._connection(row, process, kind)
        first = self._sent is None
        self._sent = (self._sent or Sent(self._processes)) if counts else None
        for amount in self._sent.look(rows, ports, first=first) if self._sent is not None else ():
            yield self._volume(amount)

    def _owned(
        self, fresh: list[Socket], found: dict[int, Socket], most: int
    ) -> Iterator[tuple[Socket, Process | None]]:
        """Yield connections with who has them: one whose owner no look reached yet later, or when it ends."""
        waiting, self._unowned = self._unowned, {}
        rows = {row.inode: row for row in fresh} | {inode: row for inode, (row, _) in waiting.items()}
        owners = self._owners(rows.keys() & found.keys())
        for inode, row in rows.items():
            pid = next(iter(owners.get(inode, [])), None)
            process = None if pid is None else self._who.process(pid)
            tries = waiting[inode][1] if inode in waiting else 0
            if process is None and inode in found and tries < most:
                self._unowned[inode] = row, tries + 1
            else:
                yield row, process

    def _untold(self, fresh: list[Socket], found: dict[int, Socket], kind: str) -> list[Socket]:
        """Return the connections that are ours to tell: where the kernel tells, those that it did not by now."""
        if not self._ledger.kernel or kind == "state":
            return fresh
        late = [found[inode] for inode in self._doubtful & found.keys()]
        self._doubtful = {row.inode for row in fresh if not self._ledger.claimed(row.inode)}
        return late

    def _owners(self, inodes: set[int], *, all_holders: bool = False) -> dict[int, list[int]]:
        known = {inode: [self._sources.owners[inode]] for inode in inodes & self._sources.owners.keys()}
        return known | self._who.sockets(
            {inode for inode in inodes - known.keys() if inode > 0}, all_holders=all_holders
        )

    def _processes(self, inodes: set[int]) -> dict[int, Process]:
        found = {inode: self._who.process(pids[0]) for inode, pids in self._owners(inodes).items() if pids}
        return {inode: process for inode, process in found.items() if process is not None}

    def _volume(self, amount: Amount) -> Event:
        source, destination = endpoint(amount.row.source), endpoint(amount.row.destination)
        process, about = amount.process, HELD if amount.process is not None else AT_READ
        if process is None and amount.accepted and (process := self._ledger.server(source)) is not None:
            about = GUESSED  # whoever accepted it has closed it by now: it came to who listens there
        return self.event(
            "network_volume",
            clock.now(),
            process=process,
            source=source,
            destination=Endpoint(ip=destination.ip) if amount.accepted else destination,
            network=Network(
                transport="tcp", initiated=not amount.accepted, bytes=amount.new, inode=_real(amount.row.inode)
            ),
            replguard=msgspec.structs.replace(about, bytes=amount.total),
        )

    def _told(self, action: str, listener: _Listener, process: Process | None, kind: str) -> Event:
        return self.event(
            action,
            clock.now(),
            kind=kind,
            process=process,
            server=listener.server,
            network=Network(transport=listener.transport, inode=_real(listener.inode)),
            replguard=AT_READ if process is None else HELD,
        )

    def _connection(self, row: Socket, process: Process | None, kind: str) -> Event:
        return self.event(
            "network_connection",
            clock.now(),
            kind=kind,
            process=process,
            source=endpoint(row.source),
            destination=endpoint(row.destination),
            network=Network(transport="tcp", initiated=True, inode=_real(row.inode)),
            replguard=AT_READ if process is None else HELD,
        )


def _real(inode: int) -> int | None:
    return inode if inode > 0 else None


def open(config: Config) -> NetworkSensor:  # noqa: A001, ARG001 - the registry calls every sensor module alike
    """Return the sensor."""
    return NetworkSensor()
