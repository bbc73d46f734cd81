"""The map: what a host did enters on the left, alerts leave on the right, and each arrow is one function here.

sensors ─► observe ─► provenance ─► judge ─┬─► log (raw)
examiner ───────────────┘                  └─► rules ─► alerts ─► issue ─┬─► log (evidence) ◄─┐
                                                                         ├─► sinks            │
                                                                         └─► witness ─────────┘
"""

import queue
import threading
from collections import Counter, deque
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import structlog

from replguard.alerts.memory import Memory
from replguard.crowd import Crowd
from replguard.detector import Detector
from replguard.events import clock
from replguard.events.alert import Alert
from replguard.events.event import Event, Meta
from replguard.events.evidence import Taken
from replguard.events.health import Health, State
from replguard.events.order import Order
from replguard.events.process import KEPT
from replguard.events.pulse import Effort, Pulse, Rhythm
from replguard.evidence import checkpoints
from replguard.evidence.dossier import Dossier
from replguard.evidence.room import Room
from replguard.kernel import procfs
from replguard.log.recent import Told, as_told
from replguard.log.segments import Writer
from replguard.log.sequence import Sequencer
from replguard.masking.mask import mask
from replguard.metrics.latency import Latency
from replguard.provenance.provenance import Provenance
from replguard.rules.model import RuleSet
from replguard.sinks import Sinks
from replguard.weights.examiner import Examination

QUEUE = 65_536
"""Events that may wait: half a minute at 2,000 a second, some 100 MiB at the very most."""
CROWDED = 8_192
"""Events that wait from which on each user has a share: what others do is not to wait behind a flood."""
HEAVIEST = 32 * 2**20
"""Characters of arguments that may wait besides: a program may be started with 2 MiB of them, many times a second."""
TICK = 1.0
PAUSE = 0.01
"""Seconds between looks whether events that wait for earlier ones may go on."""
CANARY_EVERY = 30.0
LATEST = 20
"""Alerts that `replguard top` may show."""
FIX = 2.0
"""Seconds that the end waits for the disk to keep each stream."""

Item = Event | Examination | RuleSet | Taken
"""What is carried through. What a witness took comes back the same way, for the evidence is written by one thread."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Flow:
    """What passed, for metrics and the watchdog: read by their threads, written by the consumer's alone."""

    fed: int = 0
    steps: int = 0
    latency: Latency = field(default_factory=Latency)
    canary: float = 0.0
    sealed: dict[str, float] = field(default_factory=dict)
    failed: Counter[str] = field(default_factory=Counter)
    alerts: deque[Alert] = field(default_factory=lambda: deque(maxlen=LATEST))


