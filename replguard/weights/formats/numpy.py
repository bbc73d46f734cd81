"""NumPy .npy: magic, version, a header that is a Python literal (never evaluated here), then one array."""

import re

from replguard.weights.formats.base import READ_CAP, Format, FormatError, Source, Verdict

NAME = "numpy"
_DESCRIPTION = re.compile(rb"\s*\{[^{}]*'descr'\s*:[^{}]*\}\s*", re.DOTALL)


def recognise(source: Source) -> Verdict:
    """Tell .npy by its magic number and a header that looks like the dictionary it must be."""
    if source.head[:6] != b"\x93NUMPY":
        return None
    major, minor = source.unpack("<BB", 6)
    if major not in {1, 2, 3}:
        return FormatError(NAME, f"version {major}.{minor} is not known")
    (length,) = source.unpack("<H", 8) if major == 1 else source.unpack("<I", 8)
    start = (10 if major == 1 else 12) + length
    if start > min(source.size, READ_CAP):
        return FormatError(NAME, f"the header claims {length} bytes")
    header = source.read(start - length, min(length, 65536))
    if not _DESCRIPTION.match(header):
        return FormatError(NAME, "the header is not a description of an array")
    return Format(NAME, start, (start, source.size))
