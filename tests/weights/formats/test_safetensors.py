"""safetensors files, sound and hostile."""

import json
import struct

import pytest
from support import modelfiles

from replguard.weights.formats import Format, FormatError, Memory, recognise


def made(header: object, payload: bytes = b"") -> Memory:
    text = json.dumps(header).encode()
    return Memory(struct.pack("<Q", len(text)) + text + payload)


def test_the_header_and_the_tensors_are_told_apart() -> None:
    """The payload range is what the fingerprint is made of."""
    data = modelfiles.safetensors(modelfiles.noise(1000))
    verdict = recognise(Memory(data))
    assert verdict == Format("safetensors", len(data) - 1000, (len(data) - 1000, len(data)), complete=True)


def test_a_file_that_still_grows_is_recognised() -> None:
    """Its header is whole before its tensors are."""
    verdict = recognise(Memory(modelfiles.safetensors(modelfiles.noise(1000))[:-400]))
    assert isinstance(verdict, Format)
    assert verdict.complete is False


def test_a_header_of_more_than_100_megabytes_is_refused() -> None:
    """The limit is that of the reference implementation."""
    verdict = recognise(Memory(struct.pack("<Q", 100_000_001) + b'{"a":' + bytes(100)))
    assert isinstance(verdict, FormatError)


@pytest.mark.parametrize(
    "header",
    [
        {"w": {"dtype": "F32", "shape": [1], "data_offsets": [8, 4]}},
        {"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 2**70]}},
        {"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 1.5]}},
        {"w": {"dtype": "F32", "shape": [1]}},
        {"w": {"dtype": 3, "shape": "x", "data_offsets": []}},
        {"w": 5},
    ],
)
def test_entries_that_are_no_tensors_are_a_fault(header: object) -> None:
    """The file claims to be safetensors, and breaks its rules."""
    assert isinstance(recognise(made(header, bytes(64))), FormatError)


@pytest.mark.parametrize("body", [b'{"a":' + b"[" * 50_000, b'{"a":"\xff\xfe"}', b'{"' + b"a" * 70_000])
def test_hostile_json_is_a_fault(body: bytes) -> None:
    """Deep nesting, invalid text and strings without an end."""
    assert isinstance(recognise(Memory(struct.pack("<Q", len(body)) + body)), FormatError)
