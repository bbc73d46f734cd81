"""A BPF ring buffer, read through shared memory (Documentation/bpf/ringbuf.rst): no call into the kernel per record."""

import mmap
from collections.abc import Iterator
from struct import Struct

_HEADER = Struct("=II")
_BUSY, _DISCARD = 1 << 31, 1 << 30
"""BPF_RINGBUF_BUSY_BIT and BPF_RINGBUF_DISCARD_BIT (include/uapi/linux/bpf.h)."""
MOST = 8192
"""Records that are taken at once: events of more would fill the memory before the queue could refuse them."""
_GIVE_BACK = 256
"""Records after which their room is given back: the position is written where every producer reads it."""


class Ring:
    """Reads the records of one ring buffer. ``size`` is that of the map in bytes.

    The kernel maps the data twice in a row, so that a record that crosses the end can be read in one piece. Positions
    count up for ever, in eight aligned bytes. They are written through a view, in one store: ``struct.pack_into``
    clears what it writes first, and who produces a record in that moment finds the ring full.
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
        self._read = memoryview(self._consumer)[:8].cast("Q")
        self._written = memoryview(self._producer)[:8].cast("Q")

    @property
    def position(self) -> int:
        """Up to where it was read."""
        return int(self._read[0])

    def rewind(self, position: int) -> bool:
        """Go back to where it had been read up to before; False where that was written over since.

        Room that was given back may be taken in this moment: it is looked again whether it was.
        """
        now = self.position
        if position > now or position % 8 or self._written[0] - position > self.size:
            return False
        self._read[0] = position
        if self._written[0] - position <= self.size:
            return True
        self._read[0] = now
        return False

    def read(self, most: int = MOST, until: int | None = None) -> Iterator[bytes]:
        """Yield up to ``most`` records that are complete, oldest first. They are copies: their room is given back.

        A record that is still being written ends the reading: those behind it come next time; and so does ``until``, a
        position up to which it was read.
        """
        position, end, taken = self._read[0], self._written[0] if until is None else until, 0
        try:
            while position < end and taken < most:
                at = self._page + position % self.size
                length = _HEADER.unpack_from(self._producer, at)[0]
                if length & _BUSY:
                    return
                size = length & ~_DISCARD
                record = None if length & _DISCARD else self._producer[at + 8 : at + 8 + size]
                position += (size + 15) & ~7
                if record is not None:
                    taken += 1
                    if taken % _GIVE_BACK == 0:
                        self._read[0] = position
                    yield record
        finally:
            self._read[0] = position

    def empty(self) -> bool:
        """Whether everything was read; may be asked by any thread. Raises ValueError if closed."""
        return bool(self._read[0] >= self._written[0])

    def close(self) -> None:
        """Give the memory back."""
        for view in (self._read, self._written):
            view.release()
        self._consumer.close()
        self._producer.close()
