"""How things stand in detail, in types: what `status` and `top` show, small enough to be written often."""

from datetime import datetime

import msgspec

from replguard.events.alert import Level


class Flow(msgspec.Struct, frozen=True):
    """What a sensor sees: ``events`` and ``lost`` since the start, ``rate`` in events a second, ``cpu`` in cores."""

    events: int
    lost: int
    rate: float | None = None
    cpu: float | None = None


class Served(msgspec.Struct, frozen=True):
    """Instances of a deployment, or of a model that no deployment names, for which ``allowed`` is None."""

    name: str
    allowed: int | None
    live: int
    unauthorised: int


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """An open incident, told by its gravest alert. ``count`` is of its alerts with their repeats."""

    id: str
    level: Level
    sentence: str
    actor: str | None
    opened: datetime
    last: datetime
    count: int
    contain: tuple[str, ...] = ()


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """An alert as it was sent."""

    at: datetime
    level: Level
    state: str
    incident: str
    sentence: str


class Way(msgspec.Struct, frozen=True):
    """A sink, in alerts; ``trouble`` is why it does not work now."""

    sent: int
    waiting: int
    lost: int
    trouble: str | None = None


class Stream(msgspec.Struct, frozen=True):
    """A stream of the log: bytes on the disk, None where it cannot be listed; records lost; what is wrong now."""

    size: int | None
    lost: int
    trouble: str | None = None


class Part(msgspec.Struct, frozen=True):
    """A process of the daemon: bytes of memory that it holds, and what it takes of the processor, in cores."""

    memory: int
    cpu: float | None = None


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """Everything at one moment, by name where there are several.

    ``checkpoint`` is when the log was last sealed. ``waiting`` counts events, ``examining`` files, ``evicted`` what
    was forgotten because a part held as many as it may. ``incidents`` counts all that are open, ``cases`` tells some.
    """

    sensors: dict[str, Flow]
    instances: tuple[Served, ...]
    firing: dict[Level, int]
    incidents: int
    cases: tuple[Case, ...]
    alerts: tuple[Told, ...]
    sinks: dict[str, Way]
    log: dict[str, Stream]
    parts: dict[str, Part]
    waiting: int
    examining: int
    evicted: dict[str, int]
    checkpoint: datetime | None = None
