"""Ids that any tier, a replay or a second host computes alike, because they derive from what they name."""

import hashlib
from collections.abc import Callable

TICK = 0.01
"""Seconds in which a process start is told: USER_HZ, the unit of /proc/PID/stat, so that both tiers agree."""


def short_hash(*parts: object) -> str:
    """Return 16 hex digits of SHA-256 over the parts; 64 bits, so a host may name 10^8 things with no clash likely."""
    data = "\x1f".join(map(str, parts)).encode("utf-8", "backslashreplace")
    return hashlib.sha256(data).hexdigest()[:16]


def entity_ids(machine: str, boot: str) -> Callable[[int, int], str]:
    """Return `entity_id` for one boot of one machine, which hashes these once."""
    begun = hashlib.sha256(f"{machine}\x1f{boot}\x1f".encode("utf-8", "backslashreplace"))

    def entity(pid: int, start_ticks: int) -> str:
        made = begun.copy()
        made.update(b"%d\x1f%d" % (pid, start_ticks))
        return made.hexdigest()[:16]

    return entity


def entity_id(machine: str, boot: str, pid: int, start_ticks: int) -> str:
    """Return the id of a process that survives its exit and the reuse of its pid."""
    return short_hash(machine, boot, pid, start_ticks)
