"""GGUF files, sound and hostile."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import modelfiles

from replguard.weights import formats
from replguard.weights.formats import Format, FormatError, Memory, gguf


@pytest.mark.parametrize("alignment", [32, 64, 4096])
def test_the_tokenizer_is_not_part_of_the_payload(alignment: int) -> None:
    """Tokenizers are shared by strangers; tensors begin at the alignment that the file sets."""
    data = modelfiles.gguf(modelfiles.noise(8192), vocabulary=3000, alignment=alignment)
    file = Memory(data)
    assert gguf.payload(file) == (len(data) - 8192, len(data))
    verdict = formats.recognise(file)
    assert verdict == Format("gguf")


def test_unbelievable_counts_are_a_fault() -> None:
    """A header that claims 2**60 tensors is not walked."""
    verdict = formats.recognise(Memory(b"GGUF" + struct.pack("<IQQ", 3, 2**60, 1) + bytes(100)))
    assert isinstance(verdict, FormatError)


def test_an_unknown_version_is_a_fault() -> None:
    """A big-endian file shows as one."""
    assert isinstance(formats.recognise(Memory(b"GGUF\0\0\0\3" + bytes(100))), FormatError)


def test_nested_arrays_end() -> None:
    """Arrays in arrays in arrays are given up, not followed."""
    deep = struct.pack("<IQ", 9, 1) * 5000
    data = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"k" + struct.pack("<I", 9) + deep
    assert formats.payload(Memory(data), Format("gguf")) is None


@given(st.binary(max_size=300))
def test_no_header_makes_the_walk_raise(rest: bytes) -> None:
    """The walk behind the magic number answers for every continuation."""
    file = Memory(b"GGUF" + struct.pack("<I", 3) + rest)
    span = formats.payload(file, Format("gguf"))
    assert span is None or 0 <= span[0] <= file.size
