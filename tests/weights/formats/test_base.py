"""The bounded source that every recogniser reads through."""

import pytest

from replguard.weights.formats.base import Memory, Source


def test_reads_within_the_file_are_given() -> None:
    """Behind the first 64 KiB as well."""
    source = Source(Memory(bytes(range(256)) * 400))
    assert source.read(256 * 300 + 5, 3) == bytes([5, 6, 7])
    assert source.unpack("<HB", 1) == (0x0201, 3)


@pytest.mark.parametrize(("offset", "length"), [(-1, 4), (0, 11), (10, 1), (4, -1), (2**70, 1)])
def test_reads_beyond_the_file_end(offset: int, length: int) -> None:
    """A claimed place that is not in the file is an end of file."""
    with pytest.raises(EOFError):
        Source(Memory(b"0123456789")).read(offset, length)


def test_the_allowance_is_for_all_reads_together() -> None:
    """Many small reads are bounded like one large."""
    source = Source(Memory(bytes(400_000)), cap=100_000)
    source.read(200_000, 30_000)
    with pytest.raises(EOFError):
        source.read(300_000, 30_000)
