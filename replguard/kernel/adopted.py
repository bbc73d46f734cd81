"""eBPF programs that run already: found again by their links, which the service manager kept while nobody read.

A link keeps its program attached, the program keeps its maps: nothing is loaded or attached a second time, and what
lies in a map is as it was left. Asking for a program and its maps by number needs CAP_SYS_ADMIN.
"""

import ctypes
import os
import struct
from collections.abc import Mapping
from ctypes import addressof, byref, c_uint32, create_string_buffer
from typing import NamedTuple

from replguard.errors import Unavailable
from replguard.kernel.libbpf import Library, Programs

LRU_HASH, RINGBUF = 9, 27
"""BPF_MAP_TYPE_* (include/uapi/linux/bpf.h)."""
_LINK = struct.Struct("=III")
"""struct bpf_link_info: type, number, the program's number (include/uapi/linux/bpf.h, as the next two)."""
_PROGRAM_SIZE, _MAP_COUNT, _PROGRAM_NAME = 232, 52, 64
"""Of struct bpf_prog_info: its size as far as it is read, and where nr_map_ids (map_ids follows) and name lie."""
_MAP = struct.Struct("=IIIII4x16s")
_MOST_MAPS = 64
_NAME_LENGTH = 15
"""BPF_OBJ_NAME_LEN, without its end: the kernel cuts names."""


class Map(NamedTuple):
    """What the kernel says of a map; sizes in bytes."""

    kind: int
    number: int
    key: int
    value: int
    entries: int
    name: str


class Adopted(Programs):
    """Programs by descriptors of their links: as if they had been attached here.

    The descriptors are its own from now on, also where it raises. ``missing`` is what was left out, and what the kernel
    had refused. Raises Unavailable or OSError where they are not what their names say.
    """

    adopted = True

    def __init__(self, links: Mapping[str, int], library: Library, missing: Mapping[str, str]) -> None:
        self._library, self._calls = library, library.calls
        self._object, self._links = None, {}
        self._held = dict(links)
        self._programs_of: dict[str, int] = {}
        self._maps: dict[str, tuple[int, Map]] = {}
        self.missing = dict(missing)
        try:
            for name, link in self._held.items():
                self._find(name, link)
        except BaseException:
            self.close()
            raise

    def _find(self, name: str, link: int) -> None:
        """Find a program and its maps by its link."""
        program = self._by_number("prog", _LINK.unpack_from(self._info(link, _LINK.size))[2])
        self._programs_of[name] = program
        numbers = (c_uint32 * _MOST_MAPS)()
        asked = bytearray(_PROGRAM_SIZE)
        struct.pack_into("=IQ", asked, _MAP_COUNT, _MOST_MAPS, addressof(numbers))
        info = self._info(program, _PROGRAM_SIZE, bytes(asked))
        called = info[_PROGRAM_NAME : _PROGRAM_NAME + 16].partition(b"\0")[0].decode("ascii", "replace")
        if called != name[:_NAME_LENGTH]:
            raise Unavailable(f"what was kept as {name} is the program {called!a}.")
        for number in numbers[: min(_MOST_MAPS, int.from_bytes(info[_MAP_COUNT : _MAP_COUNT + 4], "little"))]:
            if all(known.number != number for _, known in self._maps.values()):
                self._add(self._by_number("map", number))

    def describe(self, descriptor: int) -> Map:
        """Return what a map is."""
        kind, number, key, value, entries, name = _MAP.unpack(self._info(descriptor, _MAP.size))
        return Map(kind, number, key, value, entries, name.partition(b"\0")[0].decode("ascii", "replace"))

    def _add(self, descriptor: int) -> None:
        found = self.describe(descriptor)
        if found.name in self._maps:
            os.close(descriptor)
            raise Unavailable(f"what was kept has two maps {found.name}: it is of two objects.")
        self._maps[found.name] = descriptor, found

    def _by_number(self, what: str, number: int) -> int:
        descriptor = int(getattr(self._calls, f"bpf_{what}_get_fd_by_id")(number))
        if descriptor < 0:
            raise OSError(ctypes.get_errno(), f"bpf_{what}_get_fd_by_id")
        return descriptor

    def _info(self, descriptor: int, size: int, asked: bytes = b"") -> bytes:
        buffer, length = create_string_buffer(asked, size), c_uint32(size)
        if self._calls.bpf_obj_get_info_by_fd(descriptor, buffer, byref(length)) != 0:
            raise OSError(ctypes.get_errno(), "bpf_obj_get_info_by_fd")
        return buffer.raw

    def fits(self, descriptor: int, kind: int, key: int, entries: int) -> None:
        """Raise Unavailable or OSError if a descriptor is not of a map of this kind and size that holds numbers."""
        found = self.describe(descriptor)
        if (found.kind, found.key, found.value, found.entries) != (kind, key, 8, entries):
            raise Unavailable(f"what was kept has another map {found.name!a}: of kind {found.kind}.")

    def require(self, name: str, kind: int, entries: int) -> None:
        """Raise Unavailable if a map is not of this kind and size."""
        self.map(name)
        found = self._maps[self._named(name)][1]
        if (found.kind, found.entries) != (kind, entries):
            raise Unavailable(f"what was kept has another map {name}: of kind {found.kind}, {found.entries} large.")

    def _named(self, name: str) -> str:
        """Return what the kernel calls a map: the section that all objects have bears the object's name besides."""
        if name == ".bss":
            return next((known for known in self._maps if known.endswith(name)), name)
        return name[:_NAME_LENGTH]

    def map(self, name: str) -> int:
        known = self._maps.get(self._named(name))
        if known is None:
            raise Unavailable(f"what was kept has no map {name}.")
        return known[0]

    def links(self) -> dict[str, int]:
        return dict(self._held)

    def programs(self) -> list[int]:
        return list(self._programs_of.values())

    def attach(self) -> None:
        """They run already."""

    def attach_below(self, name: str, group: int) -> None:
        """They run already."""

    def close(self) -> None:
        """Let go of them: they go on as long as the manager keeps them."""
        maps = [descriptor for descriptor, _ in self._maps.values()]
        for descriptor in (*self._held.values(), *self._programs_of.values(), *maps):
            os.close(descriptor)
        self._held, self._programs_of, self._maps = {}, {}, {}
