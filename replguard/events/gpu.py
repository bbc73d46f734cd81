"""Device memory that a process holds."""

import msgspec


class Gpu(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """``memory_bytes`` is what this process holds on the device; None when nobody says, ``memory_unknown`` why."""

    id: str | None = None
    name: str | None = None
    driver: str | None = None
    memory_bytes: int | None = None
    memory_unknown: str | None = None
