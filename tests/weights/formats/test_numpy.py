"""NumPy's .npy files, sound and hostile."""

import io
import struct

import numpy as np
import pytest
from support import modelfiles

from replguard.weights.formats import Format, FormatError, Memory, recognise


@pytest.mark.parametrize("shape", [(3, 5), (1000,)])
def test_what_numpy_writes_is_recognised(shape: tuple[int, ...]) -> None:
    """The payload is the array's bytes."""
    out = io.BytesIO()
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    np.save(out, array)
    verdict = recognise(Memory(out.getvalue()))
    assert isinstance(verdict, Format)
    assert verdict.payload is not None
    assert out.getvalue()[slice(*verdict.payload)] == array.tobytes()


def test_what_numpy_zips_is_recognised() -> None:
    """An .npz is a zip archive of .npy files."""
    out = io.BytesIO()
    np.savez(out, a=np.zeros(4), b=np.ones(4))
    verdict = recognise(Memory(out.getvalue()))
    assert isinstance(verdict, Format)
    assert verdict.name == "numpy"


@pytest.mark.parametrize(
    "data",
    [
        b"\x93NUMPY\x09\x00" + bytes(100),
        b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1) + b"{'descr'",
        b"\x93NUMPY\x01\x00" + struct.pack("<H", 60) + b"__import__('os').system('true')".ljust(60),
        b"\x93NUMPY",
        modelfiles.npy(b"")[:40],
    ],
)
def test_hostile_headers_are_a_fault(data: bytes) -> None:
    """Unknown versions, lengths beyond the file, and Python that is no dictionary; nothing is evaluated."""
    assert isinstance(recognise(Memory(data)), FormatError)
