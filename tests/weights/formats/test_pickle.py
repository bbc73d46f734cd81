"""Pickles: told by what they would import, and never unpickled."""

import pickle
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from support import modelfiles

from replguard.weights.formats import Format, Memory, recognise


class Trap:
    """Unpickling this makes a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path(self.path),)


def test_nothing_is_ever_unpickled(tmp_path: Path) -> None:
    """A pickle that acts when loaded does not act when recognised."""
    trap = tmp_path / "sprung"
    data = pickle.dumps([Trap(str(trap)), np.zeros(4)])
    verdict = recognise(Memory(data))
    assert verdict == Format("pickle")
    assert not trap.exists()


def test_the_old_format_of_torch_is_told_by_its_first_bytes() -> None:
    """Its magic number is itself a pickle."""
    assert recognise(Memory(modelfiles.torch_pickle())) == Format("pytorch")


def test_a_bare_state_dict_is_told_by_its_imports() -> None:
    """Without the magic number the opcodes still name torch._utils."""
    assert recognise(Memory(modelfiles.torch_pickle()[21:])) == Format("pytorch")


@given(st.binary(max_size=500))
def test_no_opcodes_raise(rest: bytes) -> None:
    """Whatever follows the protocol byte."""
    assert not isinstance(recognise(Memory(b"\x80\x04" + rest)), str)


def test_endless_digits_are_given_up() -> None:
    """A number of 60,000 digits is not converted."""
    assert recognise(Memory(b"\x80\x02I" + b"9" * 60_000 + b"\n.")) is None