class Pipeline:
    """One thread takes what the sensors put and carries it through every stage in order."""

    def __init__(
        self,
        *,
        provenance: Provenance,
        detector: Detector,
        sequencer: Sequencer,
        raw: Writer,
        evidence: Writer,
        sinks: Sinks,
        told_until: Callable[[], datetime | None] = clock.now,
        witness: Callable[[Alert], None] = lambda _: None,
        memory: Path | None = None,
        behind: Callable[[], bool] = lambda: False,
        carried: Callable[[datetime], None] = lambda _: None,
        heard: Callable[[Alert], None] = lambda _: None,
    ) -> None:
        self.provenance = provenance
        self.detector = detector
        self.sequencer = sequencer
        self.raw = raw
        self.evidence = evidence
        self.sinks = sinks
        self.flow = Flow()
        self.dossier = Dossier(provenance.ancestors, detector.cited)
        detector.alerts.heard = self.dossier.heard
        self.room = Room()
        self.memory = Memory(memory, detector.alerts)
        self._last = ""
        self._schedule = checkpoints.Schedule()
        self._told_until, self._witness, self._heard = told_until, witness, heard
        self._behind, self._carried = behind, carried
        self._order = Order()
        self._pulse, self.rhythm = Pulse(), Rhythm(clock.monotonic())
        self._queue: queue.SimpleQueue[Item] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._weight = 0
        self._crowd = Crowd()

    def put(self, item: Item) -> bool:
        """Take something from any thread without waiting; False when there is no room."""
        waiting = self._queue.qsize()
        if waiting >= QUEUE:
            return False
        if isinstance(item, Event) and not self._crowd.takes(item, pressure=waiting / CROWDED):
            return False
        weight = _weight(item)
        if weight:
            with self._lock:
                if self._weight + weight > HEAVIEST:
                    return False
                self._weight += weight
        self._queue.put(item)
        return True

    @property
    def waiting(self) -> int:
        """How much waits to be carried through."""
        return self._queue.qsize()

    def run(self, stop: threading.Event) -> None:
        """Carry events through until told to stop, then what is still waiting."""
        tick, canary = clock.monotonic(), clock.monotonic()
        while not stop.is_set() or not self._queue.empty():
            self._take(tick)
            if clock.monotonic() >= tick:
                tick = clock.monotonic() + TICK
                self._guard("tick", self.tick)
            if clock.monotonic() >= canary:
                canary = clock.monotonic() + CANARY_EVERY
                self.put(health("canary", "canary"))
        for event in self._order.rest():
            self._guard(event.action, self.observe, event)
        self._guard("end", self._carried, clock.now())
        self._guard("end", lambda: self.judge(self.provenance.end()))
        self._guard("end", self._remember)
        self._guard("end", self._fix)

    def _take(self, until: float) -> None:
        """Take what has come in, and carry through what nothing earlier can come before any more.

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
                self._carry(item)
                item = self._queue.get_nowait()
        except queue.Empty:
            item = None
        self._carry(item)
        # What happened before the start comes from one sensor after another, and is put in order once it is all there.
        for event in self._order.ready(clock.now(), told_until) if not self._behind() else ():
            self._guard(event.event.action, self.observe, event)
        # One write for what came together: a reader of the log waits no longer than for the order of events.
        self._guard("log", self.raw.flush, clock.now())
        if self._order.until is not None:  # without end, where no sensor has anything earlier to tell
            self._guard("carried", self._carried, min(self._order.until, clock.now()))

    def _carry(self, item: Item | None) -> None:
        """Put an event in its place in time; carry anything else through."""
        if item is None:
            return
        weight = _weight(item)
        if weight:
            with self._lock:
                self._weight -= weight
        if isinstance(item, Event) and item.action != "sensor_health":
            self._order.put(item)
        else:
            self._guard(item.action if isinstance(item, Event) else type(item).__name__.lower(), self.observe, item)

    def _guard(self, kind: str, step: Callable[..., None], *given: Any) -> None:
        """Take a step; whatever it meets, the next one is taken too."""
        self.flow.steps += 1
        try:
            step(*given)
        except Exception as error:  # noqa: BLE001 - one hostile event must not end the watch
            if not self.flow.failed[kind]:
                _log.exception("an event could not be carried through", kind=kind)
                self.put(health("pipeline", "loss", f"{kind}: {type(error).__name__}: {error}", lost=1))
            self.flow.failed[kind] += 1

    def resume(self, events: Iterable[Event], told: Callable[[], Container[Told]] = tuple) -> None:
        """Let rules go on from what the log holds, before anything is carried through.

        What a kill left untold is issued now; ``told`` returns what the evidence holds of the last alerts.
        """

        def counted() -> Iterator[Event]:
            for event in events:
                self.flow.steps += 1
                yield event

        self.sinks.remind(self.detector.alerts.alerts())
        raised = self.detector.resume(counted(), self.memory.after)
        known = told() if raised else ()
        self.issue([alert for alert in raised if as_told(alert) not in known], clock.now())

    def observe(self, item: Item) -> None:
        """Sensors and examiner → provenance."""
        if isinstance(item, Taken):
            self.evidence.write(item, clock.now())
        elif isinstance(item, RuleSet):
            # Here, between two events: from the next one on the new rules hold, and the log says from which.
            self.detector.replace(item)
            self.dossier.reloaded()
            self.judge([health("rules", "reloaded", f"sha256 {item.sha256}")])
        elif isinstance(item, Examination):
            self.judge(self.provenance.examined(item))
        elif item.action == "sensor_health":
            self.judge([_spoken(item)])
        else:
            self.judge(self.provenance.feed(item))

    def judge(self, events: Iterable[Event]) -> None:
        """Provenance → log and rules, in the order and with the numbers that a replay will see again."""
        now = clock.now()
        for event in self.provenance.desk.marked(events):
            stamped = self.sequencer.stamp(event)
            self.raw.write(stamped, now)
            if _is_evidence(stamped):
                self._keep(stamped, now)
            self.flow.fed += 1
            self._last = stamped.event.id
            alerts = self.detector.feed(stamped)
            if alerts:
                self.issue(alerts, clock.now())
            if stamped.health is not None and stamped.health.state == "canary":
                self.flow.canary = now.timestamp()

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
            self._witness(timed)
            self._heard(timed)
            self._schedule.raised(timed)
            for beside in self.dossier.of(timed):
                self.evidence.write(beside, now)

    def tick(self) -> None:
        """Once a second: time passes for the rules, for provenance and for the log."""
        self.judge([health("clock", "tick")])
        beats = self._pulse.beat(*clock.together(), self._effort())
        self.judge(health(each.component, each.state, each.reason) for each in beats)
        self.judge(self.provenance.tick(clock.now()))
        self._remember()
        self.raw.tick(clock.now())
        self.evidence.tick(clock.now())
        self.checkpoints()
        if self._schedule.is_due(clock.monotonic()) and self.raw.checkpoint() | self.evidence.checkpoint():
            self._schedule.made(clock.monotonic())

    def _remember(self) -> None:
        """Keep what is open on disk: nothing of it that does not follow from what the log has."""
        self.memory.save(self._last, clock.now(), lambda: self.raw.flush(clock.now()))
        self.judge([health("memory", "degraded", news) for news in self.memory.news()])

    def _effort(self) -> Effort:
        now = clock.monotonic()
        return Effort(now, clock.ran(), procfs.waited(), self.rhythm.longest(now))

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


def _weight(item: Item) -> int:
    """Return the characters of a giant argv, 0 for anything else."""
    process = item.process if isinstance(item, Event) else None
    length = 0 if process is None else len(process.command_line or "")
    return 2 * length if length > KEPT else 0


def _spoken(event: Event) -> Event:
    """Return an event about ourselves with no credential in its reason, which quotes errors of others."""
    told = event.health
    reason = mask(told.reason) if told is not None and told.reason is not None else None
    if told is None or reason is told.reason:
        return event
    return msgspec.structs.replace(event, health=msgspec.structs.replace(told, reason=reason))


def health(component: str, state: State, reason: str | None = None, *, lost: int | None = None) -> Event:
    """Return an event about ourselves."""
    return Event(
        timestamp=clock.now(),
        event=Meta(action="sensor_health", provider="replguard"),
        health=Health(component=component, state=state, reason=reason, lost=lost),
    )
