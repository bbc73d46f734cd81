"""What an incident comes to: files and where they came from, servers, what left the host, device memory, stages."""

from dataclasses import dataclass, field
from datetime import datetime

from replguard.events.event import Event
from replguard.events.network import Endpoint
from replguard.events.process import Process
from replguard.forensics.incident import Incident

STAGES = {
    "agent_seen": "drives a model",
    "weights_access": "reads weights",
    "weights_copy": "copies weights",
    "weights_arrival": "weights arrive",
    "network_listen": "listens",
    "gpu_memory": "takes GPU memory",
    "server_live": "serves the model",
    "weights_egress": "bytes leave",
    "serving_signal": "ends a server",
    "authority_change": "changes what is allowed",
}
"""What each kind of fact stands for, in the order of a replication; any other event is one more."""
OTHER = "other acts"
LOST = "sensors lost events"
_MADE = ("weights_copy", "weights_arrival")
_MOST = 1_000


@dataclass(slots=True)
class Artefact:
    """A file that was made. ``origin`` is the path that its content came from, None where it is not known."""

    path: str
    first: datetime
    origin: str | None = None
    source: str | None = None
    technique: str | None = None
    confidence: str | None = None
    model: str | None = None
    size: int | None = None
    share: float | None = None
    device: int | None = None
    inode: int | None = None
    process: Process | None = None


@dataclass(slots=True)
class Destination:
    """Where something was sent. ``bytes`` is the most that was told, None where nobody counted.

    ``hosts`` instead of an end where it were many.
    """

    end: Endpoint | None
    first: datetime
    last: datetime
    bytes: int | None = None
    protocols: tuple[str, ...] = ()
    process: Process | None = None
    hosts: int | None = None


@dataclass(slots=True)
class Server:
    """A live serving instance, as it was told last. ``status`` is "ended" where it was seen to end."""

    id: str
    first: datetime
    event: Event


@dataclass(slots=True)
class Device:
    """Memory of a GPU that a process held, at the most."""

    first: datetime
    id: str | None
    name: str | None
    driver: str | None
    bytes: int | None
    process: Process | None


@dataclass(slots=True)
class Account:
    """Lists in the order in which each thing was first seen; of hostile many the first ``_MOST``."""

    artefacts: list[Artefact] = field(default_factory=list)
    destinations: list[Destination] = field(default_factory=list)
    servers: list[Server] = field(default_factory=list)
    devices: list[Device] = field(default_factory=list)
    stages: dict[str, list[Event]] = field(default_factory=dict)


def account(incident: Incident) -> Account:
    """Return what the events of an incident come to."""
    made: dict[str, Artefact] = {}
    sent: dict[tuple[str | None, ...], Destination] = {}
    serving: dict[str, Server] = {}
    held: dict[tuple[str | None, ...], Device] = {}
    stages: dict[str, list[Event]] = {name: [] for name in (*STAGES.values(), OTHER, LOST)}
    for entry in incident.events:
        event = entry.what
        stages[LOST if event.health else STAGES.get(event.action, OTHER)].append(event)
        if event.action in _MADE and event.file is not None:
            _made(made, event)
        if event.destination is not None or event.action == "weights_egress":
            _sent(sent, event)
        if event.action == "server_live" and event.replguard is not None and event.replguard.instance is not None:
            id_ = event.replguard.instance.id
            serving[id_] = Server(id_, serving[id_].first if id_ in serving else event.timestamp, event)
        if event.action == "gpu_memory" and event.gpu is not None:
            _held(held, event)
    return Account(
        list(made.values())[:_MOST],
        list(sent.values())[:_MOST],
        list(serving.values())[:_MOST],
        list(held.values())[:_MOST],
        {name: events for name, events in stages.items() if events},
    )


def _made(made: dict[str, Artefact], event: Event) -> None:
    file, about = event.file, event.replguard
    if file is None or about is None:
        return
    one = made.setdefault(file.path, Artefact(file.path, event.timestamp, process=event.process))
    one.origin = about.origin.path if about.origin is not None else file.previous or one.origin
    one.source = about.source or one.source
    one.technique, one.confidence = about.technique or one.technique, about.confidence or one.confidence
    one.model = about.model or one.model
    one.size = file.size if file.size is not None else about.bytes if about.bytes is not None else one.size
    one.share = about.share if about.share is not None else one.share
    one.device, one.inode = file.device, file.inode


def _sent(sent: dict[tuple[str | None, ...], Destination], event: Event) -> None:
    end, about = event.destination, event.replguard
    who = event.process.entity_id if event.process is not None else None
    where = (end.ip, end.domain, end.path, str(end.port)) if end is not None else ()
    one = sent.setdefault((who, *where), Destination(end, event.timestamp, event.timestamp, process=event.process))
    one.last = event.timestamp
    if about is not None and event.action == "weights_egress":
        one.bytes = max(one.bytes or 0, about.bytes) if about.bytes is not None else one.bytes
        one.protocols, one.hosts = about.protocols or one.protocols, None if end else about.destinations


def _held(held: dict[tuple[str | None, ...], Device], event: Event) -> None:
    gpu = event.gpu
    if gpu is None:
        return
    who = event.process.entity_id if event.process is not None else None
    one = held.setdefault(
        (gpu.id, who), Device(event.timestamp, gpu.id, gpu.name, gpu.driver, gpu.memory_bytes, event.process)
    )
    if gpu.memory_bytes is not None:
        one.bytes = max(one.bytes or 0, gpu.memory_bytes)
