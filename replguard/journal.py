"""A small memory on disk that is written as it changes: records by key, and the last of each counts.

What a daemon knows changes in a few places a second; to write all of it anew each time would cost a disk gigabytes a
day. So what changed is appended, each time in one piece with a checksum, and where the file has grown long it is
written whole. A kill loses nothing that was written; what is damaged, or of another kind, is left out and told.
"""

import os
import stat
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from replguard import wholefile

MOST = 64 * 2**20
"""Bytes of a file that are read; one never grows to half of it."""
LONG = 2 * 2**20
"""Bytes up to which a file may grow, whatever of it still counts."""
_HEAD = 8


class Heading(msgspec.Struct, frozen=True):
    """What a file holds and in which version of it, and the machine and the boot that it tells of."""

    what: str
    version: int
    machine: str = ""
    boot: str = ""


class Kept(NamedTuple):
    """What was read: who wrote it (None: nobody, there is no such file), the records, and what is wrong with them."""

    heading: Heading | None
    records: dict[str, bytes]
    trouble: str | None = None


class Journal:
    """One file. Nothing here raises: ``trouble`` says why it cannot be written now, and it is tried again."""

    def __init__(self, path: Path | None, heading: Heading) -> None:
        """Without a path nothing is kept."""
        self._path = path
        self._heading = heading
        self._written: dict[str, int] = {}
        self._size = self._counts = 0
        self.begun = False
        """Whether what was written so far is there, so that it may be added to."""
        self.trouble: str | None = None

    def read(self) -> Kept:
        """Return what a run before wrote, as far as it is whole; of another kind or version nothing."""
        try:
            data = _read(self._path) if self._path is not None else b""
        except FileNotFoundError:
            return Kept(None, {})
        except OSError as error:
            return Kept(None, {}, f"it cannot be read: {error.strerror}")
        return _parsed(data, self._heading) if self._path is not None else Kept(None, {})

    @property
    def is_long(self) -> bool:
        """Whether it is to be written whole: nothing was yet, that failed, or most of it counts no more."""
        return not self.begun or self._size > max(LONG, 2 * self._counts)

    def add(self, records: Mapping[str, bytes]) -> None:
        """Append the records that differ from what was written of their keys."""
        new = {key: data for key, data in records.items() if self._written.get(key) != hash(data)}
        if new and self._path is not None:
            self._write(_framed(msgspec.msgpack.encode(new)), new, whole=False)

    def replace(self, records: Mapping[str, bytes]) -> None:
        """Write the file whole: these records, and no others."""
        if self._path is not None:
            pieces = (msgspec.msgpack.encode(self._heading), msgspec.msgpack.encode(records))
            self._written.clear()
            self._size = self._counts = 0
            self._write(b"".join(map(_framed, pieces)), records, whole=True)

    def _write(self, data: bytes, records: Mapping[str, bytes], *, whole: bool) -> None:
        try:
            _put(self._path, data, whole=whole)
        except OSError as error:
            self.begun, self.trouble = False, f"it cannot be written: {error.strerror}"
            return
        self.begun, self.trouble = True, None
        self._size += len(data)
        self._counts += sum(len(one) for key, one in records.items() if key not in self._written)
        self._written.update((key, hash(one)) for key, one in records.items())


def _put(path: Path | None, data: bytes, *, whole: bool) -> None:
    """Append to a file, or write it whole. A piece that was written in part is the last one: the next is the whole."""
    if path is None:
        return
    if whole:
        path.parent.mkdir(parents=True, exist_ok=True)
        wholefile.write(path, data)
        return
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if os.write(descriptor, data) != len(data):
            raise OSError(0, "the disk took only a part of it")
    finally:
        os.close(descriptor)


def _read(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "it is no file")
        return file.read(MOST)


def _framed(data: bytes) -> bytes:
    return len(data).to_bytes(4, "little") + zlib.crc32(data).to_bytes(4, "little") + data


def _parsed(data: bytes, wanted: Heading) -> Kept:
    """Return the records of a file up to where it is damaged."""
    heading, at = None, 0
    records: dict[str, bytes] = {}
    try:
        while at < len(data):
            end = at + _HEAD + int.from_bytes(data[at : at + 4], "little")
            piece = data[at + _HEAD : end]
            if end > len(data) or zlib.crc32(piece) != int.from_bytes(data[at + 4 : at + _HEAD], "little"):
                break
            if heading is None:
                heading = msgspec.msgpack.decode(piece, type=Heading)
                if (heading.what, heading.version) != (wanted.what, wanted.version):
                    return Kept(None, {}, f"it is of another version ({heading.what} {heading.version})"[:200])
            else:
                records.update(msgspec.msgpack.decode(piece, type=dict[str, bytes]))
            at = end
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    if heading is None:
        return Kept(None, {}, "it is damaged, or was written by something else")
    return Kept(heading, records, f"its last {len(data) - at:,} bytes are damaged" if at < len(data) else None)
