"""Signals to serving instances: who told one to end or to stop."""

from datetime import datetime, timedelta
from typing import Any

from replguard.events.event import Event
from replguard.events.fact import Actor
from replguard.provenance import entry
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

    def __init__(self, instances: Instances) -> None:
        self._instances = instances
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
        manager = _manager(proc)
        if proc is not None and (proc.entity in live.members or (manager is None and _started(proc, live))):
            return []
        sender = proc.entity if proc is not None else (event.process.entity_id if event.process else None) or "?"
        if not self._first((sender, live.id, name), event.timestamp):
            return []
        given: dict[str, Any] = {"model": live.model, "signal": about.signal, "actor": manager}
        return [fact("serving_signal", event, proc, status=name, **given)]

    def _first(self, key: tuple[str, str, str], now: datetime) -> bool:
        last = self._told.pop(key, None)
        self._told[key] = now
        while len(self._told) > MAX_RECENT:
            del self._told[next(iter(self._told))]
        return last is None or now - last > AGAIN


def _started(proc: Proc, live: Live) -> bool:
    """Whether a process that belongs to no agent has started an instance: what it began it may end."""
    return entry.find(proc).kind != "agent" and any(above is proc for above in live.root.chain())


def _manager(proc: Proc | None) -> Actor | None:
    """Return a service manager or a container's shim as the actor: it is never an entry point, and here it acts."""
    if proc is None or not (entry.never(proc) or reaper(proc)) or entry.find(proc).kind != "unknown":
        return None
    return Actor(
        kind="service", id=f"manager#{proc.entity}", principal="manager", name=proc.image, pid=proc.pid,
        standing="service",
    )  # fmt: skip
