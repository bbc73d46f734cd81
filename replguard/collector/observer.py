"""The first half of the way of an event: what sensors and examiner saw is put in order and bound to who did it.

sensors ─► crowd ─► order ─► provenance ─► send ─► (the analyser)
examiner ───────────────────────┘
"""

import queue
import threading
from collections.abc import Callable, Iterable
from datetime import datetime

from replguard.collector.marks import Marks
from replguard.crowd import Crowd
from replguard.events import clock
from replguard.events.event import Event
from replguard.events.order import Order
from replguard.events.pulse import Effort, Pulse, Rhythm
from replguard.frames import Events, Evidence, Lineage, Told
from replguard.kernel import procfs
from replguard.provenance.provenance import Provenance
from replguard.stage import CANARY_EVERY, TICK, Stage, health, kind_of, spoken
from replguard.weights.examiner import Examination

PAUSE = 0.01
"""Seconds between looks whether events that wait for earlier ones may go on."""
BATCH = 256
"""Events of one frame at most."""
CROWDED = 8_192
"""Events that wait from which on each user has a share: what others do is not to wait behind a flood."""

Item = Event | Examination | Evidence
"""What is carried on. What the analyser asks for comes the same way: provenance belongs to one thread."""


class Observer(Stage[Item]):
    """``send`` takes frames for the analyser and waits for nobody; ``unsent`` counts events that wait there.

    ``carried`` is told up to when all that happened is in the log. While ``behind`` what happened before the start
    still comes in, and is put in order once it is all there.
    """

    def __init__(
        self,
        provenance: Provenance,
        send: Callable[[Told], None],
        *,
        told_until: Callable[[], datetime | None] = clock.now,
        run: str = "",
        unsent: Callable[[], int] = lambda: 0,
        behind: Callable[[], bool] = lambda: False,
        carried: Callable[[datetime], None] = lambda _: None,
    ) -> None:
        super().__init__()
        self.provenance, self.ran = provenance, run
        self.marks = Marks(carried)
        self._send, self._told_until, self._unsent, self._behind = send, told_until, unsent, behind
        self._order = Order()
        self._pulse, self.rhythm = Pulse(), Rhythm(clock.monotonic())
        self._crowd = Crowd()
        self._number = 0

    def put(self, item: Item) -> bool:
        """Take something from any thread without waiting; False when there is no room."""
        if isinstance(item, Event) and not self._crowd.takes(item, pressure=(self.waiting + self._unsent()) / CROWDED):
            return False
        return super().put(item)

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
        self.guard("end", self.marks.sent, self._number, clock.now())
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
        # What happened before the start comes from one sensor after another, and is put in order once it is all there.
        for event in self._order.ready(clock.now(), told_until) if not self._behind() else ():
            self.guard(event.event.action, self.observe, event)
        if self._order.until is not None:  # without end, where no sensor has anything earlier to tell
            self.guard("carried", self.marks.sent, self._number, min(self._order.until, clock.now()))

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
        found = tuple(self.provenance.desk.marked(events))
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
        beats = self._pulse.beat(*clock.together(), self._effort())
        self.send(health(each.component, each.state, each.reason) for each in beats)
        self.send(self.provenance.tick(clock.now()))

    def _effort(self) -> Effort:
        now = clock.monotonic()
        return Effort(now, clock.ran(), procfs.waited(), self.rhythm.longest(now))
