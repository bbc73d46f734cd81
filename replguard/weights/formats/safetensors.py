"""safetensors: eight bytes of header length, a JSON header, then the tensors in one run."""

import msgspec

from replguard.weights.formats.base import HEADER_CAP, READ_CAP, Format, FormatError, Source, Verdict

NAME = "safetensors"
_START = (b'{"', b"{ ", b"{\n", b"{}")


class _Tensor(msgspec.Struct):
    """One entry of the header; the offsets count from the end of the header."""

    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


_header = msgspec.json.Decoder(dict[str, msgspec.Raw])
_entry = msgspec.json.Decoder(_Tensor)


def recognise(source: Source) -> Verdict:
    """Tell safetensors by its length, the brace after it, and a header of which every entry is a tensor."""
    head = source.head
    if len(head) < 10 or head[8:10] not in _START:
        return None
    (length,) = source.unpack("<Q", 0)
    if length >= 2**48:
        return None  # text that happens to have a brace in its ninth byte
    if length > min(HEADER_CAP, source.size - 8):
        return FormatError(NAME, f"the header claims {length} bytes in a file of {source.size}")
    start = 8 + length
    if length > READ_CAP - Source.HEAD:
        return Format(NAME, start, (start, source.size))
    end = _end(source.read(8, length).rstrip(b" "))
    return Format(NAME, start, (start, min(start + end, source.size)), complete=start + end <= source.size)


def _end(header: bytes) -> int:
    """Return where the last tensor ends. Raises ValueError and msgspec's errors."""
    entries = _header.decode(header)
    entries.pop("__metadata__", None)
    end = 0
    for raw in entries.values():
        first, last = _entry.decode(raw).data_offsets
        if not 0 <= first <= last < 2**60:
            raise ValueError("a tensor ends before it begins, or beyond any disk")
        end = max(end, last)
    return end
