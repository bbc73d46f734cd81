"""The actor of a process: its entry point, its standing, and the join keys that rules use."""

from typing import Literal, NamedTuple

import msgspec

from replguard.events.event import Event, Meta
from replguard.events.fact import Actor, Attribution, Authorised, Context, Standing
from replguard.events.process import Process
from replguard.provenance import contained, entry
from replguard.provenance.processes import Proc, parent_section

STANDING: dict[str, Standing] = {"agent": "agent", "session": "session", "unknown": "unknown"}
"""Kinds that are a column of their own in the level table; every other kind is work that somebody set up: a service."""

NOBODY = Actor(kind="unknown", id="unknown", principal="unknown")
"""The actor of an act whose process no source names."""

Precision = Literal["seen", "guessed"]
_EMPTY = Context()
_FIELDS = msgspec.structs.fields(Process)


class _Told(NamedTuple):
    """What was told last of a process: the context that came of a sensor's."""

    given: Context
    made: Context


def actor(proc: Proc, authorised: Authorised | None = None, generation: int | None = None) -> Actor:
    """Return who acts through a process."""
    place = entry.place(proc)
    found = place.entry
    agent = found.kind == "agent"
    standing = STANDING.get(found.kind, "service")
    if not agent and max(generation or 1, place.serves) >= 2:
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
        driver=found.proc.driver if agent else None,
    )


def told(proc: Proc) -> Event:
    """Return what is known of a process, as an event of the moment in which it began."""
    known = msgspec.structs.replace(proc.process, start=proc.since, parent=parent_section(proc.parent))
    return Event(timestamp=proc.since, event=Meta(action="process_exec"), process=known, user=proc.user)


def attribution(proc: Proc, seen: Attribution | None) -> Attribution:
    """Return how sure it is that ``proc`` acted: a guess on the way to its entry point makes the whole one."""
    if seen == "inferred" or entry.place(proc).adopted:
        return "inferred"
    return seen or "lineage"


def lineage(proc: Proc) -> tuple[str, ...]:
    """Return the entity ids that tie acts together: below the entry point, or up to the agent that planned them."""
    return entry.place(proc).lineage


def context(proc: Proc | None, given: Context | None, authorised: Authorised | None = None) -> Context:
    """Return ``given`` with actor and join keys added. What the sensor bound is never overwritten."""
    base = given or _EMPTY
    if proc is None:
        return msgspec.structs.replace(base, actor=base.actor or NOBODY, attribution=base.attribution or "unknown")
    place = entry.place(proc)
    told: _Told | None = place.told
    if told is not None and told.given is base and authorised is None:
        return told.made
    plain = authorised is None and base.generation is None and base.actor is None
    if plain and place.actor is None:
        place.actor = actor(proc)
    made = msgspec.structs.replace(
        base,
        actor=place.actor if plain else base.actor or actor(proc, authorised, base.generation),
        attribution=attribution(proc, base.attribution),
        lineage=base.lineage or place.lineage,
        unit=base.unit or place.unit,
        session=base.session or place.session,
        authorised=base.authorised or authorised,
    )
    if plain:
        place.told = _Told(base, made)
    return made


def section(proc: Proc, given: Process | None = None) -> Process:
    """Return the process section in full: what the event bound first, what the table knows for the rest."""
    known = proc.process
    full = known if given is None or given is known else _filled(given, known)
    parent = parent_section(proc.parent) or full.parent
    if (full.entity_id, full.pid) == (proc.entity, proc.pid) and full.parent == parent:
        return full
    return msgspec.structs.replace(full, entity_id=proc.entity, pid=proc.pid, parent=parent)


def _filled(given: Process, known: Process) -> Process:
    """Return what an event bound, with what it left open as it is known."""
    pairs = zip(_FIELDS, msgspec.structs.astuple(given), msgspec.structs.astuple(known), strict=True)
    left = {field.name: there for field, here, there in pairs if here is not there and here == field.default}
    return msgspec.structs.replace(given, **left) if left else given


def enrich(event: Event, proc: Proc | None, authorised: Authorised | None = None) -> Event:
    """Return the event with process, user, container, orchestrator, actor and join keys filled in."""
    if proc is None:
        return msgspec.structs.replace(event, replguard=context(None, event.replguard))
    about = context(proc, event.replguard, authorised)
    named = contained.of(proc.process.cgroup)
    return msgspec.structs.replace(
        event,
        process=section(proc, event.process),
        user=event.user or proc.user,
        container=event.container or named.container,
        orchestrator=event.orchestrator or named.orchestrator,
        replguard=about,
    )
