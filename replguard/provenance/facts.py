"""Makes facts: one function, so that every fact has its actor, its join keys and its time in the same way."""

from typing import Any

import msgspec

from replguard.events.event import Event, Meta
from replguard.events.fact import Authorised, Context
from replguard.events.file import File
from replguard.provenance import actors
from replguard.provenance.processes import Proc


def fact(
    action: str,
    cause: Event,
    proc: Proc | None,
    *,
    authorised: Authorised | None = None,
    file: File | None = None,
    **given: Any,
) -> Event:
    """Return a fact that follows from ``cause``, acted by ``proc`` (None: nobody was seen).

    ``given`` are fields of the ``replguard`` object. Time, tier and sections that the cause bound are kept.
    """
    before = cause.replguard or Context()
    context = Context(
        tier=before.tier,
        attribution=given.pop("attribution", before.attribution),
        read_time=before.read_time,
        **given,
    )
    bare = Event(
        timestamp=cause.timestamp,
        event=Meta(action=action, kind="enrichment", provider="provenance"),
        process=cause.process if proc is None or _same(cause, proc) else None,
        target=cause.target,
        file=file if file is not None else cause.file,
        source=cause.source,
        destination=cause.destination,
        server=cause.server,
        network=cause.network,
        gpu=cause.gpu,
        replguard=context,
    )
    return actors.enrich(bare, proc, authorised)


def relabelled(known: Event, proc: Proc, authorised: Authorised | None = None, **given: Any) -> Event:
    """Return a fact again with the label that its lineage has earned since, and with what still allows it."""
    before = known.replguard or Context()
    context = msgspec.structs.replace(before, actor=None, lineage=(), authorised=None, relabelled=True, **given)
    return actors.enrich(msgspec.structs.replace(known, replguard=context), proc, authorised)


def _same(cause: Event, proc: Proc) -> bool:
    section = cause.process
    if section is None:
        return False
    return section.entity_id == proc.entity or (section.entity_id is None and section.pid == proc.pid)
