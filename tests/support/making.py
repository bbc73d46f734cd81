"""Events, facts and detections as tests of what comes after the rules need them."""

from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from replguard.alerts import build
from replguard.alerts.story import tell
from replguard.events.alert import AlertRule, Detection
from replguard.events.event import Event, Meta
from replguard.events.evidence import CHECKPOINT, STATE, Checkpoint, Kept
from replguard.events.fact import Actor, Context, FileRef, Instance
from replguard.events.file import File
from replguard.events.health import Health
from replguard.events.host import Host
from replguard.events.process import Process, User

T0 = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)
GIB = 2**30
AGENT = Actor(
    kind="agent",
    id="1000:/usr/bin/python3#aa",
    principal="1000:/usr/bin/python3",
    name="python3",
    pid=4711,
    agent=True,
    standing="agent",
)
SERVICE = Actor(
    kind="service",
    id="unit:backup.service#bb",
    principal="unit:backup.service",
    name="restic",
    pid=900,
    standing="service",
)
NOBODY = Actor(kind="unknown", id="unknown", principal="unknown")


def at(seconds):
    """Return the time some seconds after the first moment."""
    return T0 + timedelta(seconds=seconds)


def event(action, number, seconds=0, *, kind="event", **sections):
    """Return an event with the id b-number."""
    return Event(
        timestamp=at(seconds), event=Meta(action=action, kind=kind, id=f"b-{number}", sequence=number), **sections
    )


def copy_fact(number, seconds=0, *, target="/tmp/.cache/y", actor=AGENT, model="chat-70b", **context):
    """Return a finished copy by a program `cp` of the actor."""
    given = {
        "tier": "portable",
        "attribution": "lineage",
        "status": "done",
        "technique": "hardlink",
        "confidence": "link",
        "share": 1.0,
        "artefacts": (f"artefact-{target}",),
        "origin": FileRef(path="/models/x.safetensors", size=4 * GIB),
    } | context
    who = {} if actor is NOBODY else {"process": process(), "user": User(id=1000, name="app")}
    return event(
        "weights_copy",
        number,
        seconds,
        kind="enrichment",
        file=File(path=target, size=4 * GIB),
        replguard=Context(actor=actor, model=model, **given),
        **who,
    )


def server_fact(number, seconds=0, *, actor=AGENT, status="live", instance="i1", **context):
    """Return a serving instance of the second generation that began."""
    given = {"tier": "portable", "attribution": "lineage", "generation": 2} | context
    return event(
        "server_live",
        number,
        seconds,
        kind="enrichment",
        process=process(5000, "/usr/bin/python3", "python3 -m server"),
        user=User(id=1000),
        replguard=Context(
            actor=actor,
            model="chat-70b",
            status=status,
            instance=Instance(id=instance, pids=(5000, 5001), listen=("127.0.0.1:8001",), count=1),
            **given,
        ),
    )


def process(pid=4720, executable="/usr/bin/cp", command_line="cp -l a b"):
    """Return a process section."""
    return Process(pid=pid, entity_id=f"e{pid}", executable=executable, command_line=command_line)


def detection(*events, rule="r1", level="high", stages=(), key="k", **given):
    """Return a detection over the events."""
    return Detection(
        rule=AlertRule(id=rule, name="Weights copied", level=level, tags=("attack.collection",)),
        key=key,
        events=events,
        stages=stages,
        **given,
    )


def alert(number=1, level="high", *, state="firing", count=1, rule="r1", name="Weights copied", **copy):
    """Return an alert about a copy."""
    found = detection(copy_fact(number, **copy), level=level, rule=rule)
    made = build.alert(found, tell(found), f"incident-{number}", level, Host(name="gpu1"))
    made = replace(made, rule=replace(made.rule, name=name))
    return replace(made, replguard=replace(made.replguard, state=state, count=count))


def tick(number, seconds):
    """Return the tick of a second."""
    return event("sensor_health", number, seconds, health=Health(component="clock", state="tick"))


def kept(size=3, stream="raw"):
    """Return the record of a checkpoint."""
    note = f"replguard/{stream}/0123456789abcdef\n{size}\nAAAA\n\n— replguard/{stream}/0123456789abcdef BBBB\n"
    made = Checkpoint(stream=stream, segment=1, size=size, key="CCCC", note=note)
    return Kept(timestamp=T0, event=Meta(action=CHECKPOINT, kind=STATE), message="kept", checkpoint=made)
