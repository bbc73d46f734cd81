"""The second half of the way of an event: it is written down, held against the rules, and alerts go out.

(the collector) ─► judge ─┬─► log (raw)
                          └─► rules ─► alerts ─► issue ─┬─► log (evidence) ◄─ lineage, looks
                                                        ├─► sinks
                                                        └─► ask (the collector)
"""

import queue
import threading
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import msgspec

from replguard.alerts.memory import Memory
from replguard.analyser.alike import Alike
from replguard.detector import Detector
from replguard.events import clock
from replguard.events.alert import Alert
from replguard.events.event import Event
from replguard.events.fact import Context
from replguard.events.health import Health
from replguard.evidence import checkpoints
from replguard.evidence.dossier import Dossier
from replguard.evidence.room import Room
from replguard.frames import Events, Evidence, Lineage, Looked
from replguard.log.recent import Told, as_told
from replguard.log.segments import Writer
from replguard.log.sequence import Sequencer
from replguard.metrics.latency import Latency
from replguard.rules.model import RuleSet
from replguard.sinks import Sinks
from replguard.stage import TICK, Flow, Stage, health, heavy, kind_of, spoken

FIX = 2.0
"""Seconds that the end waits for the disk to keep each stream."""
LATEST = 20
"""Alerts that `replguard top` may show."""
SILENT = 3.0
"""Seconds without a tick from the collector after which time passes all the same."""

Item = Event | Events | Lineage | Looked | RuleSet
"""What is carried on: frames of the collector, events about ourselves, and rules that are to hold from here on."""


@dataclass(slots=True)
class Judged(Flow):
    """What passed, and when: Unix times of the last canary, and of the last checkpoint of each stream.

    ``last`` is the run and the number of the last frame of events, ``ready`` whether the collector has said that it is.
    ``ticked`` is when it last said that time passes, ``stopped`` whether it has said since that it ends.
    """

    fed: int = 0
    last: tuple[str, int] = ("", 0)
    latency: Latency = field(default_factory=Latency)
    ready: bool = False
    ticked: datetime | None = None
    stopped: bool = False
    canary: float = 0.0
    sealed: dict[str, float] = field(default_factory=dict)
    alerts: deque[Alert] = field(default_factory=lambda: deque(maxlen=LATEST))


