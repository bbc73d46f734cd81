"""Counting anchors of a file."""

import numpy as np
import pytest
from support.fingerprints import MIB, SCHEME

from replguard.weights.anchors import REACH, SPACINGS, blocks, ceiling
from replguard.weights.sight import Sight
from replguard.weights.table import Table

NOISE = np.random.default_rng(3).integers(0, 256, 8 * MIB + REACH - 1, np.uint8)


def looked(data: np.ndarray, finest: int = 256, table: Table | None = None) -> Sight:
    sight = Sight(SCHEME, table or Table(), finest, len(data), text=False)
    for at in range(0, len(data) - REACH + 1, MIB):
        sight.look(data[at : at + MIB + REACH - 1])
    return sight


@pytest.mark.parametrize("wide", SPACINGS)
def test_anchors_of_every_spacing_are_counted(wide: int) -> None:
    """Those that are too many to be tried one by one are reckoned."""
    sight = looked(NOISE)
    assert sight.anchors(wide) == pytest.approx(len(NOISE) / wide, rel=0.3)
    assert sight.filled() == 1.0


def test_filling_is_not_counted() -> None:
    """Zeros and text beside an eighth of values: the share is of the values."""
    text = np.frombuffer((b"a text that says nothing, again and again. " * 200_000)[: 4 * MIB], np.uint8)
    data = np.concatenate([NOISE[:MIB], np.zeros(3 * MIB, np.uint8), text])
    sight = looked(data)
    assert sight.filled() == pytest.approx(1 / 8, rel=0.3)
    assert sight.anchors(1536) == pytest.approx(MIB / 1536, rel=0.3)


def test_what_is_seen_twice_counts_once() -> None:
    """As where windows overlap."""
    sight = looked(NOISE[:MIB])
    before = sight.anchors(1536)
    sight.look(NOISE[:MIB])
    assert sight.anchors(1536) == before


def test_known_anchors_lead_to_their_streams() -> None:
    """And strangers to none."""
    table = Table()
    places, _ = SCHEME.find(NOISE[:MIB], ceiling(1536))
    entries = SCHEME.entries(blocks(NOISE, places))
    table.add(4, np.sort(entries))
    assert looked(NOISE[: 2 * MIB], table=table).found == {int(key): [4] for key in entries}
    assert looked(NOISE[2 * MIB : 4 * MIB], table=table).found == {}


def test_an_empty_file_has_nothing() -> None:
    """Neither hits nor a division by zero."""
    sight = looked(NOISE[:0])
    assert (sight.anchors(256), sight.found, sight.filled()) == (0, {}, 0.0)
