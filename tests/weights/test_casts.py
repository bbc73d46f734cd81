"""Values told by the spread of their bytes, and written in another type."""

import numpy as np
import pytest
from support import modelfiles, values

from replguard.weights import casts

KINDS = list(values.NAMES)


def spreads(seed: int = 1) -> dict[str, values.Floats]:
    """Return values as layers of different models have them."""
    chance = np.random.default_rng(seed)
    count = 16_384
    return {
        "normal": values.normal(count, seed),
        "wide": values.normal(count, seed) * 50,
        "uniform": chance.uniform(-0.1, 0.1, count).astype("<f4"),
        "long tails": chance.laplace(0, 0.01, count).astype("<f4"),
        "positive": np.abs(values.normal(count, seed)),
    }


@pytest.mark.parametrize("name", spreads())
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("start", range(4))
def test_the_type_is_told_at_whatever_byte_a_value_begins(name: str, kind: str, start: int) -> None:
    """From the bytes alone: headers may be missing, or lie."""
    data = np.frombuffer(bytes(start) + values.stored(spreads()[name], kind), np.uint8)
    assert casts.guess(data) == (kind, start % casts.WIDTH[kind])


@pytest.mark.parametrize("narrow", ["bf16", "f16"])
def test_values_that_were_narrower_once_are_told(narrow: str) -> None:
    """Their last bits are zero."""
    data = values.stored(values.loaded(values.stored(values.normal(9000, 2), narrow), narrow), "f32")
    assert casts.guess(np.frombuffer(data, np.uint8)) == ("f32", 0)


@pytest.mark.parametrize(
    "data", [b"", bytes(9000), modelfiles.noise(9000), b"some words " * 900, bytes(range(256)) * 40, b"\1\0\0\0" * 4000]
)
def test_other_bytes_are_of_no_type(data: bytes) -> None:
    """Noise, text, zeros, tables of integers."""
    assert casts.guess(np.frombuffer(data, np.uint8)) is None


@pytest.mark.parametrize("kind", KINDS)
def test_values_are_rounded_as_libraries_round_them(kind: str) -> None:
    """To the nearest, ties to even; values that overflow or are none raise nothing."""
    odd = np.array([0, -0.0, 1, 1.00390625, 65504, 65536, 3e38, 1e-8, np.inf, np.nan], "<f4")
    given = np.concatenate([values.normal(5000, 3), odd])
    data = values.stored(given, kind)
    made = casts.retyped(casts.aligned(np.frombuffer(b"ab" + data + b"x", np.uint8), kind, 2), kind)
    assert set(made) == set(KINDS) - {kind}
    for other, found in made.items():
        wanted = values.stored(values.loaded(data, kind), other)
        assert found.tobytes()[: -2 * casts.WIDTH[other]] == wanted[: -2 * casts.WIDTH[other]]


def test_small_files_are_remembered_whole_in_their_casts() -> None:
    """And of the largest the 128th part, at sixteen times the density."""
    sizes = [2**20, 20 * 2**20, 50 * 2**20, 300 * 2**20, 2**40]
    assert [casts.every(size) for size in sizes] == [1, 2, 4, 8, 128]
    assert [casts.spacing(size) for size in sizes] == [1536, 24576, 98304, 98304, 6144]
    assert all(casts.unit(size) * casts.every(size) <= 2**20 for size in sizes)
