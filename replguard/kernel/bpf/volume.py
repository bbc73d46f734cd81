"""Decodes the records of volume.bpf.c, which lies beside this file, and writes the keys of its maps."""

from struct import Struct
from typing import NamedTuple

from replguard.events.identity import TICK
from replguard.kernel.bpf.process import path
from replguard.kernel.hooks import Hook

OBJECT = "volume.bpf.o"
READ, MAP, WRITE = KINDS = range(3)
RING, READERS = 1 << 20, 16384
"""Bytes of the ring, and processes that read a file whose sums are kept at a time."""
MAYBE = 1024
"""Words of 64 bits of the filter that is asked first."""
SMALLEST = 1 << 20
"""Bytes of a file from which writing it is told, first at so many bytes written and then at each doubling."""
KEY = Struct("=QII")
WATCHED = Struct("=QII")
READER_KEY = Struct("=III")
READER = Struct("=QQQQQQ")
AMOUNT = Struct("=IIQQQIIQQQII")
TICK_NS = round(TICK * 1e9)
_OPENS = "an open counts as a read"
_CLOSES = "a file is looked at while it grows and when it is closed"
HOOKS = (
    Hook("volume_read", "tp_btf/mm_filemap_get_pages", (6, 12), _OPENS, "how much was read"),
    Hook("volume_map", "tp_btf/mm_filemap_map_pages", (6, 12), "a list of mappings stands in", "how much was mapped"),
    Hook("volume_dirty", "tp_btf/writeback_dirty_folio", (5, 5), _CLOSES, "who writes a file that is never closed"),
    Hook(
        "volume_dirty_page",
        "tp_btf/writeback_dirty_page",
        (5, 5),
        "it is writeback_dirty_folio since 5.18",
        "nothing",
        until=(5, 18),
        better="volume_dirty",
    ),
    Hook("volume_direct", "tp_btf/iomap_dio_rw_begin", (6, 6), _OPENS, "how much was read or written past the cache"),
)


class Amount(NamedTuple):
    """An amount that passed a mark. Times are nanoseconds since boot; ``device`` is the kernel's own s_dev.

    ``bytes`` is the sum of this process and file so far, ``coverage`` has a bit for each 64th of the file that was
    read. ``path`` is that inside the file's filesystem, None where it did not fit or was not told.
    """

    kind: int
    pid: int
    when: int
    start: int
    inode: int
    device: int
    slot: int
    bytes: int
    size: int
    coverage: int
    path: str | None

    @property
    def ticks(self) -> int:
        """The start of the process in the unit of ``/proc/PID/stat``."""
        return self.start // TICK_NS

    @property
    def share(self) -> float:
        """The part of the file that was read, 0 to 1: at most that of its bytes, and that of the 64ths touched."""
        return min(1.0, self.bytes / self.size if self.size else 1.0, self.coverage.bit_count() / 64)


def amount(record: bytes) -> Amount:
    """Return the amount of a record; raises struct.error if it is too short."""
    *numbers, names, cut = AMOUNT.unpack_from(record)
    data = record[AMOUNT.size : AMOUNT.size + names]
    return Amount._make((*numbers, None if cut or not data else path(data)))


def reader(key: bytes, value: bytes, when: int) -> Amount:
    """Return what an entry of the map of readers says at a time: as a record would, but for the file's numbers."""
    pid, slot, mapped = READER_KEY.unpack(key)
    total, _, coverage, start, _, _ = READER.unpack(value)
    return Amount(MAP if mapped else READ, pid, when, start, 0, 0, slot, total, 0, coverage, None)


def key(device: int, inode: int) -> bytes:
    """Return the key of a file in the maps; ``device`` as the kernel has it."""
    return KEY.pack(inode, device, 0)


def watched(touch: int, slot: int) -> bytes:
    """Return the value of a watched file: bytes at which reading is told first, and its number."""
    return WATCHED.pack(touch, slot, 0)


def bit(inode: int) -> tuple[int, int]:
    """Return the word and the bit of an inode number in the filter that is asked first."""
    return inode >> 6 & (MAYBE - 1), inode & 63
