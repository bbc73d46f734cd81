"""A log to ask: a model is served, an agent that people started copies it and serves the copy, others do their work."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace
from support import logs
from support.story import Host

from replguard.alerts.manager import Manager
from replguard.config import Config, Stream
from replguard.detector import Detector
from replguard.events.alert import Alert
from replguard.events.event import Event, Meta
from replguard.events.evidence import SNAPSHOT, Snapshot, Taken
from replguard.forensics.query import Base
from replguard.forensics.store import Part, Store
from replguard.log.sequence import Sequencer
from replguard.provenance.processes import Proc
from replguard.rules.load import load

HOSTILE = "=cmd|' /C calc'!A0 \x1b[2J\u202e\n"
"""Arguments that someone chose who knows where they are read."""


@dataclass(frozen=True)
class Asked:
    """The log's folder, what was written into it, and who did what."""

    folder: Path
    raw: list[Event]
    evidence: list[Event | Alert | Taken]
    agent: Proc
    shell: Proc
    early: Proc
    copier: Proc
    server: Proc
    copy: str = "/tmp/agent/w.safetensors"


LIMITS = Stream(max_size=16 * 7_000)
"""Limits with which a segment holds some 7 KB."""


def made(folder: Path, state: Path, limits: Stream = LIMITS) -> Asked:
    """Make it, with the raw events and facts in one stream, and facts, alerts and a snapshot in the other."""
    host = Host(endpoints=("203.0.113.7",))
    origin = host.protect()
    first = host.service()
    host.map(origin, first)
    host.listen(first, "127.0.0.1:8000")
    shell = host.login()
    host.exec("less", HOSTILE.split(" "), parent=shell)
    agent = host.exec("python3", "agent.py", parent=shell)
    early = host.exec("ls", "-la /models", parent=agent)
    for _ in range(4):
        host.wait(2)
        host.connect(agent, 443, ip="203.0.113.7")
        host.exit(host.exec("sh", "-c date", parent=agent))
    copier = host.exec("cp", "/models/llama/w.safetensors /tmp/agent/w.safetensors", parent=agent)
    host.copy(origin, Asked.copy, copier)
    server = host.exec("python3", "-m vllm", parent=agent)
    copied = next(event.file for event in reversed(host.events) if event.file and event.file.path == Asked.copy)
    host.map(copied, server)
    host.listen(server, "0.0.0.0:8001")
    return _written(folder, state, limits, host, (agent, shell, early, copier, server))


def _written(folder: Path, state: Path, limits: Stream, host: Host, who: tuple[Proc, ...]) -> Asked:
    detector, stamp = Detector(load([]), Manager(Config(), None)), Sequencer("b" * 32, 1).stamp
    raw, evidence = (logs.writer(folder, state, stream, limits) for stream in ("raw", "evidence"))
    events = [stamp(event) for event in host.events]
    kept: list[Event | Alert | Taken] = []
    for event in events:
        raw.write(event, event.timestamp)
        kept += [event] if event.event.kind == "enrichment" else []
        kept += detector.feed(event)
    taken = next(a for a in kept if isinstance(a, Alert) and a.replguard.actor and a.replguard.actor.agent)
    assert taken.process is not None
    about = Meta(action=SNAPSHOT, kind="state", id="s-1")
    kept.append(
        Taken(
            timestamp=host.now,
            event=about,
            process=replace(taken.process),
            snapshot=Snapshot(alert=taken.event.id, incident=taken.replguard.incident),
        )
    )
    for record in kept:
        evidence.write(record, record.timestamp)
    for each in (raw, evidence):
        each.close(now=host.now)
    return Asked(folder, events, kept, *who)


@contextmanager
def columns(folder: Path, cache: Path) -> Iterator[list[Part]]:
    """Give the segments of a log in columns."""
    with closing(Store(folder, cache)) as store:
        parts = store.parts()
        list(store.make(parts))
        yield parts


@contextmanager
def database(folder: Path, cache: Path) -> Iterator[Base]:
    """Give a log as a database."""
    with columns(folder, cache) as parts, closing(Base(parts)) as base:
        yield base
