"""A BPF ring buffer, read through shared memory (Documentation/bpf/ringbuf.rst): no call into the kernel per record."""

import mmap
from collections.abc import Iterator
from struct import Struct

_HEADER = Struct("=II")
_POSITION = Struct("=Q")
_BUSY, _DISCARD = 1 << 31, 1 << 30
"""BPF_RINGBUF_BUSY_BIT and BPF_RINGBUF_DISCARD_BIT (include/uapi/linux/bpf.h)."""
MOST = 8192
"""Records that are taken at once: events of more would fill the memory before the queue could refuse them."""


class Ring:
    """Reads the records of one ring buffer. ``size`` is that of the map in bytes.

    The kernel maps the data twice in a row, so that a record that crosses the end can be read in one piece. Positions
    count up for ever. Both are aligned eight bytes, read and written as one.
    """

    def __init__(self, descriptor: int, size: int) -> None:
        page = mmap.PAGESIZE
        self.size = size
        self._page = page
        self._consumer = mmap.mmap(descriptor, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        try:
            self._producer = mmap.mmap(descriptor, page + 2 * size, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
        except BaseException:
            self._consumer.close()
            raise

    def read(self, most: int = MOST) -> Iterator[bytes]:
        """Yield up to ``most`` records that are complete, oldest first; each leaves the ring as the next is asked for.

        A record that is still being written ends the reading: those behind it come next time.
        """
        position: int = _POSITION.unpack_from(self._consumer, 0)[0]
        end: int = _POSITION.unpack_from(self._producer, 0)[0]
        while position < end and most > 0:
            at = self._page + position % self.size
            length = _HEADER.unpack_from(self._producer, at)[0]
            if length & _BUSY:
                return
            size = length & ~_DISCARD
            record = None if length & _DISCARD else self._producer[at + 8 : at + 8 + size]
            position += (size + 15) & ~7
            _POSITION.pack_into(self._consumer, 0, position)
            if record is not None:
                most -= 1
                yield record

    def empty(self) -> bool:
        """Whether everything was read; may be asked by another thread than the reader's."""
        read: int = _POSITION.unpack_from(self._consumer, 0)[0]
        written: int = _POSITION.unpack_from(self._producer, 0)[0]
        return read >= written

    def close(self) -> None:
        """Give the memory back."""
        self._consumer.close()
        self._producer.close()
