"""Volumes, told by the kernel: how much of a watched file a process read or mapped, and how much of a file it wrote.

What it cannot see: reads and writes of tmpfs and memfd, extents that are shared instead of copied (reflink), pages that
are mapped two megabytes at a time, and pages that are written again before they are on disk. An amount is told when it
passes a mark: reading at the touch, at half and at the whole, writing at a MiB and at each doubling. Below the touch
reading is told within a second, but for looks at the head of a file (a MiB) and parts of less than 64 KiB.
A file in a container whose namespace is gone before we look is not counted; its opens count as reads then. A file that
is written anew at its size, without being cut off, is told at twice what was written before.
What it can lose: sums of more than 16,384 pairs of process and file in a second, which is counted; those of more than
16,384 files that are written begin anew.
"""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from ctypes import c_uint64
from mmap import MAP_SHARED, PROT_READ, PROT_WRITE, mmap
from struct import Struct

import msgspec

from replguard.config import Config
from replguard.errors import Unavailable
from replguard.events import clock
from replguard.events.event import Event
from replguard.events.fact import Context
from replguard.events.file import File
from replguard.events.hint import Hint
from replguard.events.process import Process
from replguard.kernel import inodes, libbpf
from replguard.kernel.bpf import volume as records
from replguard.kernel.bpf.volume import Amount
from replguard.kernel.mounts import Mount, mounts
from replguard.kernel.procfs import text
from replguard.kernel.told import Told
from replguard.sensors.files import rests
from replguard.sensors.files.rests import Rests
from replguard.sensors.files.sections import file_section, lstat
from replguard.sensors.losses import Losses
from replguard.sensors.probed import KERNEL, Probed, tried
from replguard.sensors.processes.who import Who

AREA = "file"
TIER = "kernel"
REPLACES = frozenset[str]()
TOUCH_BYTES, TOUCH_SHARE = 16 * 2**20, 0.1
"""Bytes, or the share of the file, at which reading touches it (meanings: Touched)."""
MOUNTS_EVERY = 5.0
UNCOUNTED = frozenset("tmpfs ramfs hugetlbfs".split())
"""Filesystems whose reads pass no probe."""

_START = Struct("=Q")

Key = tuple[int, int]


