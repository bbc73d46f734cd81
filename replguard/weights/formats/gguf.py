"""GGUF: magic, version, counts, key-value pairs (the tokenizer among them), tensor table, aligned tensors."""

import struct

from replguard.weights.formats.base import Format, FormatError, Readable, Source, Verdict

NAME = "gguf"
MOST_TENSORS = 1_000_000
MOST_PAIRS = 100_000
WALK_CAP = 64 * 2**20
"""Bytes of header that ``payload`` walks; the largest tokenizers take about 16 MiB."""
_MOST_ITEMS = 4_000_000
_WIDTH = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING, _ARRAY = 8, 9


def recognise(source: Source) -> Verdict:
    """Tell GGUF by its magic number and believable counts; the key-value pairs are not walked."""
    if source.head[:4] != b"GGUF":
        return None
    (version,) = source.unpack("<I", 4)
    if version not in range(1, 17):
        return FormatError(NAME, f"version {version} is not known")
    form = "<II" if version == 1 else "<QQ"
    tensors, pairs = source.unpack(form, 8)
    if tensors > MOST_TENSORS or pairs > MOST_PAIRS:
        return FormatError(NAME, f"the header claims {tensors} tensors and {pairs} keys")
    return Format(NAME)


class _Cursor:
    """Walks a header in pieces of 1 MiB; every step is bounded by the file and by WALK_CAP."""

    def __init__(self, file: Readable) -> None:
        self.file = file
        self.at = 0
        self._base = 0
        self._piece = b""

    def take(self, form: str) -> tuple[int, ...]:
        size = struct.calcsize(form)
        start = self.at - self._base
        if not 0 <= start <= len(self._piece) - size:
            self._base, start = self.at, 0
            self._piece = self.file.read(self.at, 2**20)
        values = struct.unpack_from(form, self._piece, start)
        self.skip(size)
        return values

    def skip(self, size: int) -> None:
        self.at += size
        if self.at > min(self.file.size, WALK_CAP):
            raise EOFError("the header is longer than the file or the allowance")


def payload(file: Readable) -> tuple[int, int]:
    """Return the byte range of the tensors. Raises EOFError, ValueError or struct.error where the header is broken."""
    cursor = _Cursor(file)
    _, version, tensors, pairs = cursor.take("<IIQQ")
    if version == 1:
        raise ValueError("version 1 does not align its tensors")
    alignment = 32
    for _ in range(min(pairs, MOST_PAIRS)):
        key = _key(cursor)
        (kind,) = cursor.take("<I")
        if key == b"general.alignment" and kind == 4:
            (alignment,) = cursor.take("<I")
        else:
            _skip_value(cursor, kind, 0)
    for _ in range(min(tensors, MOST_TENSORS)):
        cursor.skip(cursor.take("<Q")[0])
        (dimensions,) = cursor.take("<I")
        cursor.skip(8 * dimensions + 4 + 8)
    if not 0 < alignment <= 2**20:
        raise ValueError("the alignment is not believable")
    start = -(-cursor.at // alignment) * alignment
    return min(start, file.size), file.size


def _key(cursor: _Cursor) -> bytes:
    (length,) = cursor.take("<Q")
    if length != len(b"general.alignment"):
        cursor.skip(length)
        return b""
    return bytes(cursor.take(f"<{length}B"))


def _skip_value(cursor: _Cursor, kind: int, depth: int) -> None:
    if kind in _WIDTH:
        cursor.skip(_WIDTH[kind])
    elif kind == _STRING:
        cursor.skip(cursor.take("<Q")[0])
    elif kind == _ARRAY and depth < 4:
        item, count = cursor.take("<IQ")
        if item in _WIDTH:
            cursor.skip(_WIDTH[item] * count)
            return
        for _ in range(min(count, _MOST_ITEMS)):
            _skip_value(cursor, item, depth + 1)
    else:
        raise ValueError(f"a value of type {kind} is not known")
