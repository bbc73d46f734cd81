"""The first half of the way of an event: what sensors and examiner saw is put in order and bound to who did it.

sensors ─► order ─► provenance ─► send ─► (the analyser)
examiner ──────────────┘
"""

import queue
import threading
from collections.abc import Callable, Iterable
from datetime import datetime

from replguard.events import clock
from replguard.events.event import Event
from replguard.events.order import Order
from replguard.events.pulse import Pulse
from replguard.frames import Events, Evidence, Lineage, Told
from replguard.provenance.provenance import Provenance
from replguard.stage import CANARY_EVERY, TICK, Stage, health, kind_of, spoken
from replguard.weights.examiner import Examination

PAUSE = 0.01
"""Seconds between looks whether events that wait for earlier ones may go on."""
BATCH = 256
"""Events of one frame at most."""

Item = Event | Examination | Evidence
"""What is carried on. What the analyser asks for comes the same way: provenance belongs to one thread."""


class Observer(Stage[Item]):
    """``send`` takes frames for the analyser and waits for nobody."""

    def __init__(
        self,
        provenance: Provenance,
        send: Callable[[Told], None],
        told_until: Callable[[], datetime | None] = clock.now,
        run: str = "",
    ) -> None:
        super().__init__()
        self.provenance, self.ran = provenance, run
        self._send, self._told_until = send, told_until
        self._order = Order()
        self._pulse = Pulse()
        self._number = 0

    def run(self, stop: threading.Event) -> None:
        """Carry on until told to stop, then what is still waiting."""
        tick, canary = clock.monotonic(), clock.monotonic()
        while not stop.is_set() or not self._queue.empty():
            self._take(tick)
            if clock.monotonic() >= tick:
                tick = clock.monotonic() + TICK
                self.guard("tick", self.tick)
            if clock.monotonic() >= canary:
                canary = clock.monotonic() + CANARY_EVERY
                self.put(health("canary", "canary"))
        for event in self._order.rest():
            self.guard(event.action, self.observe, event)
        self.guard("end", lambda: self.send(self.provenance.end()))

    def _take(self, until: float) -> None:
        """Take what has come in, and carry on what nothing earlier can come before any more.

        What was promised is asked before the queue is emptied: what was told by then is in it.
        """
        pause = PAUSE if len(self._order) else max(0.0, until - clock.monotonic())
        try:
            item = self._queue.get(timeout=pause)
        except queue.Empty:
            item = None
        told_until = self._told_until()
        try:
            for _ in range(self._queue.qsize()):
                self._sort(item)
                item = self._queue.get_nowait()
        except queue.Empty:
            item = None
        self._sort(item)
        for event in self._order.ready(clock.now(), told_until):
            self.guard(event.event.action, self.observe, event)

    def _sort(self, item: Item | None) -> None:
        """Put an event in its place in time; carry anything else on."""
        if item is None:
            return
        self.taken(item)
        if isinstance(item, Event) and item.action != "sensor_health":
            self._order.put(item)
        else:
            self.guard(kind_of(item), self.observe, item)

    def observe(self, item: Item) -> None:
        """Sensors and examiner → provenance."""
        if isinstance(item, Examination):
            self.send(self.provenance.examined(item))
        elif isinstance(item, Evidence):
            self._tell(item)
        elif item.action == "sensor_health":
            self.send([spoken(item)])
        else:
            self.send(self.provenance.feed(item))

    def send(self, events: Iterable[Event]) -> None:
        """Provenance → analyser."""
        found = tuple(events)
        for at in range(0, len(found), BATCH):
            self._number += 1
            self._send(Events(self.ran, self._number, found[at : at + BATCH]))

    def _tell(self, asked: Evidence) -> None:
        """Answer which processes acted in an alert, and who started them."""
        above = [self.provenance.ancestors(entity) for entity in asked.entities]
        known = {each.process.entity_id: each for way in above for each in way if each.process is not None}
        self._send(Lineage(asked.alert.replguard.incident, asked.alert.timestamp, tuple(known.values())))

    def tick(self) -> None:
        """Once a second: time passes for provenance, and for all that comes behind it."""
        self.send([health("clock", "tick")])
        self.send(health(each.component, each.state, each.reason) for each in self._pulse.beat(*clock.together()))
        self.send(self.provenance.tick(clock.now()))
