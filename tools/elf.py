"""What a shared object asks of the C library of the host, and how to ask for less where that means the same."""

import struct
from collections.abc import Iterator
from pathlib import Path

MAGIC = b"\x7fELF\x02\x01"
"""64 bits, little-endian: the only ones that are carried."""
_DYNSYM, _VERNEED = 11, 0x6FFFFFFE
"""Types of sections (elf.h)."""
_OLDER = {b"GLIBC_2.35": b"GLIBC_2.2.5", b"GLIBC_2.36": b"GLIBC_2.25"}
"""What stands in for a version: `hypot` of 2.35 differs from the first only in how it tells an overflow, and what is
asked of 2.36 is `arc4random_buf`, for which `getentropy` does (see package.py)."""


class Object:
    """A shared object or program. Raises ValueError if it is none that we know."""

    def __init__(self, data: bytes) -> None:
        if data[:6] != MAGIC:
            raise ValueError("not a 64-bit ELF file")
        self.data = bytearray(data)
        (offset,) = struct.unpack_from("<Q", data, 40)
        size, count = struct.unpack_from("<HH", data, 58)
        self._sections = [struct.unpack_from("<IIQQQQIIQQ", data, offset + n * size) for n in range(count)]

    def needs(self) -> Iterator[bytes]:
        """Yield the version of every symbol set that must be there, as b"GLIBC_2.34"."""
        for at, strings in self._versions():
            yield self._string(strings + struct.unpack_from("<I", self.data, at + 8)[0])

    def lower(self) -> bytes:
        """Return the file with the older one in the place of each version that has one.

        Raises ValueError where its name would not fit: it has to be in the file, or as long as the newer one.
        """
        for at, strings in list(self._versions()):
            place = strings + struct.unpack_from("<I", self.data, at + 8)[0]
            name = self._string(place)
            if (older := _OLDER.get(name)) is None:
                continue
            if len(older) == len(name):
                self.data[place : place + len(name)] = older
            elif (place := self.data.find(b"\0" + older + b"\0", strings) + 1) == 0:
                raise ValueError(f"{older.decode()} is not named in it")
            struct.pack_into("<I", self.data, at, _hash(older))
            struct.pack_into("<I", self.data, at + 8, place - strings)
        return bytes(self.data)

    def _versions(self) -> Iterator[tuple[int, int]]:
        """Yield where each needed version (Elf64_Vernaux) stands, and where its strings begin."""
        for section in self._sections:
            if section[1] == _VERNEED:
                strings, at = self._sections[section[6]][4], section[4]
                for _ in range(section[7]):
                    _, count, _, aux, following = struct.unpack_from("<HHIII", self.data, at)
                    each = at + aux
                    for _ in range(count):
                        yield each, strings
                        each += struct.unpack_from("<I", self.data, each + 12)[0]
                    at += following

    def _string(self, at: int) -> bytes:
        return bytes(self.data[at : self.data.index(0, at)])


def floor(paths: list[Path]) -> tuple[int, ...]:
    """Return the oldest C library with which all of these load, as (2, 34)."""
    found = {name for path in paths for name in Object(path.read_bytes()).needs()}
    versions = [name.removeprefix(b"GLIBC_") for name in found if name.startswith(b"GLIBC_2")]
    return max((tuple(map(int, version.split(b"."))) for version in versions), default=(2,))


def is_elf(path: Path) -> bool:
    """Whether a file is one."""
    with path.open("rb") as file:
        return file.read(6) == MAGIC


def _hash(name: bytes) -> int:
    """Return the hash that the loader compares (System V ABI)."""
    value = 0
    for byte in name:
        value = (value << 4) + byte
        high = value & 0xF0000000
        value = (value ^ high >> 24) & ~high
    return value
