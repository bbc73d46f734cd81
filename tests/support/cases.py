"""An incident as the pipeline writes it to the evidence: an agent copies a model, serves the copy and sends it away."""

import hashlib
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
from support import logs

from replguard.config import Stream
from replguard.events import evidence
from replguard.events.alert import SEVERITY, Alert, AlertContext, AlertMeta, AlertRule
from replguard.events.event import Event, Meta
from replguard.events.evidence import Cited, Descriptor, Image, RuleText, Snapshot, Socket, Taken
from replguard.events.fact import Actor, Authorised, Context, FileRef, Instance
from replguard.events.file import File
from replguard.events.gpu import Gpu
from replguard.events.health import Health
from replguard.events.network import Endpoint
from replguard.events.process import Parent, Process, User

INCIDENT = "1234567890abcdef"
OTHER = "12345fffffffffff"
WHO = Actor(
    kind="agent", id="0:/usr/bin/python3#ag", principal="0:/usr/bin/python3", name="python3", pid=20, agent=True
)
STRANGER = Actor(kind="service", id="backup.service#bk", principal="backup.service", name="restic", pid=90)
LARGE = Stream(max_size=256 * 2**20)
RULE = "title: made up\nname: self-replication\n"
_NUMBER = {"sh": 10, "ag": 20, "cp": 30, "sv": 40, "bk": 90}
_ABOVE = {"ag": "sh", "cp": "ag", "sv": "ag"}
_SECONDS = {"sh": -100, "ag": -50, "cp": 1, "sv": 20, "bk": 0}


def at(seconds: float) -> datetime:
    """Return a time after the first act."""
    return logs.NOW + timedelta(seconds=seconds)


def process(entity: str, command: str | None = None) -> Process:
    """Return one of the processes: a shell, an agent below it, and what that starts."""
    above = _ABOVE.get(entity)
    return Process(
        pid=_NUMBER[entity],
        entity_id=entity,
        start=at(_SECONDS[entity]),
        executable=f"/usr/bin/{entity}",
        command_line=command or f"{entity} --do",
        parent=Parent(pid=_NUMBER[above], entity_id=above) if above else None,
    )


def fact(action: str, number: int, entity: str, seconds: float, command: str | None = None, **more) -> Event:
    """Return a fact about one of the processes; what ``Context`` has goes there."""
    about = {key: more.pop(key) for key in list(more) if key in Context.__struct_fields__}
    about = {"actor": WHO, "lineage": tuple(_way(entity)), "attribution": "kernel", **about}
    return Event(
        timestamp=at(seconds),
        event=Meta(action=action, kind="enrichment", provider="provenance", id=f"ev-{number}", sequence=number),
        process=process(entity, command),
        user=User(id=0, name="root"),
        replguard=Context(**about),
        **more,
    )


def _way(entity: str):
    while entity in _ABOVE:
        yield entity
        entity = _ABOVE[entity]


def alert(id_: str, name: str, level: str, entity: str, seconds: float, named: tuple[int, ...], **more) -> Alert:
    """Return an alert that names events by their numbers."""
    incident = more.pop("incident", INCIDENT)
    message = more.pop("message", f"Agent ag through {entity} did it: {name}.")
    return Alert(
        timestamp=at(seconds),
        message=message,
        event=AlertMeta(id=id_, severity=SEVERITY[level], action="server_live", sequence=named[-1]),
        rule=AlertRule(id=f"rule-{name}", name=name, level=level),
        process=process(entity),
        replguard=AlertContext(
            schema=1,
            incident=incident,
            state=more.pop("state", "firing"),
            count=1,
            first_seen=more.pop("first_seen", at(seconds)),
            last_seen=at(seconds),
            evidence=tuple(f"ev-{number}" for number in named),
            **{"actor": WHO, "contain": (f"kill -STOP {_NUMBER[entity]}",), "runbook": "runbook.md#self-replication"}
            | more,
        ),
    )


