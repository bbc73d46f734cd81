"""TCP told by the kernel, by eBPF: listeners, connections with their outcome, replies, and bytes to each destination.

What is written to a FUSE mount is told as bytes to the mount. What it cannot see: what was there before it started,
Unix sockets and bound UDP ports (the network sensor still looks
for these, and for processes that inherit a listener); connections that another host opens (it is told what was sent on
them, not that they came); bytes by SCTP, by raw and ping sockets and past the kernel's network (XDP, packet sockets).
Bytes that stay on the host are told by TCP alone, by the port of loopback and from 64 KiB on a connection; bytes of one
call are counted when it returns. A reply is told at its first byte, so its size is what had come by then.
Of a process with more than 2,048 destinations at a time the others are told as one, which is counted.
Of a user (of root: a control group) who makes more than 4,000 connections or 500 listeners in a second the rest is not
told, which is counted; the network sensor's next looks find what stays.
Of more than 32,768 connections at a time the least used lose their outcome and replies, which is not.
When the ring overflows the loss is told, and the network sensor's next look finds what is still open.
"""

import contextlib
import errno
import os
import struct
import sys
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator

import msgspec

from replguard.config import Config
from replguard.errors import Unavailable
from replguard.events import clock
from replguard.events.event import Event
from replguard.events.hint import Hint
from replguard.events.network import Endpoint, Network
from replguard.events.process import Process
from replguard.kernel import cgroups, libbpf, machine, netns
from replguard.kernel.bpf import network as records
from replguard.kernel.bpf.network import (
    DATAGRAMS,
    FAILED,
    LISTENS,
    OPEN,
    OPENED,
    RECEIVE,
    REPLY,
    SEND,
    STATE,
    UNLISTENS,
    Record,
)
from replguard.kernel.mounts import of_superblock
from replguard.kernel.procfs import PROC, text
from replguard.kernel.sockdiag import ESTABLISHED, LISTEN, Socket
from replguard.kernel.told import Told
from replguard.sensors.losses import Losses
from replguard.sensors.probed import KERNEL, Probed, tried
from replguard.sensors.processes.who import Who
from replguard.sensors.sockets.flows import Amount, Flows
from replguard.sensors.sockets.tables import MOST_SPACES, SHARED, Ledger, Sources, ephemeral

AREA = "network"
TIER = "kernel"
REPLACES = frozenset({"network", "endpoint"})
KEEPS = REPLACES
"""They go on with less to do: the ledger that they share with this sensor says with what."""
SWEEP = 2.0
"""Seconds between readings of the kernel's sums."""
AGAIN = 1.0
"""Seconds for which a description of a living process holds."""
_OUTCOMES = {
    status: msgspec.structs.replace(KERNEL, status=status) for status in ("established", "refused", "failed", "reply")
}
_DESCRIBED = 1024
_FIRST = bytes(4)
"""The key of the only entry of a map that holds one."""


