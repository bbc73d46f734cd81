"""Recognising weights formats: every valid file by its content, and no file whatever raises."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import modelfiles

from replguard.weights import formats
from replguard.weights.formats import Format, FormatError, Memory

NAMES = {"npz": "numpy", "legacy": "pytorch", "keras3": "keras"}


@pytest.mark.parametrize("kind", modelfiles.EVERY)
def test_every_format_is_told_by_its_content(kind: str) -> None:
    """No name is given, so only the bytes can have told."""
    verdict = formats.recognise(Memory(modelfiles.EVERY[kind]))
    assert isinstance(verdict, Format)
    assert verdict.name == NAMES.get(kind, kind)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        b"#!/bin/sh\necho hello\n" * 20,
        b'{"a": 1}',
        b'12345678{"a": "some text that has a brace in its ninth byte"}',
        b"\x7fELF\x02\x01\x01" + bytes(200),
        bytes(10000),
        modelfiles.noise(100_000, seed=7),
        modelfiles.zipped({"mimetype": b"application/epub+zip", "a.xml": b"<a/>"}),
        modelfiles.plain_pickle(),
        b"\0\x09\x0aleveldbkey" + bytes(100) + (0xDB4775248B80FB57).to_bytes(8, "little"),
        b"\x08\x01\x12\x03abc" + b"\x18\x05" * 20,
    ],
)
def test_other_files_are_no_format_at_all(data: bytes) -> None:
    """Scripts, text, programs, noise, other archives, other pickles, LevelDB tables and other protobuf messages."""
    assert formats.recognise(Memory(data)) is None


@given(st.binary(max_size=2000))
def test_no_bytes_raise(data: bytes) -> None:
    """Whatever the bytes, the answer is a verdict."""
    assert isinstance(formats.recognise(Memory(data)), Format | FormatError | None)


@given(
    kind=st.sampled_from(sorted(modelfiles.EVERY)),
    edits=st.lists(st.tuples(st.integers(0, 400), st.binary(min_size=1, max_size=9)), max_size=6),
    cut=st.integers(0, 6000) | st.none(),
)
def test_broken_headers_give_a_verdict(kind: str, edits: list[tuple[int, bytes]], cut: int | None) -> None:
    """A valid file with bytes overwritten in its header, cut anywhere, never raises; nor does its payload."""
    data = bytearray(modelfiles.EVERY[kind])
    for at, new in edits:
        data[at : at + len(new)] = new
    file = Memory(bytes(data[:cut]))
    verdict = formats.recognise(file)
    assert isinstance(verdict, Format | FormatError | None)
    if isinstance(verdict, Format):
        span = formats.payload(file, verdict)
        assert span is None or 0 <= span[0] <= file.size


@given(kind=st.sampled_from(sorted(modelfiles.EVERY)), tail=st.integers(1, 120), new=st.binary(min_size=1, max_size=60))
def test_broken_ends_give_a_verdict(kind: str, tail: int, new: bytes) -> None:
    """The same at the end, where zip archives and tables keep their directory."""
    data = bytearray(modelfiles.EVERY[kind])
    data[-tail : len(data) - tail + len(new)] = new
    assert isinstance(formats.recognise(Memory(bytes(data))), Format | FormatError | None)


class Endless:
    """A file of a claimed petabyte that counts what is read of it."""

    size = 2**50

    def __init__(self, head: bytes) -> None:
        self.head = head
        self.read_in_all = 0

    def read(self, offset: int, length: int) -> bytes:
        self.read_in_all += length
        piece = self.head[offset : offset + length]
        return piece + random.Random(offset).randbytes(min(length - len(piece), 2**20))


@pytest.mark.parametrize("kind", modelfiles.EVERY)
def test_reading_is_bounded(kind: str) -> None:
    """However large the file and its claims, at most 8 MiB are read to recognise it."""
    file = Endless(modelfiles.EVERY[kind][:60])
    formats.recognise(file)
    assert file.read_in_all <= 8 * 2**20


class Failing:
    """A file on a disk that fails."""

    size = 100

    def read(self, offset: int, length: int) -> bytes:
        raise OSError(5, "Input/output error")


def test_a_disk_that_fails_is_said() -> None:
    """An input error is a verdict as well."""
    verdict = formats.recognise(Failing())
    assert isinstance(verdict, FormatError)
    assert "Input/output error" in verdict.reason
