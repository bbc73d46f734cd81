"""Signals to serving instances: who told one to end or to stop."""

from datetime import datetime, timedelta
from typing import Any

import msgspec

from replguard.events.event import Event
from replguard.events.fact import Actor, Authorised
from replguard.provenance import entry
from replguard.provenance.authority import Authority
from replguard.provenance.facts import fact
from replguard.provenance.instances import Instances, Live
from replguard.provenance.processes import Proc, reaper

ENDING = frozenset({"TERM", "INT", "KILL", "STOP"})
"""Names of the signals that count (meanings: serving_signal)."""
AGAIN = timedelta(seconds=60)
"""A sender that repeats a signal, or sends it to each process of an instance, is told once in so long."""
MAX_RECENT = 4096


class Signals:
    """Turns signals to members of an instance into `serving_signal`, one for each sender, instance and signal."""

    def __init__(self, instances: Instances, authority: Authority) -> None:
        self._instances = instances
        self._authority = authority
        self._told: dict[tuple[str, str, str], datetime] = {}

    def sent(self, event: Event, proc: Proc | None, target: Proc | None) -> list[Event]:
        """Return the fact of a signal.

        None for what an instance sends itself, as a launcher does to end its workers; for what whoever started it
        sends, unless that is an agent; and for what no process sent: the OOM killer is nobody who acts, and neither is
        a terminal.
        """
        live = self._instances.of(target) if target is not None else None
        about = event.replguard
        if live is None or about is None or about.status is None or (proc is None and event.process is None):
            return []
        name = about.status
        if name not in ENDING:
            return []
        managing = manager(proc)
        if proc is not None and (proc.entity in live.members or (managing is None and _started(proc, live))):
            return []
        sender = proc.entity if proc is not None else (event.process.entity_id if event.process else None) or "?"
        if not self._first((sender, live.id, name), event.timestamp):
            return []
        given: dict[str, Any] = {
            "model": live.model,
            "signal": about.signal,
            "actor": managing,
            "instance": live.section(),
        }
        allowed = self._allowed(proc, live, event.timestamp)
        return [fact("serving_signal", event, proc, authorised=allowed, status=name, **given)]

    def scheduled(self, event: Event, proc: Proc | None) -> list[Event]:
        """A scheduled shutdown is a signal to every instance (meanings: serving_signal); a cancelled one is none."""
        if event.replguard is not None and event.replguard.status == "cancelled":
            return []
        return [
            fact("serving_signal", msgspec.structs.replace(event, target=live.root.process), proc, status="scheduled",
                 model=live.model, instance=live.section(), authorised=self._allowed(proc, live, event.timestamp))
            for live in self._instances.live.values()
        ]  # fmt: skip

    def _allowed(self, proc: Proc | None, live: Live, now: datetime) -> Authorised | None:
        """Return what lets a process signal an instance: an entry for all the weights that it holds."""
        if proc is None:
            return None
        who = entry.find(proc)
        found = [self._authority.act(proc, who, "signal", path, live.model, now) for path in live.paths]
        return found[0] if found and None not in found else None

    def _first(self, key: tuple[str, str, str], now: datetime) -> bool:
        last = self._told.pop(key, None)
        self._told[key] = now
        while len(self._told) > MAX_RECENT:
            del self._told[next(iter(self._told))]
        return last is None or now - last > AGAIN


def _started(proc: Proc, live: Live) -> bool:
    """Whether a process that belongs to no agent has started an instance: what it began it may end."""
    return entry.find(proc).kind != "agent" and any(above is proc for above in live.root.chain())


def manager(proc: Proc | None) -> Actor | None:
    """Return a service manager or a container's shim as the actor: it is never an entry point, and here it acts."""
    if proc is None or not (entry.never(proc) or reaper(proc)) or entry.find(proc).kind != "unknown":
        return None
    return Actor(
        kind="service", id=f"manager#{proc.entity}", principal="manager", name=proc.image, pid=proc.pid,
        standing="service",
    )  # fmt: skip
