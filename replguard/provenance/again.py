"""What another manifest says of recorded facts. Who acted and what happened stay as they were told.

A replay asks it, where provenance never runs: who the keys of an entry mean is read from the event itself.
"""

import msgspec

from replguard.events.event import Event
from replguard.events.fact import Authorised, Context, Instance
from replguard.kernel.containers import parse
from replguard.provenance.actors import STANDING
from replguard.provenance.authority import allowed, limit, listens, scheduled, serves
from replguard.provenance.manifest import Deployment, Job, Manifest, May, Subject

MAY: dict[str, May] = {
    "weights_access": "access",
    "weights_copy": "copy",
    "weights_arrival": "copy",
    "weights_egress": "egress",
    "serving_signal": "signal",
}


def judged(event: Event, manifest: Manifest) -> Event:
    """Return a fact with what this manifest makes of it; any other event as it is. The baseline's word stays."""
    about = event.replguard
    if event.event.kind != "enrichment" or about is None or about.actor is None:
        return event
    who, now = subject(event, about), event.timestamp
    if event.action == "server_live":
        return _server(event, about, serves(manifest, who, _paths(event, about), _listen(about.instance), now))
    if event.action in MAY:
        found = [allowed(manifest, who, MAY[event.action], path, now) for path in _paths(event, about) or {""}]
        return _labelled(event, about, found[0] if None not in found else None)
    if event.action in ("network_listen", "gpu_memory"):
        port = event.server.port if event.server is not None else None
        return _labelled(event, about, listens(manifest, (who,), now, port))
    return event


def subject(event: Event, about: Context) -> Subject:
    """Return who acted as the manifest's keys see it, as far as the event tells."""
    actor, process, pods = about.actor, event.process, event.orchestrator
    unit = (about.unit or "").partition("/")[0]
    if not unit.endswith(".service"):
        unit = actor.principal.partition(":")[2] if actor is not None and actor.kind in ("service", "timer") else ""
    replica = event.action == "server_live" and (about.generation or 1) > 1
    theirs = parse((process.cgroup if process else None) or "").users
    inside = event.container if not theirs else None
    return Subject(
        unit=unit or None,
        container=inside.id if inside else None,
        called=inside.name if inside else None,
        image=inside.image.name if inside and inside.image else None,
        namespace=pods.namespace if pods else None,
        workload=pods.workload if pods else None,
        scheduler=scheduled(pods) if pods else None,
        uid=event.user.id if event.user else None,
        user=event.user.name if event.user else None,
        executable=process.executable if process else None,
        command=process.command_line if process else None,
        agent=replica or (actor is not None and (actor.agent or actor.standing == "agent")),
    )


def _server(event: Event, about: Context, item: Deployment | Job | None) -> Event:
    """Return `server_live` anew: allowed, too many of them, or as if nothing had been allowed but by the baseline."""
    if item is None and about.authorised is not None and about.authorised.by == "baseline":
        return event
    instance, most = about.instance or Instance(id=""), limit(item) if item is not None else None
    name = item.name if item is not None else None
    over = most is not None and (instance.count or 1) > most and about.status != "ended"
    status = "over_limit" if over else "live" if about.status == "over_limit" else about.status
    section = msgspec.structs.replace(instance, max_instances=most, deployment=name)
    about = msgspec.structs.replace(about, status=status, instance=section if about.instance is not None else None)
    leave = Authorised(by="manifest", entry=name) if name is not None and not over else None
    return _labelled(event, about, leave)


def _labelled(event: Event, about: Context, leave: Authorised | None) -> Event:
    known = about.authorised if about.authorised is not None and about.authorised.by == "baseline" else None
    leave, actor = leave or known, about.actor
    if actor is not None:
        replica = actor.standing == "agent" or (about.generation or 1) > 1
        bare = "agent" if replica else STANDING.get(actor.kind, "service") if actor.standing == "allowed" else None
        standing = "allowed" if leave is not None else bare or actor.standing
        actor = msgspec.structs.replace(actor, standing=standing)
    about = msgspec.structs.replace(about, actor=actor, authorised=leave)
    return msgspec.structs.replace(event, replguard=about)


def _paths(event: Event, about: Context) -> frozenset[str]:
    if about.origin is not None:
        return frozenset({about.origin.path})
    if about.instance is not None and about.instance.weights:
        return frozenset(about.instance.weights)
    return frozenset({event.file.path}) if event.file is not None else frozenset()


def _listen(instance: Instance | None) -> frozenset[str]:
    return frozenset(instance.listen) if instance is not None else frozenset()
