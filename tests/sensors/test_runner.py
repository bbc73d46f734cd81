"""Each sensor has its thread, its trouble stays its own, and what the queue refuses is counted and told."""

import errno
import os
import threading
from collections.abc import Iterable, Iterator

import pytest
from support.host import until

from replguard.errors import Unavailable
from replguard.events import clock
from replguard.events.event import Event
from replguard.events.hint import Hint
from replguard.sensors import runner as module
from replguard.sensors.base import Readable, Sensor, Timed
from replguard.sensors.files.verdicts import Verdict, Verdicts
from replguard.sensors.runner import Runner


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_BACKOFF", 0.01)


class Ticker(Timed):
    name = "ticker"
    area = "host"
    period = 0.01

    def __init__(self) -> None:
        super().__init__()
        self.fail: Exception | None = None
        self.hang = threading.Event()
        self.hang.set()
        self.hints: list[Hint] = []
        self.starts = self.stops = 0

    def start(self) -> None:
        self.starts += 1

    def stop(self) -> None:
        self.stops += 1

    def watch(self, hint: Hint) -> None:
        self.hints.append(hint)

    def poll(self) -> Iterable[Event]:
        self.hang.wait(5)
        if self.fail is not None:
            error, self.fail = self.fail, None
            raise error
        yield self.event("host_shutdown", clock.now())


class Fatal(BaseException):
    """What no sensor is tried again after."""


class Early(Ticker):
    name = "early"
    early = True


class Pipe(Readable):
    name = "pipe"
    area = "host"
    period = 0.02

    def start(self) -> None:
        self.ends = os.pipe()
        os.set_blocking(self.ends[0], False)

    def stop(self) -> None:
        for end in self.ends:
            os.close(end)

    def fileno(self) -> int:
        return self.ends[0]

    def read(self) -> Iterator[Event]:
        for _ in os.read(self.ends[0], 100):
            yield self.event("file_create", clock.now())

    def tick(self) -> Iterator[Event]:
        yield self.event("file_delete", clock.now())


def states(events: list[Event], name: str) -> list[str]:
    return [e.health.state for e in list(events) if e.health is not None and e.health.component == name]


def test_a_slow_sensor_delays_no_other() -> None:
    """While one hangs, the other goes on; readiness waits for the slow one."""
    slow, quick_one = Ticker(), Pipe()
    slow.hang.clear()
    events: list[Event] = []
    runner = Runner([slow, quick_one], events.append)
    runner.start()
    try:
        assert until(lambda: quick_one.counters.evaluated > 2)
        assert slow.counters.evaluated == 0
        assert not runner.ready(0.01)
        os.write(quick_one.ends[1], b"abc")
        assert until(lambda: [e.action for e in list(events)].count("file_create") == 3)
        slow.hang.set()
        assert runner.ready(5)
        assert runner.up("ticker")
    finally:
        slow.hang.set()
        runner.stop()
    assert states(events, "pipe") == ["started"]
    assert slow.stops == 1


def test_what_the_kernel_kept_is_told_with_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """And given up with a failure: what it failed at may lie in what was kept."""
    dropped: list[str] = []
    monkeypatch.setattr(module.KEPT, "drop", dropped.append)
    sensor = Ticker()
    sensor.went_on, sensor.why = "it went on.", "no better."
    events: list[Event] = []
    runner = Runner([sensor], events.append)
    runner.start()
    try:
        assert until(lambda: sensor.counters.evaluated > 1)
        assert dropped == []
        sensor.fail = ValueError("odd")
        assert until(lambda: states(events, "ticker")[-1] == "recovered")
    finally:
        runner.stop()
    assert dropped == ["ticker"]
    told = [event.health for event in events if event.health is not None]
    assert told[0].reason == "it went on. no better."


@pytest.mark.parametrize(("error", "reason"), [(ValueError("odd"), "ValueError: odd"), (Unavailable("gone."), "gone.")])
def test_a_failing_sensor_is_reported_and_started_again(error: Exception, reason: str) -> None:
    """Failed with the reason, then recovered; the others never notice."""
    sensor, other = Ticker(), Pipe()
    sensor.fail = error
    events: list[Event] = []
    runner = Runner([sensor, other], events.append)
    runner.start()
    try:
        assert until(lambda: sensor.counters.evaluated > 1)
    finally:
        runner.stop()
    assert states(events, "ticker")[:3] == ["started", "failed", "recovered"]
    assert states(events, "pipe") == ["started"]
    failed = next(e.health for e in events if e.health is not None and e.health.state == "failed")
    assert failed.reason == reason
    assert sensor.starts == sensor.stops == 2


