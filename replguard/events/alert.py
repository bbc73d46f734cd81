"""What is raised: a detection as the engine gives it, and the alert object that leaves the host."""

from typing import Literal

import msgspec

from replguard.events.clock import Time
from replguard.events.event import Event
from replguard.events.fact import Actor, Attribution, FileRef, Instance, Tier
from replguard.events.file import File
from replguard.events.host import Container, Host, Orchestrator
from replguard.events.network import Endpoint
from replguard.events.process import Process, User

Level = Literal["informational", "low", "medium", "high", "critical"]
LEVELS: tuple[Level, ...] = ("informational", "low", "medium", "high", "critical")
SEVERITY: dict[Level, int] = {"informational": 0, "low": 21, "medium": 47, "high": 73, "critical": 99}
"""ECS event.severity by level: the scale that Elastic's detection engine uses for the same words."""


class AlertRule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The rule that fired."""

    id: str
    name: str
    level: Level
    tags: tuple[str, ...] = ()


class Detection(msgspec.Struct, frozen=True, kw_only=True):
    """A rule matched.

    ``events`` are the evidence in order, the last one the event that completed the match. ``key`` is what the rule
    grouped by. ``stages`` names the stages of a correlation that were reached (empty for a single-event rule).
    """

    rule: AlertRule
    key: str
    events: tuple[Event, ...]
    stages: tuple[str, ...] = ()
    degraded: bool = False
    runbook: str | None = None


class AlertMeta(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """ECS ``event.*`` of an alert. ``action`` is the kind of the event that completed the match.

    What has a factory here and below is always written: a receiver may rely on it, default or not.
    """

    id: str
    kind: Literal["alert"] = msgspec.field(default_factory=lambda: "alert")
    severity: int = msgspec.field(default_factory=int)
    action: str | None = None
    sequence: int | None = None


class AlertContext(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The ``replguard`` object of an alert: a stable interface, fields are added and never change meaning."""

    schema: int
    incident: str
    state: Literal["firing", "resolved"]
    count: int
    first_seen: Time
    last_seen: Time
    actor: Actor | None = None
    model: str | None = None
    technique: str | None = None
    confidence: str | None = None
    attribution: Attribution | None = None
    generation: int | None = None
    tier: Tier | None = None
    degraded: bool = msgspec.field(default_factory=bool)
    drill: str | None = None
    latency_ms: float | None = None
    evidence: tuple[str, ...] = ()
    allow: str | None = None
    contain: tuple[str, ...] = ()
    runbook: str | None = None
    fact: str | None = None
    origin: FileRef | None = None
    instance: Instance | None = None
    real_level: Level | None = None
    stages: tuple[str, ...] = ()


class Alert(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of alerts.jsonl."""

    timestamp: Time = msgspec.field(name="@timestamp")
    message: str
    event: AlertMeta
    rule: AlertRule
    replguard: AlertContext
    process: Process | None = None
    file: File | None = None
    destination: Endpoint | None = None
    server: Endpoint | None = None
    user: User | None = None
    host: Host | None = None
    container: Container | None = None
    orchestrator: Orchestrator | None = None