def records(text: str = "cp /models/a /tmp/b", path: str = "/tmp/b", model: str = "llama") -> list:
    """Return the records in the order of writing; ``text``, ``path`` and ``model`` are the attacker's."""
    copied = fact(
        "weights_copy",
        3,
        "cp",
        3,
        text,
        file=File(path=path, size=2**30, device=1, inode=7),
        model=model,
        origin=FileRef(path="/models/a"),
        technique="copy",
        confidence="content",
        share=1.0,
    )
    sent = {"bytes": 3 * 2**30, "protocols": ("tcp",), "destination": Endpoint(ip="203.0.113.9", port=443)}
    served = Instance(id="i1", pids=(40,), listen=("0.0.0.0:8000",), gpu_bytes=5 * 2**30, weights=(path,))
    ran = Event(timestamp=at(2), event=Meta(action="process_exec", id="ev-2", sequence=2), process=process("cp", text))
    return [
        fact(
            "weights_access",
            50,
            "bk",
            0,
            actor=STRANGER,
            file=File(path="/models/a"),
            authorised=Authorised(by="manifest", entry="nightly"),
        ),
        fact("weights_access", 1, "cp", 1, text, file=File(path="/models/a"), model=model, mode="read"),
        copied,
        alert("a1", "weights-copy-agent", "high", "cp", 3, (1, 3), message=f"Agent ag through cp copied {path}."),
        fact("weights_egress", 5, "cp", 10, text, model=model, **sent),
        fact("weights_egress", 6, "cp", 12, text, model=model, **sent | {"bytes": 6 * 2**30}),
        fact("gpu_memory", 7, "sv", 21, gpu=Gpu(id="GPU-1", name="H100", driver="570", memory_bytes=5 * 2**30)),
        fact("server_live", 8, "sv", 22, model=model, status="started", instance=served, generation=1),
        alert(
            "b2",
            "self-replication",
            "critical",
            "sv",
            22,
            (2, 3, 8),
            stages=("copy", "serve"),
            message=f"Agent ag copied {model}, then served it.",
        ),
        ran,
        *(_lineage(entity) for entity in ("sv", "ag", "sh")),
        _lineage("cp"),
        _cited(),
        _snapshot(),
        alert("c3", "unrelated", "low", "bk", 23, (50,), incident=OTHER, actor=STRANGER),
        Event(
            timestamp=at(24),
            event=Meta(action="sensor_health", id="ev-60", sequence=60),
            health=Health(component="file", state="loss", lost=4),
        ),
        alert(
            "a1",
            "weights-copy-agent",
            "high",
            "cp",
            3,
            (1, 3, 5),
            message=f"Agent ag through cp copied {path}.",
            state="resolved",
        ),
    ]


def _lineage(entity: str) -> Event:
    meta = Meta(action=evidence.LINEAGE, kind=evidence.STATE, id=f"lineage-{entity}")
    return Event(timestamp=at(22), event=meta, process=process(entity), user=User(id=0))


def _cited() -> Cited:
    digest = hashlib.sha256(RULE.encode()).hexdigest()
    text = RuleText(
        id="rule-self-replication", name="self-replication", path="/rules/../x.yml", sha256=digest, text=RULE
    )
    return Cited(
        timestamp=at(22),
        event=Meta(action=evidence.RULE, kind=evidence.STATE, id="cited"),
        incident=INCIDENT,
        rule=text,
    )


def _snapshot() -> Taken:
    shot = Snapshot(
        alert="b2",
        incident=INCIDENT,
        image=Image(path="/usr/bin/sv", sha256="ab" * 32),
        environment=("HOME", "HF_TOKEN"),
        descriptors=(Descriptor(fd=3, path="/tmp/b", access="r"),),
        sockets=(Socket(transport="tcp", local="0.0.0.0:8000", state="listen"),),
    )
    return Taken(
        timestamp=at(22),
        event=Meta(action=evidence.SNAPSHOT, kind=evidence.STATE, id="shot"),
        process=process("sv"),
        snapshot=shot,
    )


def many(count: int) -> list:
    """Return the records, and an alert that names as many programs more."""
    numbers = range(1000, 1000 + count)
    ran = [
        Event(
            timestamp=at(30 + number / 1000),
            event=Meta(action="process_exec", id=f"ev-{number}", sequence=number),
            process=msgspec.structs.replace(
                process("cp", f"tool-{number} --step {number}"), entity_id=f"e{number % 700}", pid=number
            ),
        )
        for number in numbers
    ]
    return [*records(), *ran, alert("d4", "many", "high", "cp", 60, tuple(numbers))]


def made(folder: Path, state: Path, told: list | None = None, limits: Stream | None = None, block: int = 4) -> Path:
    """Write records to the evidence of a log, and seal them after so many; older and newer ones stand beside them."""
    to = logs.writer(folder, state, "evidence", limits or (LARGE if told and len(told) > 100 else logs.SMALL))
    every = [
        *(logs.event(n) for n in range(20)),
        *(told if told is not None else records()),
        *(logs.event(n) for n in range(20, 40)),
    ]
    for number, record in enumerate(every):
        to.write(record, at(number))
        if number % block == block - 1:
            to.tick(at(number))
    to.close(60, at(len(every)))  # what is compressed waits for the disk, and others may keep that busy
    return folder
