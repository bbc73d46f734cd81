"""Which blocks are looked at, and which of them tell anything."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import modelfiles
from support.fingerprints import KEY, MIB

from replguard.weights import blocks
from replguard.weights.reading import BLOCK, open_regular

GIB = 2**30


@given(st.integers(0, 2**44), st.integers(0, 2**44))
def test_the_grid_of_a_prefix_contains_that_of_its_origin(one: int, other: int) -> None:
    """Powers of two nest: a copy in progress is looked at wherever its origin was."""
    small, large = sorted((one, other))
    assert blocks.step(large) % blocks.step(small) == 0
    assert blocks.index_step(large) % blocks.index_step(small) == 0
    assert blocks.step(small) % blocks.index_step(small) == 0
    assert small <= blocks.step(small) * blocks.GRID


@pytest.mark.parametrize(
    ("size", "width"),
    [
        (16384, 4096),
        (4 * MIB, 4096),
        (90 * MIB, 128 * 1024),
        (5 * GIB, 256 * 1024),
        (16 * GIB, 512 * 1024),
        (2**42, MIB),
    ],
)
def test_small_files_are_remembered_whole_and_large_ones_each_mebibyte(size: int, width: int) -> None:
    """The index stays below the budget of 0.85 MiB for 10 GB, and no gap is wider than 1 MiB."""
    assert blocks.index_step(size) == width


def test_positions_lie_on_the_grid_and_inside() -> None:
    """A block that the file does not hold whole is none."""
    assert list(blocks.positions([(0, 10_000), (20_000, 40_000)], 8192, 33_000)) == [0, 8192, 24576]


def test_clipping_leaves_out_blocks_that_straddle_the_end() -> None:
    """The range of tensors ends where the range ends, not a block later."""
    assert blocks.clip([(0, 100_000)], (5000, 50_000)) == [(5000, 50_000 - BLOCK + 1)]
    assert blocks.clip([(0, 4000)], (5000, 50_000)) == []


@pytest.mark.parametrize(
    ("block", "text", "tells"),
    [
        (modelfiles.noise(BLOCK), False, True),
        (bytes(BLOCK), False, False),
        (bytes(range(11)) * 372 + bytes(4), False, False),
        (bytes(range(200, 250)) * 82, False, False),
        ((b'{"token": %d},' % 7) * 300, False, False),
        (b"\xff" * (BLOCK - 300) + modelfiles.noise(300), False, True),
    ],
)
def test_blocks_of_little_entropy_tell_nothing(block: bytes, text: bool, tells: bool) -> None:
    """Zeros, few values, short periods and text are shared by strangers."""
    assert blocks.tells(block[:BLOCK], text=text) is tells


def test_text_tells_where_it_is_asked_for() -> None:
    """A scaffold is text."""
    block = "".join(f"def step_{i}(x): return x + {i * i}\n" for i in range(200)).encode()[:BLOCK]
    assert blocks.tells(block, text=True)
    assert not blocks.tells(block, text=False)


def test_the_hash_needs_the_key() -> None:
    """Two installs do not share hashes."""
    block = modelfiles.noise(BLOCK)
    assert blocks.digest(block, KEY) == blocks.digest(memoryview(block), KEY)
    assert blocks.digest(block, KEY) != blocks.digest(block, bytes(32))


@given(st.lists(st.integers(0, 200), unique=True, max_size=40))
def test_neighbours_are_read_together_and_nothing_is_lost(
    tmp_path_factory: pytest.TempPathFactory, chosen: list[int]
) -> None:
    """Every offset asked for gives its own block, once, in order."""
    path = tmp_path_factory.getbasetemp() / "numbered"
    if not path.exists():
        path.write_bytes(b"".join(i.to_bytes(4, "little") * (BLOCK // 4) for i in range(201)))
    offsets = [place * BLOCK for place in sorted(chosen)]
    with open_regular(str(path)) as reader:
        found = [(offset, int.from_bytes(block[:4], "little")) for offset, block in blocks.read(reader, iter(offsets))]
    assert found == [(offset, offset // BLOCK) for offset in offsets]
    assert all(a < b for (a, _), (b, _) in pairwise(found))


def test_identity_is_of_the_whole_content(tmp_path: Path) -> None:
    """One byte more, less or other makes another digest; almost nothing has none."""
    data = modelfiles.noise(20_000)

    def identity(content: bytes) -> bytes | None:
        with open_regular(str(modelfiles.write(tmp_path / "file", content))) as reader:
            return blocks.identity(reader, KEY)

    same = identity(data)
    assert same is not None
    assert same == identity(data)
    for other in (data + b"x", data[:-1], data[:7000] + b"x" + data[7001:], data[:-1] + b"x"):
        assert identity(other) != same
    assert identity(b"short") is None
    assert identity(bytes(100_000)) is None