class Judge(Stage[Item]):
    """``ask`` takes the wish for evidence of an alert; ``written`` run and number of the last frame that is in the log.

    In ``memory`` open alerts outlive the process. ``mending`` tells whether a maintenance window is open.
    """

    def __init__(
        self,
        *,
        detector: Detector,
        sequencer: Sequencer,
        raw: Writer,
        evidence: Writer,
        sinks: Sinks,
        ask: Callable[[Evidence], None] = lambda _: None,
        written: Callable[[str, int], None] = lambda _, __: None,
        memory: Path | None = None,
        mending: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__()
        self.flow: Judged = Judged()
        self.detector = detector
        self.sequencer = sequencer
        self.raw, self.evidence = raw, evidence
        self.sinks = sinks
        self.dossier = Dossier(detector.cited)
        detector.alerts.heard = self.dossier.heard
        self.room = Room()
        self._schedule = checkpoints.Schedule()
        self.memory = Memory(memory, detector.alerts)
        self._last = ""
        self._ask, self._written, self._mending = ask, written, mending
        self._ticked = clock.monotonic()

    def size(self, item: Item) -> int:
        """Return how many events an item is."""
        return len(item.events) if isinstance(item, Events) else 1

    def weight(self, item: Item) -> int:
        """Return the characters of giant arguments in an item, 0 for anything else."""
        if isinstance(item, Events):
            return sum(map(heavy, item.events))
        return super().weight(item)

    def run(self, stop: threading.Event) -> None:
        """Carry on until told to stop, then what is still waiting."""
        tick = clock.monotonic() + TICK
        while not stop.is_set() or not self._queue.empty():
            self._take(max(0.0, tick - clock.monotonic()))
            if clock.monotonic() >= tick:
                tick = clock.monotonic() + TICK
                self.guard("tick", self.tick)
        self.guard("end", self._remember)
        self.guard("end", self._fix)

    def _take(self, patience: float) -> None:
        """Carry on what has come in, and write it down at once: a reader of the log waits for nothing else."""
        before = self.flow.last
        try:
            item = self._queue.get(timeout=patience)
            while True:
                self.guard(kind_of(item), self.observe, self.taken(item))
                item = self._queue.get_nowait()
        except queue.Empty:
            pass
        self.guard("log", self.raw.flush, clock.now())
        if self.flow.last != before:
            self._written(*self.flow.last)

    def resume(self, events: Iterable[Event], told: Callable[[], Container[Told]] = tuple) -> None:
        """Let rules go on from what the log holds, before anything is carried on.

        What a kill left untold is issued now; ``told`` returns what the evidence holds of the last alerts.
        """

        def counted() -> Iterator[Event]:
            for event in map(Alike().event, events):
                self.flow.steps += 1
                yield event

        self.sinks.remind(self.detector.alerts.alerts())
        raised = self.detector.resume(counted(), self.memory.after)
        known = told() if raised else ()
        self.issue([alert for alert in raised if as_told(alert) not in known], clock.now())

    def observe(self, item: Item) -> None:
        """Collector → log and rules."""
        if isinstance(item, Events):
            self.judge(item.events)
            self.flow.last = item.run, item.number
        elif isinstance(item, Event):
            self.judge([self._marked(spoken(item))])
        elif isinstance(item, Looked):
            self.evidence.write(item.taken, clock.now())
        elif isinstance(item, Lineage):
            for above in self.dossier.lineage(item.incident, item.timestamp, item.events):
                self.evidence.write(above, clock.now())
        else:
            # Here, between two events: from the next one on the new rules hold, and the log says from which.
            self.detector.replace(item)
            self.dossier.reloaded()
            self.judge([self._marked(health("rules", "reloaded", f"sha256 {item.sha256}"))])

    def judge(self, events: Iterable[Event]) -> None:
        """Log and rules, in the order and with the numbers that a replay will see again."""
        for event in events:
            now = clock.now()
            stamped = self.sequencer.stamp(event)
            self.raw.write(stamped, now)
            if _is_evidence(stamped):
                self._keep(stamped, now)
            self.flow.fed += 1
            self._last = stamped.event.id
            alerts = self.detector.feed(stamped)
            if alerts:
                self.issue(alerts, clock.now())
            if stamped.health is not None:
                self._heard(stamped.health, now)

    def _marked(self, event: Event) -> Event:
        """Return what we say of ourselves with the mark of a maintenance window, as the collector marks its own."""
        return msgspec.structs.replace(event, replguard=Context(maintenance=True)) if self._mending() else event

    def _heard(self, health: Health, now: datetime) -> None:
        if health.state == "canary":
            self.flow.canary = now.timestamp()
        elif health.state == "tick":
            self._ticked, self.flow.ticked, self.flow.stopped = clock.monotonic(), now, False
        elif health.state == "ready":
            self.flow.ready = True
        elif (health.component, health.state) == ("collector", "stopped"):
            self.flow.stopped = True

    def _keep(self, event: Event, now: datetime) -> None:
        """What matters by itself → evidence, as long as facts leave room for all that comes in a year."""
        if event.event.kind != "enrichment" or self.room.takes(event):
            self.evidence.write(event, now)
            return
        self.dossier.withheld(event)
        if (news := self.room.news(event)) is not None:
            self.put(health("log.evidence", "degraded", news))

    def issue(self, alerts: Iterable[Alert], now: datetime) -> None:
        """Alerts → evidence and sinks. What they follow from is in the log by then, whatever becomes of us."""
        self.raw.flush(now)
        for alert in alerts:
            timed = self.detector.with_latency(alert, now)
            if timed.replguard.latency_ms is not None:
                self.flow.latency.observe(timed.replguard.latency_ms / 1000)
            self.evidence.write(timed, now)
            self.sinks.deliver(timed)
            self.flow.alerts.append(timed)
            self._ask(Evidence(timed, self.dossier.acting(timed)))
            self._schedule.raised(timed)
            for beside in self.dossier.of(timed):
                self.evidence.write(beside, now)

    def tick(self) -> None:
        """Once a second: time passes for the log, and for the rules if the collector does not say so."""
        if clock.monotonic() - self._ticked > SILENT:
            since = self.flow.ticked, self.flow.stopped
            self.judge([health("clock", "tick")])
            self.flow.ticked, self.flow.stopped = since  # that was we
        self._remember()
        self.raw.tick(clock.now())
        self.evidence.tick(clock.now())
        self.checkpoints()
        if self._schedule.is_due(clock.monotonic()) and self.raw.checkpoint() | self.evidence.checkpoint():
            self._schedule.made(clock.monotonic())

    def _remember(self) -> None:
        """Keep what is open on disk: nothing of it that does not follow from what the log has."""
        self.memory.save(self._last, clock.now(), lambda: self.raw.flush(clock.now()))
        self.judge([self._marked(health("memory", "degraded", news)) for news in self.memory.news()])

    def checkpoints(self, timeout: float = 0.0) -> None:
        """Tell of what is fixed by now: in the evidence, and to whoever keeps it on another machine."""
        now = clock.now()
        for made in (*self.raw.checkpoints(timeout), *self.evidence.checkpoints(timeout)):
            self.flow.sealed[made.stream] = now.timestamp()
            kept = checkpoints.record(made, now)
            self.evidence.write(kept, now)
            self.sinks.keep(kept)

    def _fix(self) -> None:
        """Fix all that is written, at the end."""
        self.raw.checkpoint()
        self.evidence.checkpoint()
        self.checkpoints(FIX)


def _is_evidence(event: Event) -> bool:
    """Whether an event matters by itself: a fact, or how we are, but that we are."""
    return event.event.kind == "enrichment" or (
        event.health is not None and event.health.state not in ("tick", "canary")
    )