def test_what_the_queue_refuses_is_counted_and_told_once() -> None:
    """Each refused event is dropped{queue, full}; one loss event says how many when there is room again."""
    sensor = Ticker()
    events: list[Event] = []
    room = threading.Event()

    def put(event: Event) -> bool:
        if room.is_set():
            events.append(event)
        return room.is_set()

    runner = Runner([sensor], put)
    runner.start()
    try:
        assert until(lambda: sensor.counters.dropped["queue", "full"] >= 3)
        room.set()
        assert until(lambda: "loss" in states(events, "ticker"))
    finally:
        runner.stop()
    counters = sensor.counters
    loss = next(e.health for e in events if e.health is not None and e.health.state == "loss")
    assert loss.stage == "queue"
    assert loss.lost is not None
    assert loss.lost >= counters.dropped["queue", "full"] >= 3
    assert counters.received == counters.evaluated + counters.filtered + counters.dropped.total()


def test_a_loss_is_told_though_nothing_more_passes() -> None:
    """A sensor that falls silent after a flood says what it lost; and not with each event of the flood."""
    events: list[Event] = []

    def put(event: Event) -> bool:
        events.append(event)
        return event.health is not None

    sensor = Ticker()
    runner = Runner([sensor], put)
    runner.start()
    try:
        assert until(lambda: sensor.counters.dropped["queue", "full"] >= 20)
    finally:
        runner.stop()
    told = states(events, "ticker").count("loss")
    assert 1 <= told < 15


def test_hints_reach_every_sensor_even_after_one_refuses() -> None:
    """A sensor that chokes on a hint keeps it from no other."""

    class Choking(Early):
        def watch(self, hint: Hint) -> None:
            raise ValueError(hint)

    taking = Ticker()
    hint = Hint(kind="endpoint", port=8000)
    Runner([Choking(), taking], lambda _: None).watch(hint)
    assert taking.hints == [hint]


def test_early_sensors_look_first() -> None:
    """The others wait until those that know the processes have had their first look."""
    early, later = Early(), Ticker()
    early.hang.clear()
    events: list[Event] = []
    runner = Runner([early, later], events.append)
    runner.start()
    try:
        assert until(lambda: early.starts == 1)
        assert later.starts == 0
        early.hang.set()
        assert until(lambda: later.counters.evaluated > 0)
    finally:
        early.hang.set()
        runner.stop()
    order = [e.event.provider for e in events if e.health is None]
    assert order[0] == "early"


def test_a_sensor_that_hangs_does_not_hold_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look at a dead network mount never returns; the daemon ends all the same."""
    monkeypatch.setattr(module, "GIVE_UP", 0.1)
    sensor = Ticker()
    sensor.hang.clear()
    runner = Runner([sensor], lambda _: True)
    runner.start()
    assert until(lambda: sensor.starts)
    began = clock.monotonic()
    runner.stop()
    assert clock.monotonic() - began < 3
    sensor.hang.set()
    assert until(lambda: sensor.stops)


class Kernel(Ticker):
    """A sensor of the kernel tier that never gets anywhere, and what takes its place."""

    name = "kernel"
    mode = "kernel"

    def __init__(self, *instead: Ticker) -> None:
        super().__init__()
        self.reasons: list[str] = []

        def replace(reason: str) -> list[Sensor]:
            self.reasons.append(reason)
            return list(instead)

        self.instead = replace

    def start(self) -> None:
        super().start()
        raise Unavailable("the kernel says no.")


def test_one_that_fails_for_good_gives_its_place_away() -> None:
    """Another takes over with every hint that still holds; the failed one stays listed as down."""
    portable = Ticker()
    portable.fallen = "the kernel says no."
    kernel, events = Kernel(portable), list[Event]()
    runner = Runner([kernel], events.append)
    kept, dropped = Hint(kind="process", pid=5), Hint(kind="process", pid=6)
    runner.watch(kept)
    runner.watch(dropped)
    runner.watch(Hint(kind="process", pid=6, drop=True))
    runner.start()
    try:
        assert until(lambda: runner.up("ticker"))
        assert kernel.reasons == ["the kernel says no."]
        assert kernel.starts == module.FOR_GOOD
        assert portable.hints == [kept]
        assert not runner.up("kernel")
        assert [sensor.name for sensor in runner.sensors] == ["kernel", "ticker"]
        told = [event.health for event in events if event.health is not None and event.health.component == "ticker"]
        assert [(h.state, h.mode) for h in told[:2]] == [("started", "portable"), ("degraded", "portable")]
        heard = len(kernel.hints)
        runner.watch(kept)
        assert (len(kernel.hints), portable.hints) == (heard, [kept, kept])
    finally:
        runner.stop()
    assert portable.stops == 1


def test_what_cannot_take_the_place_now_does_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a descriptor left the failed one goes on trying, and half of what was to come leaves nothing behind."""
    kernel = Kernel(Ticker(), Ticker())
    runner = Runner([kernel], lambda _: None)
    made, given, refused = os.eventfd, list[int](), []

    def few(*flags: int) -> int:
        if len(given) == 1 and len(refused) < 2:
            os.fstat(given.pop())
            refused.append(True)
            raise OSError(errno.EMFILE, "Too many open files")
        given.append(made(*flags))
        return given[-1]

    monkeypatch.setattr(os, "eventfd", few)
    runner.start()
    try:
        assert until(lambda: runner.up("ticker"))
        assert len(refused) == 2
        assert [sensor.name for sensor in runner.sensors] == ["kernel", "ticker", "ticker"]
    finally:
        runner.stop()


