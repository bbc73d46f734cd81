"""Zip archives that hold tensors: PyTorch, .npz and Keras 3, told by the central directory; nothing is inflated."""

import struct

from replguard.weights.formats.base import Format, FormatError, Source, Verdict

NAME = "zip"
_LOCAL = b"PK\3\4"
_END = b"PK\5\6"
_END64 = b"PK\6\6"
_LOCATOR64 = b"PK\6\7"
_MOST_ENTRIES = 100_000
_MOST_DIRECTORY = 4 * 2**20


def recognise(source: Source) -> Verdict:
    """Tell what a zip archive holds by the names in its central directory."""
    if source.head[:4] != _LOCAL:
        return None
    place = _directory(source)
    if place is None or place[1] > _MOST_DIRECTORY or place[2] > _MOST_ENTRIES:
        # Still being written, cut off, or larger than we read: the first name is all there is.
        return _by_first_name(source)
    start, size, entries = place
    names = _names(source.read(start, size), entries)
    kind = _kind([name for name, _ in names])
    if kind != "pytorch":
        return Format(kind) if kind else None
    tensors = [offset for name, offset in names if b"/data/" in name or name.startswith(b"data/")]
    first = min(tensors, default=start)
    if first > start:
        return FormatError(kind, "an entry lies behind the directory")
    return Format(kind, first, (first, start), complete=True) if tensors else Format(kind)


def _directory(source: Source) -> tuple[int, int, int] | None:
    """Return (offset, bytes, entries) of the central directory, or None if the file has no end record."""
    length = min(source.size, 65536 + 22)
    base = source.size - length
    tail = source.read(base, length)
    at = tail.rfind(_END)
    if at < 0 or at + 22 > len(tail):
        return None
    _, _, _, entries, size, start = struct.unpack_from("<HHHHII", tail, at + 4)
    if 0xFFFFFFFF in (start, size) or entries == 0xFFFF:
        if at < 20 or tail[at - 20 : at - 16] != _LOCATOR64:
            return None
        (place,) = struct.unpack_from("<Q", tail, at - 12)
        if source.read(place, 4) != _END64:
            return None
        entries, size, start = source.unpack("<QQQ", place + 32)
    return start, size, entries


def _names(directory: bytes, entries: int) -> list[tuple[bytes, int]]:
    found = []
    at = 0
    for _ in range(entries):
        if directory[at : at + 4] != b"PK\1\2":
            break
        name, extra, comment = struct.unpack_from("<HHH", directory, at + 28)
        (offset,) = struct.unpack_from("<I", directory, at + 42)
        if offset == 0xFFFFFFFF:
            offset = _wide_offset(directory[at + 46 + name : at + 46 + name + extra])
        found.append((directory[at + 46 : at + 46 + name], offset))
        at += 46 + name + extra + comment
    return found


def _wide_offset(extra: bytes) -> int:
    """Return the local header's offset of a ZIP64 extra field; it is the last of the 64-bit values there."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1 and length >= 8:
            usable = length - length % 8
            (offset,) = struct.unpack_from("<Q", extra, at + 4 + usable - 8)
            return int(offset)
        at += 4 + length
    raise ValueError("an entry does not say where it lies")


def _kind(names: list[bytes]) -> str | None:
    if any(name == b"data.pkl" or name.endswith(b"/data.pkl") for name in names):
        return "pytorch"
    if b"model.weights.h5" in names:
        return "keras"
    if names and all(name.endswith(b".npy") for name in names):
        return "numpy"
    return None


def _by_first_name(source: Source) -> Verdict:
    (length,) = source.unpack("<H", 26)
    kind = _kind([source.read(30, min(length, source.size - 30))])
    return Format(kind, complete=None) if kind else None