class VolumeSensor(Probed):
    """Makes file_read of hinted files and file_grow of every large one, with the process that did it."""

    name = "volume"
    area = AREA
    blind = "reads and writes of tmpfs, memfd and reflinks, and mappings of 2 MiB pages, are not counted."
    makes = frozenset({"file_read"})
    records = records
    told_key, most_told = records.READER_KEY.size + _START.size, 2 * records.READERS

    def __init__(self, config: Config | None = None) -> None:
        super().__init__(config)
        self._hints: deque[Hint] = deque()
        self._files: dict[Key, tuple[int, Hint, inodes.Inode]] = {}
        self._slots: dict[int, Key] = {}
        self._marks: dict[int, rests.Mark] = {}
        self._rests, self._gaps = Rests(), Losses(self)
        self._next = 0
        self._before: dict[bytes, int] = {}
        self._maybe: mmap | None = None
        self._mounts: list[Mount] = []
        self._mounts_due = 0.0

    def prepare(self, programs: libbpf.Programs, noted: Told) -> None:
        self._who = Who()
        self._watched, self._readers = programs.map("watched"), programs.map("readers")
        self._maybe = mmap(programs.map(".bss"), records.MAYBE * 8, MAP_SHARED, PROT_READ | PROT_WRITE)
        known = [hint for _, hint, _ in self._files.values()]
        self._files, self._slots, self._marks = {}, {}, {}
        self._rests = Rests(lambda key, start, told: noted.note(_reader(key, start), told))
        self._before = {}
        if programs.adopted:
            self._go_on(programs, noted)
        self._hints.extendleft(reversed(known))
        self._take_hints()

    def _go_on(self, programs: libbpf.Programs, noted: Told) -> None:
        """Let files have the numbers that they had, and go on from what was told of who read them."""
        for key, value in programs.entries(self._watched, records.KEY.size, records.WATCHED.size):
            self._before[key] = records.WATCHED.unpack(value)[1]
        self._next = max(self._before.values(), default=0)
        amounts = noted.amounts()
        for key, value in programs.entries(self._readers, records.READER_KEY.size, records.READER.size):
            amount = records.reader(key, value, 0)
            told = amounts.get(_reader((amount.pid, amount.slot, amount.kind), amount.start), 0)
            self._rests.told(amount._replace(bytes=told if told <= amount.bytes else 0))  # else it was begun anew

    def reconcile(self) -> None:
        for key in self._before:
            self.programs.remove(self._watched, key)
        self._before = {}

    def require(self, programs: libbpf.Programs) -> None:
        if all(hook.program in programs.missing for hook in records.HOOKS):
            raise Unavailable("this kernel has none of the places where volumes are told.")

    def stop(self) -> None:
        if self._maybe is not None:
            self._maybe.close()
            self._maybe = None
        super().stop()

    def watch(self, hint: Hint) -> None:
        if hint.kind == "inode" and hint.device is not None and hint.inode is not None:
            self._hints.append(hint)

    def counts(self, device: int, inode: int) -> bool:
        """Whether every read of a file through the page cache is counted: then an open alone says nothing."""
        known, programs = self._files.get((device, inode)), self._programs
        return known is not None and programs is not None and "volume_read" not in programs.missing

    def check(self) -> Iterator[Event]:
        """Tell of reading that came to no mark; many processes may read a file in parts."""
        if not {"volume_read", "volume_map"} <= self.programs.missing.keys():
            yield from self._sweep(self.programs, round(clock.since_boot() * 1e9))
        yield from self._gaps.tell()

    def _sweep(self, programs: libbpf.Programs, when: int) -> Iterator[Event]:
        entries = programs.entries(self._readers, records.READER_KEY.size, records.READER.size)
        amounts = (records.reader(key, value, when) for key, value in entries)
        for amount in self._rests.sweep(amounts, self._marks):
            size = self._files[self._slots[amount.slot]][1].size or 0
            yield from filter(None, [self._used(amount._replace(size=size))])
        self._gaps.add("kernel", "sums of reading gave way to others", self._rests.evicted)
        for key in self._rests.resting():
            if not os.path.exists(f"{self._root}/{key[0]}"):  # noqa: PTH110 - pathlib costs more
                self._rests.forget(key)
                pid, slot, kind = key
                programs.remove(self._readers, records.READER_KEY.pack(pid, slot, kind == records.MAP))

    def read(self) -> Iterable[Event]:
        self._take_hints()
        yield from super().read()

    def decoded(self, taken: list[bytes]) -> Iterator[Event]:
        for amount in self.parsed(records.amount, taken):
            if amount.kind != records.WRITE:
                self._rests.told(amount)
            event = self._written(amount) if amount.kind == records.WRITE else self._used(amount)
            if event is None:
                self.counters.skip()
            else:
                yield event

    # -- what is watched -----------------------------------------------------------------------------------------

    def _take_hints(self) -> None:
        while self._hints:
            hint = self._hints.popleft()
            key = (hint.device or 0, hint.inode or 0)
            if hint.drop:
                self._drop(key)
            elif key in self._files:
                slot, _, inode = self._files[key]
                self._files[key] = (slot, hint, inode)
            elif hint.path is not None:
                self._add(key, hint)

    def _add(self, key: Key, hint: Hint) -> None:
        ways = (inodes.find(os.fsencode(way), self._mounted(), key=key) for way in (hint.host_path, hint.path) if way)
        found = next((way for way in ways if way is not None), None)
        if found is None or found.kind in UNCOUNTED:
            return
        there = records.key(found.superblock, found.number)
        slot = self._before.pop(there, 0)
        if not slot:
            slot = self._next = self._next + 1
        touch = int(min(TOUCH_BYTES, TOUCH_SHARE * (hint.size or 0)))
        try:
            self.programs.put(self._watched, there, records.watched(touch, slot))
        except OSError as error:
            self._gaps.add("watch", f"map of watched files full ({error.strerror})")
            return
        self._files[key], self._slots[slot] = (slot, hint, found), key
        self._marks[slot] = rests.mark(touch, hint.size or 0)
        self._filter(found.number)

    def _drop(self, key: Key) -> None:
        """Forget a file. Its bit in the filter stays: another may share it, and one too many costs a look-up."""
        slot, _, found = self._files.pop(key, (0, None, None))
        if found is not None:
            self._slots.pop(slot, None)
            self._marks.pop(slot, None)
            self.programs.remove(self._watched, records.key(found.superblock, found.number))

    def _filter(self, number: int) -> None:
        assert self._maybe is not None  # noqa: S101 - made in prepare
        word, bit = records.bit(number)
        cell = c_uint64.from_buffer(self._maybe, word * 8)
        cell.value |= 1 << bit
        del cell  # a mapping that is looked into cannot be closed

    # -- what happened -------------------------------------------------------------------------------------------

    def _used(self, amount: Amount) -> Event | None:
        key = self._slots.get(amount.slot)
        if key is None:
            return None
        hint = self._files[key][1]
        path = hint.path or ""
        file = File(path=path, name=path.rpartition("/")[2], device=key[0], inode=key[1], size=amount.size, type="file")
        about = msgspec.structs.replace(
            KERNEL, mode="map" if amount.kind == records.MAP else "read", bytes=amount.bytes, share=amount.share,
            precision="bytes",
        )  # fmt: skip
        return self._told("file_read", amount, file, about)

    def _written(self, amount: Amount) -> Event | None:
        """Tell of a large file that is being written. One without a name any more is told by who holds it open."""
        found = self._placed(amount)
        if found is None:
            return None
        name, status = found
        section = file_section(name.path, status)
        about = msgspec.structs.replace(KERNEL, bytes=amount.bytes, mode=None)
        if name.host != name.path:
            about = msgspec.structs.replace(about, host_path=text(name.host))
        return self._told("file_grow", amount, section, about)

    def _placed(self, amount: Amount) -> tuple[inodes.Name, os.stat_result] | None:
        inside = os.fsencode(amount.path) if amount.path is not None else None
        named = inodes.name(amount.device, inside, self._mounted()) if inside is not None else None
        status = self._is(amount, named.host, self._mounted()) if named is not None else None
        return (named, status) if named is not None and status is not None else self._elsewhere(amount, inside)

    @staticmethod
    def _is(amount: Amount, path: bytes, listed: list[Mount]) -> os.stat_result | None:
        """Return the status of a path if it is the inode that was told: by its number, and by its filesystem."""
        status = lstat(path)
        if status is None or status.st_ino != amount.inode:
            return None
        return status if inodes.lies(path, status, amount.device, listed) else None

    def _elsewhere(self, amount: Amount, inside: bytes | None) -> tuple[inodes.Name, os.stat_result] | None:
        """Look where the writer does: in its own mount namespace, or among its descriptors."""
        root, theirs = f"/proc/{amount.pid}/root".encode(), mounts(amount.pid) or []
        named = inodes.name(amount.device, inside, theirs) if inside is not None else None
        if named is not None and (status := self._is(amount, root + named.host, theirs)) is not None:
            return inodes.Name(named.path, root + named.host), status
        listed = [*self._mounted(), *theirs]
        held = self._who.held(
            amount.pid, amount.inode, lambda path, status: inodes.lies(path, status, amount.device, listed)
        )
        return None if held is None else (inodes.Name(held[0], held[1]), held[2])

    def _told(self, action: str, amount: Amount, file: File, about: Context) -> Event:
        ticks = amount.ticks
        process = self._who.process(amount.pid)
        entity = self._who.describer.entity(amount.pid, ticks)
        if process is None or process.entity_id != entity:
            process = Process(pid=amount.pid, entity_id=entity)
        return self.event(action, self.at(amount.when), file=file, process=process, replguard=about)

    def _mounted(self) -> list[Mount]:
        now = clock.monotonic()
        if now >= self._mounts_due:
            self._mounts, self._mounts_due = mounts() or [], now + MOUNTS_EVERY
        return self._mounts


def _reader(key: rests.Key, start: int) -> bytes:
    """Return the key under which it is noted how much was told of a process that reads a file."""
    pid, slot, kind = key
    return records.READER_KEY.pack(pid, slot, kind == records.MAP) + _START.pack(start)


def open(config: Config) -> VolumeSensor:  # noqa: A001 - the registry calls every sensor module alike
    """Return the sensor, after a trial: whoever asks learns at once whether it works. Raises Unavailable."""
    return tried(VolumeSensor(config))
