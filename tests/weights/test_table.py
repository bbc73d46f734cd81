"""Entries and whose they are."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from replguard.weights.table import Table

STREAMS = st.dictionaries(st.integers(0, 30), st.sets(st.integers(0, 2**64 - 1), max_size=40), max_size=12)
HEAD = ~np.uint64(0xFFFFFFFF)


@given(STREAMS, st.data())
def test_every_entry_leads_to_its_streams(streams: dict[int, set[int]], data: st.DataObject) -> None:
    """Whatever order they came in, however often they were merged, and whichever have gone since."""
    table = Table()
    for number, keys in streams.items():
        table.add(number, np.array(sorted(keys), np.uint64))
    gone = data.draw(st.sets(st.sampled_from(sorted(streams)))) if streams else set()
    for number in gone:
        table.remove(number)
    left = {number: keys for number, keys in streams.items() if number not in gone}
    wanted = np.array(sorted({*set().union(*streams.values()), 5}), np.uint64)
    expected = {
        int(key): sorted(number for number, keys in left.items() if key in keys)
        for key in wanted.tolist()
        if any(key in keys for keys in left.values())
    }
    assert {key: sorted(numbers) for key, numbers in table.owners(wanted).items()} == expected
    held = {number: keys for number, keys in left.items() if keys}
    assert {number: set(keys.tolist()) for number, keys in table.by_owner().items()} == held
    for number, keys in held.items():
        assert table.of(number).tolist() == sorted(keys)


def test_heads_rule_out_what_is_not_there() -> None:
    """Only what passes is hashed."""
    table = Table()
    assert not table.may_hold(np.array([0, 7], np.uint64)).any()
    keys = np.sort(np.random.default_rng(1).integers(0, 2**64, 5000, np.uint64))
    table.add(1, keys)
    assert table.may_hold(keys & HEAD).all()
    strangers = np.random.default_rng(2).integers(0, 2**64, 5000, np.uint64) & HEAD
    assert table.may_hold(strangers).sum() <= 1
    assert len(table) == 5000


def test_what_is_gone_takes_no_room_for_long() -> None:
    """After 64 streams their entries are let go, and the others stay."""
    table = Table()
    for number in range(80):
        table.add(number, np.arange(number * 10, number * 10 + 10, dtype=np.uint64))
    for number in range(66):
        table.remove(number)
    assert len(table) <= 160
    assert table.owners(np.array([5, 795], np.uint64)) == {795: [79]}
