"""The ring: records in order, across its end, and no further than the first that is still being written."""

import mmap
import os
import struct
import subprocess
import sys
from collections.abc import Iterator

import pytest

from replguard.kernel.ringbuf import Ring

SIZE = mmap.PAGESIZE
BUSY, DISCARD = 1 << 31, 1 << 30


class Kernel:
    """Writes what the kernel would write, into an anonymous file."""

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("ring")
        os.ftruncate(self.descriptor, 2 * mmap.PAGESIZE + 2 * SIZE)
        self.end = 0

    def start_at(self, position: int) -> None:
        self.end = position
        for page in (0, mmap.PAGESIZE):
            os.pwrite(self.descriptor, struct.pack("=Q", position), page)

    def put(self, data: bytes, flags: int = 0) -> int:
        at, record = self.end, struct.pack("=II", len(data) | flags, 0) + data
        for index, byte in enumerate(record):
            place = 2 * mmap.PAGESIZE + (at + index) % SIZE
            for copy in (0, SIZE):
                os.pwrite(self.descriptor, bytes([byte]), place + copy)
        self.end += (len(data) + 15) & ~7
        os.pwrite(self.descriptor, struct.pack("=Q", self.end), mmap.PAGESIZE)
        return at

    def consumed(self) -> int:
        return int(struct.unpack("=Q", os.pread(self.descriptor, 8, 0))[0])


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    made = Kernel()
    yield made
    os.close(made.descriptor)


@pytest.fixture
def ring(kernel: Kernel) -> Iterator[Ring]:
    made = Ring(kernel.descriptor, SIZE)
    yield made
    made.close()


def test_it_goes_back_to_where_it_had_read_up_to(kernel: Kernel, ring: Ring) -> None:
    """And reads again no further than it is told; what was written over since, and what is no such place, is left."""
    kernel.put(b"a" * 8)
    list(ring.read())
    position = ring.position
    kernel.put(b"b" * 8)
    kernel.put(b"c" * 8)
    assert list(ring.read()) == [b"b" * 8, b"c" * 8]
    end = ring.position
    kernel.put(b"d" * 8)
    assert ring.rewind(position)
    assert list(ring.read(until=end)) == [b"b" * 8, b"c" * 8]
    assert list(ring.read()) == [b"d" * 8]
    assert not ring.rewind(ring.position + 8)
    assert not ring.rewind(position + 1)
    for _ in range(SIZE // 16):
        kernel.put(b"e" * 8)
    assert not ring.rewind(position)
    assert kernel.consumed() == ring.position


def test_records_come_in_order_and_make_room(kernel: Kernel, ring: Ring) -> None:
    """What was discarded is passed over; the consumer's position is told to the kernel."""
    for data, flags in ((b"one", 0), (b"never", DISCARD), (b"eightbyt", 0), (b"", 0)):
        kernel.put(data, flags)
    assert list(ring.read()) == [b"one", b"eightbyt", b""]
    assert kernel.consumed() == kernel.end
    assert list(ring.read()) == []


def test_a_record_across_the_end_is_whole(kernel: Kernel, ring: Ring) -> None:
    """Positions count on past the size of the ring."""
    kernel.start_at(5 * SIZE - 16)
    kernel.put(b"a record of some length")
    assert list(ring.read()) == [b"a record of some length"]


def test_what_is_being_written_waits(kernel: Kernel, ring: Ring) -> None:
    """Nothing behind it is read before it, and nothing is lost."""
    kernel.put(b"first")
    at = kernel.put(b"second", BUSY)
    kernel.put(b"third")
    assert list(ring.read()) == [b"first"]
    assert kernel.consumed() == at
    for copy in (0, SIZE):
        os.pwrite(kernel.descriptor, struct.pack("=I", 6), 2 * mmap.PAGESIZE + at + copy)
    assert list(ring.read()) == [b"second", b"third"]


def test_no_more_are_taken_than_asked(kernel: Kernel, ring: Ring) -> None:
    """The rest stays for the next time."""
    for data in (b"1", b"2", b"3"):
        kernel.put(data)
    assert list(ring.read(2)) == [b"1", b"2"]
    assert list(ring.read(2)) == [b"3"]


SAMPLER = """
import mmap, sys, time
view = memoryview(mmap.mmap(int(sys.argv[1]), mmap.PAGESIZE, mmap.MAP_SHARED, mmap.PROT_READ))[:8].cast("Q")
print(flush=True)
least, end = view[0], time.monotonic() + 0.7
while time.monotonic() < end:
    least = min(least, *[view[0] for _ in range(1000)])
print(least)
"""


def test_the_position_is_written_in_one_store(kernel: Kernel, ring: Ring) -> None:
    """The kernel compares it at any moment: one that is half written would make the ring look full."""
    kernel.start_at(1 << 40)
    words = [sys.executable, "-c", SAMPLER, str(kernel.descriptor)]
    with subprocess.Popen(words, pass_fds=[kernel.descriptor], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        while other.poll() is None:
            for _ in range(100):
                kernel.put(b"")
                list(ring.read())
        assert int(other.stdout.readline()) >= 1 << 40


def test_whether_anything_waits_can_be_asked(kernel: Kernel, ring: Ring) -> None:
    """What is still being written waits too."""
    assert ring.empty()
    kernel.put(b"one", BUSY)
    assert not ring.empty()
    list(ring.read())
    assert not ring.empty()


def test_a_descriptor_that_is_no_ring_is_an_error() -> None:
    """Nothing stays mapped."""
    with pytest.raises((OSError, ValueError)):
        Ring(os.open("/", os.O_RDONLY | os.O_CLOEXEC), SIZE)
