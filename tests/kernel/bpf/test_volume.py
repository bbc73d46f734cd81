"""The decoder of volume.bpf.c: made-up records, and the same layout on both sides of the border."""

import struct
from pathlib import Path

import pytest
from support.elf import rebuilt, section

from replguard.kernel import bpf
from replguard.kernel.bpf import volume


def record(
    kind: int = volume.WRITE, *, names: bytes = b"b\0a\0", cut: int = 0, coverage: int = 0, size: int = 1000
) -> bytes:
    """Return a record as the kernel writes it."""
    head = volume.AMOUNT.pack(kind, 7, 5, 30_000_000, 42, 8 << 20 | 1, 3, 500, size, coverage, len(names), cut)
    return head + names


def test_an_amount_has_its_numbers_and_its_path() -> None:
    """The path comes innermost first; one that was cut is unknown."""
    told = volume.amount(record())
    assert (told.kind, told.pid, told.when, told.ticks, told.inode) == (volume.WRITE, 7, 5, 3, 42)
    assert (told.device, told.slot, told.bytes, told.size) == (8 << 20 | 1, 3, 500, 1000)
    assert told.path == "/a/b"
    assert volume.amount(record(cut=1)).path is None
    assert volume.amount(record(names=b"")).path is None


@pytest.mark.parametrize(
    ("coverage", "size", "share"),
    [(2**64 - 1, 1000, 0.5), (2**64 - 1, 400, 1.0), (0xFF, 400, 0.125), (0, 1000, 0.0), (2**64 - 1, 0, 1.0)],
)
def test_the_share_is_bounded_by_bytes_and_by_parts(coverage: int, size: int, share: float) -> None:
    """Reading one part again and again is no reading of the whole."""
    assert volume.amount(record(volume.READ, coverage=coverage, size=size)).share == share


@pytest.mark.parametrize("length", [0, volume.AMOUNT.size - 1])
def test_a_short_record_is_an_error_that_the_reader_counts(length: int) -> None:
    """No record is trusted to be whole."""
    with pytest.raises(struct.error):
        volume.amount(record()[:length])


def test_what_a_process_has_read_so_far_is_an_amount_too() -> None:
    """Of its slot, by who began when; of what the entry does not tell nothing is claimed."""
    entry = volume.READER_KEY.pack(7, 3, 1), volume.READER.pack(500, 1000, 0xFF, 30_000_000, 0, 9)
    told = volume.reader(*entry, when=5)
    assert (told.kind, told.pid, told.slot, told.ticks, told.when) == (volume.MAP, 7, 3, 3, 5)
    assert (told.bytes, told.coverage, told.path) == (500, 0xFF, None)
    assert volume.reader(volume.READER_KEY.pack(7, 3, 0), entry[1], when=5).kind == volume.READ


def test_an_inode_has_its_bit_in_the_filter() -> None:
    """Numbers of 64 bits fold into the same words that the kernel asks."""
    assert volume.bit(0) == (0, 0)
    assert volume.bit(65) == (1, 1)
    assert volume.bit((1 << 40) + 3 * 64 + 7) == (3, 7)


def test_the_layout_of_the_c_structures_is_the_decoders() -> None:
    """Sizes and offsets that the compiler wrote into the object equal those of the struct formats."""
    told = struct.unpack("<11I", section(bpf.image(volume.OBJECT), ".rodata.layout"))
    assert told == (
        volume.KEY.size, volume.WATCHED.size, volume.READER_KEY.size, volume.READER.size, 24,
        24, 40, 64, volume.AMOUNT.size, volume.RING, volume.MAYBE * 8,
    )  # fmt: skip


def test_the_object_is_what_its_source_gives(tmp_path: Path) -> None:
    """Built anew with the same compiler, the object is the same byte for byte; and it is small."""
    shipped = bpf.image(volume.OBJECT)
    assert len(shipped) < 96 * 1024
    assert rebuilt(volume.OBJECT, tmp_path) == shipped
