"""The actor of a process: its entry point, its standing, and the join keys that rules use."""

from typing import Literal

import msgspec

from replguard.events.event import Event
from replguard.events.fact import Actor, Attribution, Authorised, Context, Standing
from replguard.events.host import Container
from replguard.events.process import Process, User
from replguard.provenance import entry
from replguard.provenance.processes import Proc, parent_section

_STANDING: dict[str, Standing] = {"agent": "agent", "session": "session", "unknown": "unknown"}
"""Kinds that are a column of their own in the level table; every other kind is work that somebody set up: a service."""

NOBODY = Actor(kind="unknown", id="unknown", principal="unknown")
"""The actor of an act whose process no source names."""

Precision = Literal["seen", "guessed"]


def actor(proc: Proc, authorised: Authorised | None = None, generation: int | None = None) -> Actor:
    """Return who acts through a process."""
    found = entry.find(proc)
    agent = found.kind == "agent"
    standing = _STANDING.get(found.kind, "service")
    if not agent and max(generation or 1, *(here.serves for here in proc.chain())) >= 2:
        standing = "agent"
    if found.kind in ("container", "scheduler") and entry.of_user(found.proc) and standing == "service":
        standing = "session"  # a person's own container; also what he only named like one
    if authorised is not None:
        standing = "allowed"
    return Actor(
        kind=found.kind,
        id=f"{found.principal}#{found.proc.entity}",
        principal=found.principal,
        name=found.proc.image or found.proc.process.name,
        pid=found.proc.pid,
        agent=agent,
        standing=standing,
    )


def attribution(proc: Proc, seen: Attribution | None) -> Attribution:
    """Return how sure it is that ``proc`` acted: a guess anywhere in its lineage makes the whole a guess."""
    if seen == "inferred" or any(p.adopted for p in proc.chain()):
        return "inferred"
    return seen or "lineage"


def lineage(proc: Proc) -> tuple[str, ...]:
    """Return the entity ids that tie acts together: below the entry point, or up to the agent that planned them."""
    found = entry.find(proc)
    ids = []
    for here in proc.chain():
        if here is found.proc:
            if found.kind == "agent":
                ids.append(here.entity)
            break
        ids.append(here.entity)
    return tuple(ids)


def context(proc: Proc | None, given: Context | None, authorised: Authorised | None = None) -> Context:
    """Return ``given`` with actor and join keys added. What the sensor bound is never overwritten."""
    base = given or Context()
    if proc is None:
        return msgspec.structs.replace(base, actor=base.actor or NOBODY, attribution=base.attribution or "unknown")
    return msgspec.structs.replace(
        base,
        actor=base.actor or actor(proc, authorised, base.generation),
        attribution=attribution(proc, base.attribution),
        lineage=base.lineage or lineage(proc),
        unit=base.unit or entry.unit_key(proc),
        session=base.session or entry.session_key(proc),
        authorised=base.authorised or authorised,
    )


def section(proc: Proc, given: Process | None = None) -> Process:
    """Return the process section in full: what the event bound first, what the table knows for the rest."""
    known = proc.process
    merged = {name: getattr(known, name) for name in known.__struct_fields__}
    if given is not None:
        merged |= {
            name: value for name in given.__struct_fields__ if (value := getattr(given, name)) not in (None, (), False)
        }
    merged["entity_id"], merged["pid"] = proc.entity, proc.pid
    merged["parent"] = parent_section(proc.parent) or merged["parent"]
    return Process(**merged)


def enrich(event: Event, proc: Proc | None, authorised: Authorised | None = None) -> Event:
    """Return the event with process, user, container, actor and join keys filled in."""
    if proc is None:
        return msgspec.structs.replace(event, replguard=context(None, event.replguard))
    container = entry.container_id(proc)
    return msgspec.structs.replace(
        event,
        process=section(proc, event.process),
        user=event.user or _user(proc),
        container=event.container or (Container(id=container) if container else None),
        replguard=context(proc, event.replguard, authorised),
    )


def _user(proc: Proc) -> User | None:
    return proc.user
