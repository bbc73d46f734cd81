"""What the daemon is asked to do: who asks is looked up among the processes, and lowering is refused to agents.

The question comes as an event, in its place in time: what led to it is known by then. The thread that asks waits.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from replguard.events import clock
from replguard.events.event import Event, Meta
from replguard.events.health import Health, State
from replguard.events.process import Process
from replguard.provenance import actors
from replguard.provenance.agents import Agents
from replguard.provenance.facts import fact
from replguard.provenance.processes import Proc, ProcessTable
from replguard.provenance.window import Windows

PATIENCE = 8.0
"""Seconds that who asks waits; what is not answered by then is refused."""
MAX_DRILLS = 8


@dataclass(slots=True, eq=False)
class Ask:
    """One question. ``what`` is "maintenance" (for ``seconds``, 0 ends it) or "drill" of a name.

    ``ok`` and ``text`` are the answer, there once ``done`` is set.
    """

    what: str
    text: str
    seconds: float = 0.0
    ok: bool = False
    entity: str = ""
    done: threading.Event = field(default_factory=threading.Event)
    late: bool = False


class Desk:
    """Belongs to the pipeline's thread, but for `ask` and `dismiss`."""

    def __init__(self, table: ProcessTable, agents: Agents, folder: Path | None) -> None:
        self._table, self._agents = table, agents
        self.windows = Windows(folder)
        self.drills: dict[str, str] = {}
        """Names of the drills that were announced, by the entity ids of the processes that play them."""
        self._asked: dict[int, tuple[Event, Ask]] = {}
        self._lock = threading.Lock()

    # -- from other threads ----------------------------------------------------------------------------------------

    def ask(self, ask: Ask, process: Process, put: Callable[[Event], bool]) -> Ask:
        """Have a question of a process decided, and wait for the answer."""
        about = Event(timestamp=clock.now(), event=Meta(action="control_request", provider="control"),
                      message=f"asks for {ask.what}", process=process)  # fmt: skip
        with self._lock:
            self._asked[id(about)] = (about, ask)
        if not put(about) or not ask.done.wait(PATIENCE):
            with self._lock:
                self._asked.pop(id(about), None)
                ask.late = not ask.done.is_set()
            if ask.late:
                ask.ok, ask.text = False, "refused: the daemon is too busy to look up who asks; try again"
        return ask

    def dismiss(self, entity: str) -> None:
        """Mark no more what a process and its descendants do: its drill is over."""
        self.drills.pop(entity, None)

    # -- the pipeline's --------------------------------------------------------------------------------------------

    def asked(self, event: Event, proc: Proc | None) -> list[Event]:
        """Decide on a question, and return what follows from it."""
        with self._lock:
            _, ask = self._asked.pop(id(event), (None, None))
            if ask is None or ask.late:
                return []
            refusal = self._refusal(proc)
            made: list[Event] = []
            if refusal is None and proc is not None:
                made = self._granted(ask, event, proc)
            elif refusal is not None:
                ask.ok, difference = False, f"{ask.what} ({ask.text})"
                ask.text = f"refused: {refusal}"
                made = [_change(ask, event, proc, difference, "refused")]
            ask.done.set()
        return made

    def tick(self, now: datetime) -> list[Event]:
        """Return that a window has ended by itself."""
        window = self.windows.over(now)
        return [] if window is None else [_health(now, "stopped", f"its time is over; it was {window.told()}")]

    def marked(self, events: Iterable[Event]) -> Iterable[Event]:
        """Return events with marks of the window that covers who acts, and of the drill that does."""
        if self.windows.window is None and not self.drills:
            return events
        return self._marks(events)

    def _marks(self, events: Iterable[Event]) -> Iterator[Event]:
        for event in events:
            marks: dict[str, Any] = {}
            window = self.windows.window
            if window is not None and (event.health is not None or window.covers(event.replguard)):
                marks["maintenance"] = True
            if (drill := self._drill(event)) is not None:
                marks["drill"] = drill
            if not marks or (event.health is not None and event.health.state in ("tick", "canary")):
                yield event
                continue
            about = msgspec.structs.replace(event.replguard or actors.context(None, None), **marks)
            yield msgspec.structs.replace(event, replguard=about)

    def _drill(self, event: Event) -> str | None:
        proc = self._table.of(event.process) if self.drills and event.process is not None else None
        known = (self.drills.get(here.entity) for here in proc.chain()) if proc is not None else ()
        return next((name for name in known if name is not None), None)

    def _refusal(self, proc: Proc | None) -> str | None:
        """Return why a process may lower nothing, None if it may."""
        if proc is None:
            return "it is not known who asks; try again in a moment"
        actor = actors.actor(proc)
        if actor.standing == "agent" or actor.agent or self._agents.drives(proc) is not None:
            return "a language model drives who asks, or may; ask from a login of your own"
        if actor.kind == "container":
            return "it was asked from a container; ask from the host"
        return None

    def _granted(self, ask: Ask, event: Event, proc: Proc) -> list[Event]:
        ask.ok, ask.entity = True, proc.entity
        if ask.what == "drill":
            return self._announced(ask, event, proc)
        if not ask.seconds:
            window = self.windows.end()
            ask.text = "the maintenance window is over" if window is not None else "there was no maintenance window"
            return self._lowered(ask, event, proc, "stopped") if window is not None else []
        window = self.windows.begin(event.timestamp, timedelta(seconds=ask.seconds), ask.text, actors.actor(proc))
        ask.text = f"maintenance {window.told()}"
        return self._lowered(ask, event, proc, "started")

    def _lowered(self, ask: Ask, event: Event, proc: Proc, state: State) -> list[Event]:
        health = _health(event.timestamp, state, f"by {proc.image or '?'} (pid {proc.pid}): {ask.text}")
        return [health, _change(ask, event, proc, ask.text, "accepted")]

    def _announced(self, ask: Ask, event: Event, proc: Proc) -> list[Event]:
        if len(self.drills) >= MAX_DRILLS:
            ask.ok, ask.text = False, f"there are {MAX_DRILLS} drills already; wait until one has ended"
            return []
        self.drills[proc.entity] = ask.text
        return [_change(ask, event, proc, f"the drill {ask.text} is announced", "accepted")]


def _change(ask: Ask, event: Event, proc: Proc | None, difference: str, status: str) -> Event:
    cause = msgspec.structs.replace(event, message=None)
    return fact("authority_change", cause, proc, source=ask.what, difference=difference, status=status,
                attribution="kernel" if proc is not None else None)  # fmt: skip


def _health(now: datetime, state: State, reason: str) -> Event:
    return Event(
        timestamp=now,
        event=Meta(action="sensor_health", provider="control"),
        health=Health(component="maintenance", state=state, reason=reason),
    )
