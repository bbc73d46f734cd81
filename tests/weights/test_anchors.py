"""Places that content chooses by itself."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import values
from support.fingerprints import KEY, MIB

from replguard.weights import anchors
from replguard.weights.anchors import REACH, SPACINGS, Scheme, ceiling, spacing, tell

SCHEME = Scheme(KEY)
NOISE = np.random.default_rng(7).integers(0, 256, 2 * MIB, np.uint8)


def chosen(scheme: Scheme, data: np.ndarray, wide: int = 1536) -> dict[int, int]:
    """Return the entries by where they begin, of data of any length."""
    found = {}
    for at in range(0, len(data), MIB):
        piece = data[at : at + MIB + REACH - 1]
        places, _ = scheme.find(piece, ceiling(wide))
        found |= dict(zip((places + at).tolist(), scheme.entries(anchors.blocks(piece, places)).tolist(), strict=True))
    return found


@settings(max_examples=10, deadline=None)
@given(shift=st.integers(0, 5000), cut=st.integers(0, 3000))
def test_anchors_move_with_their_content(shift: int, cut: int) -> None:
    """At every byte shift, and across the pieces in which a file is read, they are the same."""
    data = NOISE[: MIB + 300_000]
    before = np.random.default_rng(shift).integers(0, 256, shift, np.uint8)
    there = {at + shift - cut: entry for at, entry in chosen(SCHEME, data).items() if at >= cut}
    moved = chosen(SCHEME, np.concatenate([before, data[cut:]]))
    assert {at: entry for at, entry in moved.items() if at >= shift} == there


@pytest.mark.parametrize("kind", ["noise", *values.NAMES])
@pytest.mark.parametrize("number", range(4))
def test_they_are_as_far_apart_as_they_should_be(kind: str, number: int) -> None:
    """In noise and in values of every type, for whatever key."""
    data = NOISE if kind == "noise" else np.frombuffer(values.stored(values.normal(MIB, 5), kind), np.uint8)
    found = chosen(Scheme(bytes([number]) * 32), data)
    assert len(data) / len(found) == pytest.approx(1536, rel=0.35)


def test_a_wider_spacing_takes_some_of_the_same() -> None:
    """So that files of all sizes are looked up with one pass."""
    sets = [set(chosen(SCHEME, NOISE, wide)) for wide in SPACINGS]
    assert all(wider < narrower for wider, narrower in itertools.pairwise(sets))
    assert len(NOISE) / len(sets[-1]) == pytest.approx(256, rel=0.1)


def test_the_spacing_leaves_at_least_256_anchors() -> None:
    """A large file has one in 96 KiB, a small one many."""
    assert [spacing(size) for size in (2**40, 24 * MIB, 24 * MIB - 1, 6 * MIB, 2 * MIB, 400 * 1024, 5000, 0)] == [
        98304, 98304, 24576, 24576, 6144, 1536, 256, 256,
    ]  # fmt: skip


def test_keys_differ_in_all_that_they_choose() -> None:
    """What another install remembers says nothing here."""
    other = Scheme(bytes(32))
    assert not set(chosen(SCHEME, NOISE).values()) & set(chosen(other, NOISE).values())
    assert chosen(SCHEME, NOISE) == chosen(Scheme(KEY), NOISE)


def test_a_key_that_chooses_badly_is_drawn_from_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The density is tried at the start on values of every width."""
    verdicts = iter([False, False, True])
    monkeypatch.setattr(Scheme, "_even", lambda _: next(verdicts))
    third = Scheme(KEY)
    monkeypatch.undo()
    assert SCHEME._even()
    assert set(chosen(third, NOISE)) != set(chosen(SCHEME, NOISE))


@pytest.mark.parametrize("pattern", [b"\0", b"\xff", b"\x00\x00\x80\x3f", b"ab", bytes(range(40)), b"\1\2\3\4\5\6\7"])
def test_filling_floods_nothing(pattern: bytes) -> None:
    """However a pattern repeats, it gives few anchors, whatever the key."""
    data = np.frombuffer((pattern * (MIB // len(pattern) + 1))[:MIB], np.uint8)
    for number in range(12):
        places, sums = Scheme(bytes([number]) * 32).find(data, ceiling(256))
        assert len(places) == len(sums) <= MIB // 64


@pytest.mark.parametrize("size", [0, 1, 3, REACH - 1, REACH])
def test_what_is_shorter_than_an_anchor_has_none(size: int) -> None:
    """And what is just as long has one at the most."""
    places, _ = SCHEME.find(NOISE[:size], ceiling(256))
    assert len(places) <= max(0, size - REACH + 1)


@pytest.mark.parametrize(
    ("block", "text", "good"),
    [
        (bytes(range(100, 164)), False, True),
        (bytes(range(11)) * 6, False, False),
        (bytes(range(200, 220)) * 4, False, False),
        (bytes(range(200, 232)) * 2, False, False),
        (b'{"token": 17, "other": "a text of the tokenizer, shared by many"}', False, False),
        (b'{"token": 17, "other": "a text of the tokenizer, shared by many"}', True, True),
        (bytes(52) + bytes(range(150, 162)), False, True),
    ],
)
def test_little_entropy_is_no_evidence(block: bytes, text: bool, good: bool) -> None:
    """Few values, short periods and text are shared by strangers; a scaffold is text through and through."""
    data = np.frombuffer(block[:64].ljust(64, b"\0"), np.uint8)
    assert tell(data[np.newaxis], text=text).tolist() == [good]


def test_flags_are_found_whatever_their_number() -> None:
    """Also in a rest that is no multiple of eight."""
    for size in (0, 5, 8, 131):
        flags = np.random.default_rng(size).integers(0, 2, size).astype(np.bool_)
        assert sorted(anchors._set(flags)) == np.flatnonzero(flags).tolist()
