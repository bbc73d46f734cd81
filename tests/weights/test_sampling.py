"""What is read of a file."""

import os
from pathlib import Path

import numpy as np
import pytest
from support import modelfiles
from support.fingerprints import MIB

from replguard.weights import sampling
from replguard.weights.anchors import REACH
from replguard.weights.reading import open_regular


@pytest.fixture
def numbered(tmp_path: Path) -> Path:
    """A file of 24 MiB in which every eight bytes say where they lie."""
    return modelfiles.write(tmp_path / "numbered", np.arange(3 * MIB, dtype="<u8").tobytes())


def test_windows_lie_in_every_part_and_nowhere_foretold(numbered: Path) -> None:
    """8 MiB in 64 windows, one in each 64th; another time at other bytes."""
    with open_regular(str(numbered)) as reader:
        looks = []
        for _ in range(2):
            data = np.concatenate([piece.copy() for piece in sampling.windows(reader, reader.extents())])
            assert len(data) == sampling.MOST
            looks.append([place(data[at : at + 24]) for at in range(0, len(data), sampling.WINDOW)])
    stratum = 24 * MIB / sampling.WINDOWS
    for look in looks:
        assert all(number * stratum <= at < (number + 1) * stratum for number, at in enumerate(look))
    assert looks[0] != looks[1]


def place(piece: np.ndarray) -> int:
    """Return where 24 bytes lie: in them is a number whole, and the one that follows it or that came before."""
    for at in range(8):
        one, other = np.frombuffer(piece[at : at + 16].tobytes(), "<u8").tolist()
        if other == one + 1 < 3 * MIB:
            return int(one) * 8 - at
    raise AssertionError("no number")


def test_all_is_read_with_an_overlap(numbered: Path) -> None:
    """No anchor is lost between two pieces, and no byte is left out."""
    data = numbered.read_bytes()
    with open_regular(str(numbered)) as reader:
        pieces = [piece.tobytes() for piece in sampling.whole(reader, [(100, 3 * MIB), (5 * MIB, 5 * MIB + 10)])]
    assert b"".join(piece[:MIB] for piece in pieces[:3]) == data[100 : 3 * MIB]
    assert pieces[0][MIB:] == pieces[1][: REACH - 1]
    assert pieces[-1] == data[5 * MIB : 5 * MIB + 10]


def test_holes_are_not_read_and_many_extents_cost_no_more(tmp_path: Path) -> None:
    """A terabyte of holes with a little data is as dear as the data."""
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        os.truncate(file.fileno(), 2**40)
        for number in range(40):
            file.seek(number * 2**34)
            file.write(modelfiles.noise(MIB, number))
    with open_regular(str(path)) as reader:
        extents = reader.extents()
        assert sampling.size(extents) == 40 * MIB
        total = sum(len(window) for window in sampling.windows(reader, extents))
    assert 5 * MIB <= total <= sampling.MOST


def test_a_file_that_shrinks_gives_less(numbered: Path) -> None:
    """And nothing raises."""
    with open_regular(str(numbered)) as reader:
        extents = reader.extents()
        os.truncate(numbered, 9 * MIB + 5)
        assert sum(len(piece[:MIB]) for piece in sampling.whole(reader, extents)) == 9 * MIB + 5
        assert sum(len(window) for window in sampling.windows(reader, extents)) < sampling.MOST
