"""How much was told of what the kernel adds up: in a map that no program sees, so that it outlives us as the sums do.

Without it the next start would tell sums again that were told, or pass over what was not.
"""

import contextlib
import os
from struct import Struct

from replguard.kernel.libbpf import Programs

NAME = "told"
_LRU_HASH = 9
"""BPF_MAP_TYPE_LRU_HASH (include/uapi/linux/bpf.h): what was noted longest ago gives way."""
_AMOUNT = Struct("=Q")


class Told:
    """Amounts by keys of one size in bytes. Where the kernel makes no such map nothing is noted, and nothing fails."""

    def __init__(self, programs: Programs, key: int, most: int, descriptor: int | None = None) -> None:
        """Go on with a kept one by its descriptor, or make it anew."""
        self._programs, self._key = programs, key
        self.descriptor = -1
        if descriptor is not None:
            self.descriptor = descriptor
            return
        with contextlib.suppress(OSError):
            self.descriptor = programs.create(_LRU_HASH, NAME, key, _AMOUNT.size, most)

    def amounts(self) -> dict[bytes, int]:
        """Return all that is noted."""
        found: dict[bytes, int] = {}
        with contextlib.suppress(OSError):
            for key, value in self._programs.entries(self.descriptor, self._key, _AMOUNT.size):
                found[key] = _AMOUNT.unpack(value)[0]
        return found

    def counter(self, name: bytes, place: int = 0) -> bytes:
        """Return the key of a counter of ours. No sum has such a key: each begins with a number or a time."""
        return (b"\xff\xff\xff\xff" + name[:3] + bytes([place])).ljust(self._key, b"\xff")

    def note(self, key: bytes, amount: int) -> None:
        """Note that so much was told by now."""
        if self.descriptor >= 0:
            with contextlib.suppress(OSError):
                self._programs.put(self.descriptor, key, _AMOUNT.pack(amount))

    def forget(self, key: bytes) -> None:
        """Forget a key: the kernel begins its sum anew."""
        if self.descriptor >= 0:
            self._programs.remove(self.descriptor, key)

    def close(self) -> None:
        """Let go of it."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
