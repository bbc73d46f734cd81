"""The memory of a process: which files are mapped, what is executed without a file, and the names in the environment.

The content of its memory is read for these names alone. Whoever maps a file of his own server where they were does not
let us wait: of files the kernel shows nothing there (since 4.17), and what is left unread is told.
"""

import os
import re
from collections.abc import Iterable, Iterator

from replguard.events import clock
from replguard.events.evidence import Mapping
from replguard.evidence.image import Note, shown
from replguard.kernel.procfs import HELD, read, text
from replguard.masking.mask import mask

MAPS = 512
"""Mapped files that are kept, the largest ones."""
_MAPS_BYTES = 16 * 2**20
"""Bytes of a table of mappings that are read: about 150,000 of them; a process may have 65,530 unless it was raised."""
NAMES, NAME = 512, 128
"""Names of an environment that are kept, and the longest that is one."""
_ENVIRONMENT_BYTES = 8 * 2**20
"""Bytes of an environment that are read: arguments and environment have 6 MiB at most."""
_CHUNK = 64 * 2**10
_LINE = re.compile(rb"^([0-9a-f]+)-([0-9a-f]+) (\S{4}) [0-9a-f]+ [0-9a-f]+:[0-9a-f]+ (\d+) *([^\n]*)\n", re.MULTILINE)
_KERNELS = (b"[vdso]", b"[vsyscall]", b"[uprobes]")
_GONE = b" (deleted)"
_NAME = re.compile(rb"[!-<>-~\x7f-\xff\x01-\x1f]{1,%d}" % NAME)
"""No blank and no "=": a program may write its title there, and a command line is no name."""

_Key = tuple[bytes | None, int]
"""Path and inode number of a file; no path, and whether it can be written, of memory without one."""


class _Sum:
    """What is mapped of one file, or of none."""

    __slots__ = ("bytes", "executable", "writable")

    def __init__(self) -> None:
        self.bytes = 0
        self.executable = self.writable = False


def maps(held: int, note: Note, until: float) -> tuple[Mapping, ...]:
    """Return what is mapped, each file once, the largest first. Raises OSError."""
    sums: dict[_Key, _Sum] = {}
    for data in _lines(held, note, until):
        for found in _LINE.finditer(data):
            begin, end, rights, inode, path = found.groups()
            if inode == b"0" and (b"x" not in rights or path in _KERNELS):
                continue
            key = (None, int(b"w" in rights)) if inode == b"0" else (path, int(inode))
            one = sums.get(key)
            if one is None:
                one = sums[key] = _Sum()
            one.bytes += int(end, 16) - int(begin, 16)
            one.executable |= b"x" in rights
            one.writable |= b"w" in rights and (b"s" in rights or inode == b"0")
    return _kept(sums, note)


def _lines(held: int, note: Note, until: float) -> Iterator[bytes]:
    """Yield whole lines."""
    descriptor = os.open(f"{HELD}/{held}/maps", os.O_RDONLY | os.O_CLOEXEC)
    try:
        rest, left = b"", _MAPS_BYTES
        while left > 0 and clock.monotonic() < until:
            chunk = os.read(descriptor, _CHUNK)
            if not chunk:
                return
            left -= len(chunk)
            lines, newline, rest = (rest + chunk).rpartition(b"\n")
            yield lines + newline
        note("not whole: there are too many")
    finally:
        os.close(descriptor)


def _kept(sums: dict[_Key, _Sum], note: Note) -> tuple[Mapping, ...]:
    """Return the largest of the files, and all that is executed without one."""
    ordered = sorted(sums.items(), key=lambda item: (item[0][0] is not None, -item[1].bytes))
    if len(ordered) > MAPS:
        note(f"{len(ordered) - MAPS} smaller ones more")
    return tuple(
        Mapping(
            path=None if path is None else shown(path.removesuffix(_GONE)),
            inode=None if path is None else inode,
            bytes=one.bytes,
            executable=one.executable,
            writable=one.writable,
            deleted=path is not None and path.endswith(_GONE),
        )
        for (path, inode), one in ordered[:MAPS]
    )


def environment(held: int, note: Note, until: float) -> tuple[str, ...]:
    """Return the names of the environment, as it stands in memory now. Raises OSError."""
    return names(_pieces(held, note, until), note)


def names(pieces: Iterable[bytes], note: Note) -> tuple[str, ...]:
    """Return the names of an environment that comes in pieces; of a value no more than a piece is ever held."""
    found: list[str] = []
    more = nameless = 0
    for entry in _entries(pieces):
        name, equals, _ = entry.partition(b"=")
        if not equals or not _NAME.fullmatch(name):
            nameless += 1
        elif len(found) < NAMES:
            found.append(mask(text(name)))
        else:
            more += 1
    if more:
        note(f"{more} names more")
    if nameless:
        note(f"{nameless} entries that have no name")
    return tuple(found)


def _entries(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the beginning of each entry."""
    rest = b""
    for piece in pieces:
        *whole, last = piece.split(b"\0")
        for entry in whole:
            if rest or entry:
                yield rest + entry
            rest = b""
        rest = (rest + last)[: 2 * NAME]
    if rest:
        yield rest


def _pieces(held: int, note: Note, until: float) -> Iterator[bytes]:
    there = _size(held)
    descriptor = os.open(f"{HELD}/{held}/environ", os.O_RDONLY | os.O_CLOEXEC)
    try:
        had = 0
        while had < _ENVIRONMENT_BYTES and clock.monotonic() < until:
            piece = os.read(descriptor, _CHUNK)
            if not piece:
                if had < there:
                    note(f"not whole: {there - had} of {there} bytes are not there any more")
                return
            had += len(piece)
            yield piece
        note("not whole: it is too long")
    finally:
        os.close(descriptor)


def _size(held: int) -> int:
    """Return the bytes that the environment had, as far as they are not hidden from us."""
    fields = (read(f"{HELD}/{held}/stat", 4096) or b"").rpartition(b")")[2].split()
    return (
        int(fields[48]) - int(fields[47]) if len(fields) > 48 and fields[47].isdigit() and fields[48].isdigit() else 0
    )
