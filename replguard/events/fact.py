"""What provenance adds to an event: who acted, on which model, and what it meant (see the fact table in the docs)."""

from typing import Literal

import msgspec

from replguard.events.clock import Time

Attribution = Literal["kernel", "lineage", "inferred", "unknown"]
Tier = Literal["kernel", "portable"]
ActorKind = Literal["agent", "container", "service", "scheduler", "timer", "cron", "at", "ci", "session", "unknown"]
Standing = Literal["allowed", "service", "session", "agent", "unknown"]


class Actor(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Who acts: a principal plus the entry point of this run.

    ``principal`` is the stable who (unit, container, uid+executable …); ``id`` adds the entry point's entity id;
    ``pid`` and ``name`` are those of the entry point. ``standing`` is the column of the level table that applies.
    ``driver`` is the instance that drives an agent, where that is a replica: of generation 2 or more.
    """

    kind: ActorKind
    id: str
    principal: str
    name: str | None = None
    pid: int | None = None
    agent: bool = msgspec.field(default_factory=bool)
    standing: Standing = msgspec.field(default_factory=lambda: "unknown")
    driver: str | None = None


class FileRef(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A file that a fact points at besides its own."""

    path: str
    device: int | None = None
    inode: int | None = None
    size: int | None = None


class Authorised(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What allows the act: a manifest entry or the baseline."""

    by: Literal["manifest", "baseline"]
    entry: str


class Instance(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A live serving instance. ``listen`` holds ``ip:port`` or socket paths; ``count`` of its principal and model.

    ``weights`` are the paths of the protected files, or of copies of them, that it holds.
    """

    id: str
    pids: tuple[int, ...] = ()
    listen: tuple[str, ...] = ()
    gpu_bytes: int | None = None
    count: int | None = None
    max_instances: int | None = None
    deployment: str | None = None
    weights: tuple[str, ...] = ()


class Context(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The ``replguard`` object of an event or fact.

    Join keys: ``lineage`` (entity ids strictly below the entry point, the process itself first), ``unit``,
    ``session``, ``artefacts`` (ids of things made in the sequence). ``bytes`` and ``share`` (0 to 1) say how much.
    ``signal`` is the number of a signal, whose name is the ``status``. ``since`` and ``protocols`` say when the
    first of the ``bytes`` were sent and how, ``destinations`` to how many hosts. ``maintenance`` says that a
    maintenance window covers who acts, ``drill`` names the announced drill that does.
    """

    tier: Tier | None = None
    attribution: Attribution | None = None
    actor: Actor | None = None
    lineage: tuple[str, ...] = ()
    unit: str | None = None
    session: str | None = None
    artefacts: tuple[str, ...] = ()
    model: str | None = None
    host_path: str | None = None
    status: str | None = None
    signal: int | None = None
    mode: Literal["read", "map", "link", "memory", "device"] | None = None
    technique: str | None = None
    confidence: Literal["content", "link", "derived"] | None = None
    share: float | None = None
    bytes: int | None = None
    precision: str | None = None
    since: Time | None = None
    protocols: tuple[str, ...] = ()
    destinations: int | None = None
    origin: FileRef | None = None
    endpoint: str | None = None
    turns: int | None = None
    generation: int | None = None
    instance: Instance | None = None
    authorised: Authorised | None = None
    touched: bool | None = None
    exposed: bool | None = None
    persistence: str | None = None
    source: str | None = None
    difference: str | None = None
    relabelled: bool = False
    maintenance: bool = False
    drill: str | None = None
    read_time: bool = False
    degraded: bool = False