class TcpSensor(Probed):
    """Makes socket_listen, socket_close, network_connection and network_volume."""

    name = "tcp"
    area = AREA
    blind = (
        "Unix sockets and bound UDP ports (the network sensor finds who listens), what was there before, bytes by SCTP "
        "and by raw, ping and packet sockets, and less than 64 KiB on a connection that stays on the host."
    )

    pressing = frozenset({"socket_listen"})  # a replica that listens is to be told before it answers
    gather = 0.02  # whoever waits for it knocks ten times a second, and each knock begins a gathering
    records = records
    told_key, most_told = records.FLOW, 2 * records.FLOWS

    def __init__(self, config: Config | None = None, root: str = PROC, ledger: Ledger | None = None) -> None:
        super().__init__(config, root)
        self._ledger = SHARED if ledger is None else ledger
        self._hints: dict[int, set[str | None]] = {}
        self._lock = threading.Lock()
        self._flows, self._gaps = Flows(), Losses(self)
        self._swept, self._own = 0.0, os.getpid()
        self._walks = False
        self._described: OrderedDict[tuple[int, int], tuple[float, Process]] = OrderedDict()

    def start(self) -> None:
        self._who = Who(self._root)
        super().start()
        self._ledger.told_by_kernel(replies=RECEIVE not in self.programs.missing)

    def prepare(self, programs: libbpf.Programs, noted: Told) -> None:
        self._flows.restart(noted)
        self._sums, self._shares = programs.map("sums"), programs.map("shares")
        self._merged_at, self._crowded_at = noted.counter(b"mrg"), noted.counter(b"crd")
        self._merged, self._crowded, self._before = 0, 0, bytes(records.PORTS)
        if programs.adopted:
            self._go_on(programs, noted)
        else:
            programs.put(programs.map(".bss.listening"), _FIRST, records.ports(_listening()))
        self._hint(programs)
        clients = ephemeral()
        programs.put(programs.map(".bss.ephemeral"), _FIRST, struct.pack("=II", clients.start, clients.stop - 1))

    def _go_on(self, programs: libbpf.Programs, noted: Told) -> None:
        """Go on from what was told, and with the ports that were watched, until it is known which are."""
        amounts = noted.amounts()
        self._merged, self._crowded = amounts.get(self._merged_at, 0), amounts.get(self._crowded_at, 0)
        self._before = programs.get(programs.map(".bss.hinted"), _FIRST, records.PORTS)
        for key, held in programs.entries(self._sums, records.FLOW, records.SUM.size):
            if amounts.get(key, 0) <= records.SUM.unpack(held)[0]:  # else the kernel began it anew
                self._flows.went_on(key, amounts.get(key, 0))

    def reconcile(self) -> None:
        with self._lock:
            self._before = bytes(records.PORTS)
            self._hint(self.programs)

    def require(self, programs: libbpf.Programs) -> None:
        if STATE in programs.missing:
            raise Unavailable(f"the kernel refuses the probe of TCP's states ({programs.missing[STATE]}).")
        self._walks = SEND in programs.missing
        if self._walks:
            programs.put(programs.map(".bss.at_close"), _FIRST, (1).to_bytes(4, "little"))
            programs.missing |= {name: "" for name in DATAGRAMS if name not in self.left()}
        else:
            self._attach_datagrams(programs, [name for name in DATAGRAMS if name not in self.left()])

    def _attach_datagrams(self, programs: libbpf.Programs, names: list[str]) -> None:
        try:
            group = cgroups.root()
        except OSError as error:
            programs.missing |= dict.fromkeys(names, f"the control groups cannot be opened: {error.strerror}")
            return
        try:
            for name in names:
                programs.attach_below(name, group)
        finally:
            os.close(group)

    def stop(self) -> None:
        self._ledger.told_by_none()
        with self._lock:
            super().stop()

    def watch(self, hint: Hint) -> None:
        if hint.kind != "endpoint" or hint.port is None:
            return
        with self._lock:
            addresses = self._hints.setdefault(hint.port, set())
            (addresses.discard if hint.drop else addresses.add)(hint.ip)
            if not addresses:
                del self._hints[hint.port]
            if self._programs is not None:
                self._hint(self._programs)

    def _hint(self, programs: libbpf.Programs) -> None:
        ours, theirs = (int.from_bytes(ports, "little") for ports in (records.ports(set(self._hints)), self._before))
        programs.put(programs.map(".bss.hinted"), _FIRST, (ours | theirs).to_bytes(records.PORTS, "little"))

    def tick(self) -> Iterable[Event]:
        yield from super().tick()
        now = clock.monotonic()
        if now - self._swept >= SWEEP:
            self._swept = now
            yield from self._sweep()

    def decoded(self, taken: list[bytes]) -> Iterable[Event]:
        for record in self.parsed(records.record, taken):
            if record.pid == self._own:
                self.heard = clock.monotonic()
            yield from self._told(record)

    def _told(self, record: Record) -> Iterable[Event]:
        if record.kind == LISTENS:
            return self._listens(record)
        if record.kind == UNLISTENS:
            return self._closes(record)
        if record.kind in (OPENED, FAILED):
            return self._connects(record)
        return self._answered(record) if record.kind == REPLY else self._sent(record)

    # -- listeners -----------------------------------------------------------------------------------------------

    def _listens(self, record: Record) -> Iterator[Event]:
        """Tell of a listener. One without a port gets it a moment later; the network sensor finds it."""
        if not record.source_port:
            self.counters.skip()
            return
        process, server = self._process(record), _end(record.source, record.source_port)
        if self._ledger.listens(record.inode, server, process):
            yield self._listener("socket_listen", record, server, process)

    def _closes(self, record: Record) -> Iterator[Event]:
        for server, process in self._ledger.closes(record.inode):
            yield self._listener("socket_close", record, server, process)

    def _listener(self, action: str, record: Record, server: Endpoint, process: Process | None) -> Event:
        return self.event(
            action,
            self.at(record.when),
            process=process,
            server=server,
            network=Network(transport="tcp", inode=record.inode or None, namespace=record.space),
            replguard=KERNEL,
        )

    # -- connections ---------------------------------------------------------------------------------------------

    def _connects(self, record: Record) -> Iterator[Event]:
        """Tell of a connection when its outcome is known. Bytes are 0, not unknown, where replies will be told."""
        process = self._process(record)
        if record.kind == FAILED:
            yield self._connection(record, process, "refused" if record.error == errno.ECONNREFUSED else "failed")
        elif self._ledger.claim(_socket(record), process):
            watched = self._ledger.replies and record.watched and self._hinted(record)
            yield self._connection(record, process, "established", 0 if watched else None)
        else:
            self.counters.skip()

    def _answered(self, record: Record) -> Iterator[Event]:
        if self._ledger.replies and self._hinted(record):
            yield self._connection(record, self._process(record), "reply", record.amount)
        else:
            self.counters.skip()

    def _connection(self, record: Record, process: Process, status: str, received: int | None = None) -> Event:
        return self.event(
            "network_connection",
            self.at(record.when),
            process=process,
            source=_end(record.source, record.source_port),
            destination=_end(record.destination, record.destination_port),
            network=Network(
                transport="tcp", initiated=True, bytes=received, inode=record.inode or None, namespace=record.space
            ),
            replguard=_OUTCOMES[status],
        )

    def _hinted(self, record: Record) -> bool:
        """Tell whether a connection goes to an inference endpoint; the kernel looked at its port alone."""
        addresses = self._hints.get(record.destination_port, ())
        to = records.text(record.destination)
        here = to.startswith("127.") or to == "::1" or record.destination == record.source
        return to in addresses or (None in addresses and here)

    # -- volume --------------------------------------------------------------------------------------------------

    def _sent(self, record: Record) -> Iterator[Event]:
        key = records.key(record)
        amount = self._flows.alone(key, record.amount) if record.error else self._flows.passed(key, record.amount)
        event = self._volume(record, amount) if amount is not None else None
        if event is not None:
            yield event
        else:
            self.counters.skip()

    def _sweep(self) -> Iterator[Event]:
        if self._walks and OPEN not in self.programs.missing:
            self._walk()
        size, when = records.SUM.size, round(clock.since_boot() * 1e9)
        found = list(self.programs.entries(self._sums, records.FLOW, size))
        for amount in self._flows.sweep((key, records.SUM.unpack(held)[0]) for key, held in found):
            event = self._volume(records.volume(amount.key, amount.total, when), amount)
            yield from [event] if event is not None else ()
        resting = set(self._flows.resting())
        for key in resting:
            self.programs.remove(self._sums, key)
        self._share(self.programs, [key for key, _ in found if key not in resting])
        yield from self._gaps.tell()

    def _share(self, programs: libbpf.Programs, flows: list[bytes]) -> None:
        """Tell the kernel how many destinations each process and all have by now, and count those it put together."""
        each = Counter(map(records.share, flows))
        for key, _ in list(programs.entries(self._shares, records.SHARE_KEY.size, records.COUNT.size)):
            if key in each:
                programs.put(self._shares, key, records.COUNT.pack(each[key]))
            else:
                programs.remove(self._shares, key)
        programs.put(programs.map(".bss.held"), _FIRST, records.COUNT.pack(len(flows)))
        merged = programs.number(programs.map(".bss.merged"), 0)
        self._gaps.add(
            "kernel", "sends of a process to too many destinations to tell these apart", merged - self._merged
        )
        self._merged = self._noted_as(self._merged_at, self._merged, merged)
        crowded = programs.number(programs.map(".bss.crowded"), 0)
        self._gaps.add(
            "kernel", "listeners and connections of a user who has too many at once", crowded - self._crowded
        )
        self._crowded = self._noted_as(self._crowded_at, self._crowded, crowded)

    def _noted_as(self, key: bytes, before: int, now: int) -> int:
        """Note that a count was told, for whoever goes on after us; return it."""
        if now != before and self._noted is not None:
            self._noted.note(key, now)
        return now

    def _walk(self) -> None:
        """Let the kernel count what the connections that are open have sent, in every network namespace."""
        spaces = list(netns.others(machine.pids(self._root), self._root).values())
        self.programs.walk(OPEN)
        for pid in spaces[:MOST_SPACES]:
            with contextlib.suppress(OSError), netns.inside(pid):
                self.programs.walk(OPEN)

    def _volume(self, record: Record, amount: Amount) -> Event | None:
        accepted = bool(record.accepted)
        destination = self._mount(record) if record.protocol == records.OF_FUSE else _destination(record)
        if destination is None:
            return None
        return self.event(
            "network_volume",
            self.at(record.when),
            process=self._process(record),
            source=Endpoint(port=record.source_port) if accepted else None,
            destination=destination,
            network=Network(transport=record.transport, initiated=not accepted, bytes=amount.new),
            replguard=msgspec.structs.replace(KERNEL, bytes=amount.total),
        )

    def _mount(self, record: Record) -> Endpoint | None:
        """Return a FUSE mount by where it comes from, None for a disk that a program reads (NTFS, exFAT)."""
        found = of_superblock(int.from_bytes(record.destination[12:], sys.byteorder), record.pid, self._root)
        if found is not None and found.kind.startswith("fuseblk"):
            return None
        if found is not None and (":" in found.source or "/" in found.source):
            return Endpoint(path=found.source)
        return Endpoint(path=text(found.path) if found is not None else "a FUSE mount")

    # -- processes -----------------------------------------------------------------------------------------------

    def _process(self, record: Record) -> Process:
        """Describe a process that lives; of one that is gone only who it was is told, which others knew."""
        key, now = (record.pid, record.ticks), clock.monotonic()
        when, known = self._described.get(key, (0.0, None))
        if known is not None and now - when < AGAIN:
            return known
        entity = self._who.describer.entity(record.pid, record.ticks)
        found = self._who.process(record.pid)
        if found is None or found.entity_id != entity:
            found = Process(pid=record.pid, entity_id=entity)
        self._described[key] = (now, found)
        self._described.move_to_end(key)
        if len(self._described) > _DESCRIBED:
            self._described.popitem(last=False)
        return found


def _end(address: bytes, port: int | None) -> Endpoint:
    return Endpoint(ip=records.text(address), port=port or None)


def _destination(record: Record) -> Endpoint:
    return _end(record.destination, record.destination_port) if any(record.destination) else Endpoint()


def _socket(record: Record) -> Socket:
    source = records.text(record.source), record.source_port
    destination = records.text(record.destination), record.destination_port
    return Socket(0, ESTABLISHED, source, destination, record.inode, 0)


def _listening() -> set[int]:
    """Return the ports at which anybody listens already, in all network namespaces that can be seen."""
    sources = Sources()
    sources.start()
    try:
        sources.refresh()
        return {found.source[1] for found in sources.tcp([LISTEN])}
    finally:
        sources.close()


def open(config: Config) -> TcpSensor:  # noqa: A001 - the registry calls every sensor module alike
    """Return the sensor, after a trial: whoever asks learns at once whether it works. Raises Unavailable."""
    sensor = TcpSensor(config)
    sensor.early = tried(TcpSensor(config, ledger=Ledger())).early
    return sensor