def test_one_that_nothing_can_replace_goes_on_trying() -> None:
    """More often than it would take for another."""
    kernel = Kernel()
    runner = Runner([kernel], lambda _: None)
    runner.start()
    try:
        assert until(lambda: kernel.starts > module.FOR_GOOD)
    finally:
        runner.stop()


class StuckPipe(Pipe):
    """Hangs in its ticks, one of which begins as it reads."""

    def __init__(self) -> None:
        super().__init__()
        self.hang = threading.Event()
        self.hang.set()

    def read(self) -> Iterator[Event]:
        os.read(self.ends[0], 100)
        return iter(())

    def tick(self) -> Iterator[Event]:
        self.hang.wait(5)
        return iter(())


@pytest.mark.parametrize("kind", [Ticker, StuckPipe])
def test_a_sensor_that_hangs_is_told_from_outside(
    monkeypatch: pytest.MonkeyPatch, kind: type[Ticker] | type[StuckPipe]
) -> None:
    """Once, and once that it is back; one that only waits does not hang."""
    monkeypatch.setattr(module, "HUNG", 0.2)
    stuck, idle = kind(), Pipe()
    idle.name, idle.period = "idle", 60.0
    told: list[tuple[str, str]] = []

    def put(event: Event) -> None:
        if event.health is not None and event.health.state in ("degraded", "recovered"):
            told.append((event.health.component, event.health.state))

    runner = Runner([stuck, idle], put)
    runner.start()
    try:
        assert runner.ready(5)
        stuck.hang.clear()
        if isinstance(stuck, StuckPipe):
            os.write(stuck.ends[1], b"x")
        assert until(lambda: runner.watchdog() or told)
        runner.watchdog()
        assert told == [(stuck.name, "degraded")]
        stuck.hang.set()
        assert until(lambda: runner.watchdog() or len(told) > 1)
        assert told == [(stuck.name, "degraded"), (stuck.name, "recovered")]
    finally:
        stuck.hang.set()
        runner.stop()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_is_gone_is_named() -> None:
    """One that fails, hangs or is told to end is not; nobody else would notice that nothing tries it again."""
    failing, hanging, dying = Ticker(), Ticker(), Ticker()
    failing.fail, hanging.name, dying.name = RuntimeError("x"), "hanging", "dying"
    runner = Runner([failing, hanging, dying], lambda _: True)
    runner.start()
    assert runner.ready(5)
    hanging.hang.clear()
    assert runner.ended() == []
    dying.fail = Fatal()  # type: ignore[assignment]
    until(lambda: runner.ended() == ["dying"])
    hanging.hang.set()
    runner.stop()
    assert runner.ended() == []


def test_only_a_sensor_that_works_says_which_mounts_are_watched() -> None:
    """One that has failed watches nothing."""
    sensor = Ticker()
    sensor.verdicts = Verdicts()
    sensor.verdicts.told = [Verdict(b"/", "ext4")]
    runner = Runner([sensor], lambda _: None)
    assert runner.mounts() == []
    runner.start()
    try:
        assert until(lambda: runner.mounts() == [Verdict(b"/", "ext4")])
    finally:
        runner.stop()


class Patient(Pipe):
    name = "patient"
    gather = 30.0
    period = 60.0


class Pressing(Patient):
    name = "pressing"
    pressing = frozenset({"file_create"})


def test_nobody_gathers_once_something_pressing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told at once by a sensor that had not read for long, and what others had waited with comes with it."""
    events: list[Event] = []
    patient, pressing = Patient(), Pressing()
    runner = Runner([patient, pressing], events.append)
    runner.start()
    assert runner.ready(5)
    os.write(patient.ends[1], b"x")
    assert not until(lambda: any(e.action == "file_create" for e in events), 0.2)
    monkeypatch.setattr(pressing, "gather", 0.01)
    os.write(pressing.ends[1], b"y")
    told = until(lambda: {e.event.provider for e in events if e.action == "file_create"} == {"patient", "pressing"}, 5)
    runner.stop()
    assert told


def test_the_end_ends_the_gathering() -> None:
    """And what was gathered is told."""
    events: list[Event] = []
    patient = Patient()
    runner = Runner([patient], events.append)
    runner.start()
    assert runner.ready(5)
    os.write(patient.ends[1], b"x")
    began = clock.monotonic()
    runner.stop()
    assert clock.monotonic() - began < 5
    assert [e.action for e in events].count("file_create") == 1
