"""HDF5 and Keras files, sound and hostile."""

import pytest
from support import modelfiles

from replguard.weights.formats import Format, FormatError, Memory, recognise


@pytest.mark.parametrize("shift", [0, 512, 1024, 2048])
def test_the_signature_is_found_behind_a_user_block(shift: int) -> None:
    """HDF5 lets a program put its own block of a power of two before the file."""
    assert recognise(Memory(bytes(shift) + modelfiles.hdf5())) == Format("hdf5")


def test_keras_is_told_by_its_groups() -> None:
    """The names stand in the first object headers."""
    assert recognise(Memory(modelfiles.hdf5(keras=True))) == Format("keras")


@pytest.mark.parametrize("rest", [b"", b"\x09", bytes([0] * 5 + [7, 8]) + bytes(50), bytes([2, 99, 8]) + bytes(50)])
def test_a_broken_superblock_is_a_fault(rest: bytes) -> None:
    """A signature alone makes no file."""
    assert isinstance(recognise(Memory(b"\x89HDF\r\n\x1a\n" + rest)), FormatError)
