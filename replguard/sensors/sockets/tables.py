"""What the network sensors share: where sockets are read from, and which of them were told already."""

import socket
import threading
from collections import OrderedDict
from collections.abc import Iterable

import psutil

from replguard.events import clock
from replguard.events.network import Endpoint
from replguard.events.process import Process
from replguard.kernel import machine, netns, procfs
from replguard.kernel.sockdiag import CLOSE, ESTABLISHED, LISTEN, SYN_SENT, SockDiag, Socket, unix_listeners

_REMEMBERED = 65_536
CLOSED = 70.0
"""Seconds in which a closed connection is the one that was told: the kernel remembers it for 60."""
MOST_SPACES = 16
"""Network namespaces that are looked into: each costs a look of its own."""
_PSUTIL = {psutil.CONN_ESTABLISHED: ESTABLISHED, psutil.CONN_LISTEN: LISTEN, psutil.CONN_SYN_SENT: SYN_SENT}
_PSUTIL |= {psutil.CONN_NONE: CLOSE}


Pair = tuple[tuple[str, int], tuple[str, int]]
"""Client's and server's address and port."""

_ANY = ("0.0.0.0", "::")  # noqa: S104 - what others listen at
"""Where a listener listens at all addresses."""


class Ledger:
    """Sockets that were told: several sensors look at them, one tells. By inode; connections also by both ends.

    ``kernel`` says that listeners and connections are told as they come, ``replies`` that replies of inference
    endpoints are: the sensors that look for these have less to do.
    """

    def __init__(self) -> None:
        self.kernel = self.replies = False
        self._told: OrderedDict[int, Process | None] = OrderedDict()
        self._listeners: OrderedDict[int, tuple[Endpoint, list[Process | None]]] = OrderedDict()
        self._pairs: OrderedDict[Pair, float] = OrderedDict()
        self._lock = threading.Lock()

    def told_by_kernel(self, *, replies: bool) -> None:
        """Note that from now on the kernel tells of listeners and connections, and perhaps of replies."""
        self.kernel, self.replies = True, replies

    def told_by_none(self) -> None:
        """Note that who wants to know has to look."""
        self.kernel = self.replies = False

    def listens(self, inode: int, server: Endpoint, process: Process | None) -> bool:
        """Return whether the caller is the first to tell that this process holds this listener.

        A listener whose holder is not known is told only if it was not told yet.
        """
        with self._lock:
            _, holders = self._listeners.setdefault(inode, (server, []))
            pid = process.pid if process is not None else None
            if holders and (pid is None or any(known is not None and known.pid == pid for known in holders)):
                return False
            holders.append(process)
            if len(self._listeners) > _REMEMBERED:
                self._listeners.popitem(last=False)
            return True

    def closes(self, inode: int) -> list[tuple[Endpoint, Process | None]]:
        """Return as what a listener was told, for the first caller that tells of its end; else nothing."""
        with self._lock:
            told = self._listeners.pop(inode, None)
            return [] if told is None else [(told[0], process) for process in told[1]]

    def server(self, at: Endpoint) -> Process | None:
        """Return the only process that was told to listen at an address; None where several do, or nobody."""
        with self._lock:
            listening = [(end, holders) for end, holders in self._listeners.values() if end.port == at.port]
        found = {one.entity_id: one for end, holders in listening if end.ip in (at.ip, *_ANY) for one in holders if one}
        return next(iter(found.values())) if len(found) == 1 else None

    def owner(self, inode: int) -> Process | None:
        """Return the process with which a connection was told, as far as the teller knew it."""
        with self._lock:
            return self._told.get(inode)

    def claimed(self, inode: int) -> bool:
        """Return whether anybody told of this connection."""
        with self._lock:
            return inode in self._told

    def claim(self, socket: Socket, process: Process | None = None) -> bool:
        """Return whether the caller is the first to tell of this socket."""
        with self._lock:
            if socket.inode in self._told:
                return False
            self._told[socket.inode] = process
            if len(self._told) > _REMEMBERED:
                self._told.popitem(last=False)
            self._note((socket.source, socket.destination))
            return True

    def claim_closed(self, pair: Pair) -> bool:
        """Return whether no one told lately of a connection between these ends, whose socket is gone by now."""
        with self._lock:
            told = self._pairs.get(pair)
            if told is not None and clock.monotonic() - told < CLOSED:
                return False
            self._note(pair)
            return True

    def _note(self, pair: Pair) -> None:
        self._pairs[pair] = clock.monotonic()
        self._pairs.move_to_end(pair)
        if len(self._pairs) > _REMEMBERED:
            self._pairs.popitem(last=False)


