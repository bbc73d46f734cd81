"""ONNX models, sound and hostile."""

import pytest
from support import modelfiles

from replguard.weights.formats import Format, FormatError, Memory, recognise


def test_a_model_is_told_without_a_magic_number() -> None:
    """By its outermost fields and the first of its graph."""
    verdict = recognise(Memory(modelfiles.onnx(modelfiles.noise(500))))
    assert isinstance(verdict, Format)
    assert (verdict.name, verdict.complete) == ("onnx", True)


def test_a_model_that_still_grows_is_recognised() -> None:
    """The graph's length is written before it."""
    verdict = recognise(Memory(modelfiles.onnx(modelfiles.noise(500))[:300]))
    assert isinstance(verdict, Format)
    assert verdict.complete is False


@pytest.mark.parametrize(
    "data",
    [
        b"\x08\x08" + b"\x3a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80" + bytes(40),
        b"\x08\x08\x12\xff\xff\xff\xff\xff\xff\xff\xff\x7f" + bytes(40),
    ],
)
def test_numbers_without_an_end_are_a_fault_or_nothing(data: bytes) -> None:
    """A varint of more than ten bytes, a length beyond the file."""
    assert not isinstance(recognise(Memory(data)), Format)


def test_messages_in_messages_are_not_descended_into() -> None:
    """Ten thousand levels cost as much as one."""
    deep = b""
    for _ in range(10_000):
        deep = b"\x0a" + modelfiles.varint(len(deep)) + deep
    data = b"\x08\x08\x3a" + modelfiles.varint(len(deep)) + deep
    verdict = recognise(Memory(data))
    assert isinstance(verdict, Format | FormatError | None)