SHARED = Ledger()
"""For the sensors of one daemon."""


class Sources:
    """Sockets of our network namespace and, where we may, of every other on the host.

    sock_diag first; where the kernel or a sandbox refuses it, psutil, which then also gives the owners.
    """

    def __init__(self) -> None:
        self.owners: dict[int, int] = {}
        self.why: str | None = None
        self._here: SockDiag | None = None
        self._there: dict[int, tuple[int, SockDiag]] = {}

    def start(self) -> None:
        """Open what can be opened."""
        try:
            self._here = SockDiag()
            self._here.dump([LISTEN])
        except OSError as error:
            self.close()
            self.why = f"sock_diag is refused here ({error.strerror}), so psutil reads every socket of every process."

    def close(self) -> None:
        """Give everything back."""
        for diag in (self._here, *(diag for _, diag in self._there.values())):
            if diag is not None:
                diag.close()
        self._here = None
        self._there.clear()

    def refresh(self) -> None:
        """Look for network namespaces that came or went."""
        if self._here is None:
            return
        present = netns.others(machine.pids())
        for space in self._there.keys() - present.keys():
            self._there.pop(space)[1].close()
        for space, pid in present.items():
            if space in self._there:
                self._there[space] = (pid, self._there[space][1])
            elif len(self._there) < MOST_SPACES:
                try:
                    with netns.inside(pid):
                        self._there[space] = (pid, SockDiag())
                except OSError:
                    continue

    def tcp(self, states: Iterable[int], ports: Iterable[int] = (), *, volume: bool = False) -> list[Socket]:
        """Return TCP sockets in these states, with ``ports`` only those with one of them at either end.

        ``volume`` asks for the bytes received and sent.
        """
        if self._here is None:
            return self._by_psutil("tcp", set(states), set(ports))
        wanted, states = list(ports), list(states)
        found = self._here.dump(states, ports=wanted, volume=volume)
        for space, (_, diag) in list(self._there.items()):
            try:
                found += diag.dump(states, ports=wanted, volume=volume)
            except OSError:
                self._there.pop(space)[1].close()
        return found

    def udp_bound(self) -> list[Socket]:
        """Return UDP sockets that are bound and not connected, of our namespace."""
        if self._here is None:
            return self._by_psutil("udp", {CLOSE}, set())
        return self._here.dump([CLOSE], protocol=socket.IPPROTO_UDP)

    def unix(self) -> list[tuple[int, bytes]]:
        """Return (inode, path) of listening Unix sockets; psutil does not say which of them listen."""
        found: list[tuple[int, bytes]] = []
        for pid in ("self", *(pid for pid, _ in self._there.values())):
            found += unix_listeners(procfs.read(f"{procfs.PROC}/{pid}/net/unix", 1 << 24) or b"")
        return found

    def _by_psutil(self, kind: str, states: set[int], ports: set[int]) -> list[Socket]:
        found = []
        for row in psutil.net_connections(kind):
            state = _PSUTIL.get(row.status)
            local, remote = _pair(row.laddr), _pair(row.raddr)
            if state in states and (not ports or {local[1], remote[1]} & ports):
                # psutil gives no inode: a number of our own, negative so that it can never be one.
                stand_in = -1 - (hash((row.family, local, remote, row.pid)) & 0x7FFFFFFF)
                found.append(Socket(int(row.family), state or 0, local, remote, stand_in, 0))
                if row.pid is not None:
                    self.owners[stand_in] = row.pid
        return found


def _pair(place: tuple[str, int] | tuple[()] | str) -> tuple[str, int]:
    return (place[0], place[1]) if isinstance(place, tuple) and place else ("", 0)


def endpoint(pair: tuple[str, int]) -> Endpoint:
    """Return the ``source``, ``destination`` or ``server`` section of an address and port."""
    return Endpoint(ip=pair[0], port=pair[1])


def addresses() -> frozenset[str]:
    """Return the addresses of our network interfaces."""
    return frozenset(entry.address.partition("%")[0] for entries in psutil.net_if_addrs().values() for entry in entries)


def ephemeral() -> range:
    """Return the ports that the kernel hands to clients."""
    fields = (procfs.read(f"{procfs.PROC}/sys/net/ipv4/ip_local_port_range", 64) or b"32768 60999").split()
    try:
        return range(int(fields[0]), int(fields[1]) + 1)
    except (IndexError, ValueError):
        return range(32768, 61000)
