"""Runs the sensors: one thread each, so that a slow one delays no other; a failing one is started again and reported.

What the pipeline refuses because its queue is full is counted, and told once there is room again. A sensor of the
kernel tier that fails again and again gives its place to the portable one.
"""

import os
import select
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from math import ceil

import msgspec
import structlog

from replguard.errors import Unavailable
from replguard.events import clock
from replguard.events.event import Event
from replguard.events.hint import Hint
from replguard.kernel.keep import KEPT
from replguard.sensors.base import Readable, Sensor, Timed
from replguard.sensors.files.verdicts import Verdict

Put = Callable[[Event], bool | None]
"""Takes an event; False means that there is no room."""
FIRST_BACKOFF, LAST_BACKOFF = 1.0, 60.0
GIVE_UP = 3.0
"""Seconds that the end waits for sensors: a dead network mount may hold one for ever."""
HUNG = 10.0
"""Seconds in one call of a sensor without an event, after which it is told as hung: a dead server may hold it."""
FOR_GOOD = 4
"""Failures in a row, seven seconds of them, after which another sensor takes the place of one that names it."""
LOSS_EVERY = 1.0
"""Seconds between two tellings of what the pipeline had no room for."""
MOST_HINTS = 20_000
"""Hints that are remembered for a sensor that begins later."""
EARLY_WAIT = 3.0
"""Seconds that the others wait for the first look of the early sensors."""
DUTY = 20
"""Polls rest this many times the CPU time that they take on average: on a host too large for its period a sensor looks
less often, and takes no more than a twentieth of a core."""
SLACK = timedelta(milliseconds=2)
"""How much later than its time an event may reach its queue: between the two the kernel may do something else."""
SMOOTH = 0.05
"""Weight of the newest poll in that average."""

_log = structlog.get_logger(__name__)


class Runner:
    """Owns the threads. ``put`` is given by the pipeline and must not wait."""

    def __init__(self, sensors: Sequence[Sensor], put: Put) -> None:
        self.sensors = list(sensors)
        self.put = put
        self._lock = threading.Lock()
        self._stopped = False
        self._hints: OrderedDict[Hint, None] = OrderedDict()
        self._loops = [_Loop(sensor, self) for sensor in self.sensors]

    def start(self) -> None:
        """Start every sensor. Returns at once; see ``ready``."""
        for loop in self._loops:
            loop.start()

    def stop(self) -> None:
        """Stop every sensor and wait for its thread; one that hangs is left behind."""
        with self._lock:
            self._stopped = True
        for loop in self._loops:
            loop.ask_to_stop()
        end = clock.monotonic() + GIVE_UP
        for loop in self._loops:
            if not loop.join(max(0.0, end - clock.monotonic())):
                _log.warning("sensor does not end", sensor=loop.sensor.name)

    def ready(self, timeout: float) -> bool:
        """Wait until every sensor had its first look or failed at it; False if that takes longer (seconds)."""
        end = clock.monotonic() + timeout
        return all(loop.looked.wait(max(0.0, end - clock.monotonic())) for loop in self._loops)

    def watch(self, hint: Hint) -> None:
        """Pass a hint to every sensor; those that begin later hear of it then."""
        with self._lock:
            if self._stopped:
                return
            self._remember(hint)
            for loop in self._loops:
                if not loop.over:
                    _hear(loop.sensor, hint)
                    loop.poke()

    def _remember(self, hint: Hint) -> None:
        asked = msgspec.structs.replace(hint, drop=False)
        self._hints.pop(asked, None)
        if not hint.drop:
            self._hints[asked] = None
            while len(self._hints) > MOST_HINTS:
                self._hints.popitem(last=False)

    def replace(self, sensor: Sensor, reason: str) -> bool:
        """Start what takes the place of a sensor that failed for good; False if there is nothing."""
        new = sensor.instead(reason) if sensor.instead is not None else []
        with self._lock:
            if self._stopped or not new:
                return False
            for each in new:
                for hint in self._hints:
                    _hear(each, hint)
            loops = self._made(new)
            self.sensors = [*self.sensors, *new]
            self._loops = [*self._loops, *loops]
            for loop in loops:
                loop.start()
        return True

    def watchdog(self) -> None:
        """Tell which sensors hang, and which do so no longer: they cannot say it themselves. Called now and then."""
        for loop in self._loops:
            loop.watch_over()

    def revive(self, name: str, reason: str) -> None:
        """Have a sensor that waits for nothing more fail for this reason, and be started again."""
        for loop in self._loops:
            if loop.sensor.name == name and loop.up:
                loop.fault = reason
                loop.poke()

    def ended(self) -> list[str]:
        """Return the sensors whose thread is gone though nobody ended it: they are tried again by nobody."""
        return [] if self._stopped else [loop.sensor.name for loop in self._loops if loop.is_lost()]

    def press(self, by: "_Loop") -> None:
        """Have every other sensor read what it still gathers."""
        for loop in self._loops:
            if loop is not by:
                loop.pressed.set()

    def _made(self, sensors: list[Sensor]) -> "list[_Loop]":
        """Return their threads, not yet begun. Raises OSError where there is no descriptor left."""
        loops: list[_Loop] = []
        try:
            for each in sensors:
                loops.append(_Loop(each, self))  # noqa: PERF401 - see below
        except OSError:
            for loop in loops:  # all or none
                loop.join(0)
            raise
        return loops

    def counts(self, device: int, inode: int) -> bool:
        """Tell whether a sensor that works adds up what is read of a file."""
        return any(loop.up and loop.sensor.counts(device, inode) for loop in self._loops)

    def place(self, device: int, inode: int) -> tuple[str, bytes] | None:
        """Return a folder of a file's filesystem, and its handle, if a sensor knows it."""
        known = (loop.sensor.place(device, inode) for loop in self._loops if loop.up)
        return next((place for place in known if place is not None), None)

    def mounts(self) -> list[Verdict]:
        """Return what the sensors that work say of each mount: whether it is watched, and why not."""
        telling = [loop.sensor.verdicts for loop in self._loops if loop.up and loop.sensor.verdicts is not None]
        return [verdict for each in telling for verdict in each.told]

    def up(self, name: str) -> bool:
        """Tell whether a sensor is working now."""
        return any(loop.up for loop in self._loops if loop.sensor.name == name)

    def told_until(self) -> datetime | None:
        """Return up to when everything was delivered that the sensors which promise so will ever tell.

        None while one of them has not promised yet; without any, now: there is nothing to wait for.
        """
        now = clock.now()
        promised = [loop.told_until(now) for loop in self._loops if loop.up and loop.sensor.mode == "kernel"]
        given = [until for until in promised if until is not None]
        return None if len(given) < len(promised) else min(given, default=now)

    def wait_early(self, sensor: Sensor) -> None:
        if not sensor.early:
            end = clock.monotonic() + EARLY_WAIT
            for loop in self._loops:
                if loop.sensor.early:
                    loop.looked.wait(max(0.0, end - clock.monotonic()))


class _Loop:
    """The thread of one sensor."""

    def __init__(self, sensor: Sensor, runner: Runner) -> None:
        self.sensor = sensor
        self.up = self.over = False
        self.fault: str | None = None
        self.looked = threading.Event()
        self._runner = runner
        self._pressing = sensor.pressing if isinstance(sensor, Readable) else frozenset()
        self.pressed = threading.Event()
        """Set from anywhere: what is gathered is to be read now."""
        self._lost, self._loss_due = 0, 0.0
        self._telling = self._hung = False
        self._since: float | None = None
        """When the sensor was called or told something last; None while it waits."""
        self._stopping = threading.Event()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name=f"sensor-{sensor.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def ask_to_stop(self) -> None:
        self._stopping.set()
        self.pressed.set()
        self.poke()

    def poke(self) -> None:
        """Have a sensor tick soon: it was given a hint, or is to end."""
        os.eventfd_write(self._wake, 1)

    def told_until(self, now: datetime) -> datetime | None:
        """Return up to when everything was delivered. Asked in this order: what was read is being told, or was."""
        if self.sensor.quiet() and not self._telling:
            return now - SLACK
        return self.sensor.told_until

    def watch_over(self) -> None:
        """Tell once that the sensor hangs in a call, and once that it came back."""
        since = self._since
        hung = since is not None and clock.monotonic() - since > HUNG
        if hung == self._hung:
            return
        reason = f"it has been in one call for more than {HUNG:.0f} s: a server that does not answer may hold it."
        told = self.sensor.health("degraded", reason) if hung else self.sensor.health("recovered", "it hung.")
        if self._runner.put(told) is not False:
            self._hung = hung

    def is_lost(self) -> bool:
        """Whether its thread ended, and neither was told to nor gave its place to another sensor."""
        return self._thread.ident is not None and not (self._thread.is_alive() or self.over or self._stopping.is_set())

    def join(self, seconds: float) -> bool:
        if self._thread.ident is not None:
            self._thread.join(seconds)
        if self._thread.is_alive():
            return False
        os.close(self._wake)
        return True

    def _run(self) -> None:
        self._runner.wait_early(self.sensor)
        backoff, failed, times, reason = FIRST_BACKOFF, False, 0, ""
        while not self._stopping.is_set():
            began = clock.monotonic()
            try:
                self._session(recovered=failed)
            except Exception as error:  # noqa: BLE001 - whatever a sensor meets, it is tried again
                failed = True
                KEPT.drop(self.sensor.name)  # it begins anew: what it failed at may lie in what was kept
                self._report(error)
                reason = _words(error)
            finally:
                self.up, self._since = False, clock.monotonic()
                self._release()
                self._since = None
            if clock.monotonic() - began > LAST_BACKOFF:
                backoff, times = FIRST_BACKOFF, 0
            self.looked.set()
            times += 1
            if times >= FOR_GOOD and not self._stopping.is_set() and self._replaced(reason):
                self.over = True
                return
            self._stopping.wait(backoff)
            backoff = min(backoff * 2, LAST_BACKOFF)

    def _replaced(self, reason: str) -> bool:
        """Give the place to another sensor; if that fails, as without a descriptor left, it is tried again later."""
        try:
            return self._runner.replace(self.sensor, reason)
        except Exception:  # noqa: BLE001 - this thread is the only one that will ever try again
            _log.exception("no sensor could take the place of one that failed", sensor=self.sensor.name)
            return False

    def _session(self, *, recovered: bool) -> None:
        sensor = self.sensor
        self._since = clock.monotonic()
        sensor.start()
        said = " ".join(filter(None, (sensor.went_on, sensor.why))) or None
        self._deliver([sensor.health("recovered" if recovered else "started", said)])
        if sensor.fallen and not recovered:
            self._deliver([sensor.health("degraded", f"the kernel tier does not work here: {sensor.fallen}")])
        self.up = True
        if isinstance(sensor, Timed):
            self._timed(sensor)
        elif isinstance(sensor, Readable):
            self._readable(sensor)

    def _timed(self, sensor: Timed) -> None:
        due, cost, before = clock.monotonic(), 0.0, None
        while not self._stopping.is_set():
            self._since = clock.monotonic()
            self._deliver(sensor.poll())
            self.looked.set()
            now, used = clock.monotonic(), clock.cpu()
            if before is not None:  # the first look, at everything, is no measure
                cost += (used - before - cost) * SMOOTH
            before = used
            due = max(due + sensor.period, now + sensor.period / 4, now + cost * DUTY - sensor.period)
            self._stopping.wait(due - now)

    def _readable(self, sensor: Readable) -> None:
        poller = select.poll()
        for descriptor, wanted in (*sensor.descriptors(), (self._wake, select.POLLIN)):
            poller.register(descriptor, wanted)
        self._since = clock.monotonic()
        self._deliver(sensor.tick())
        self.looked.set()
        ticked = read = clock.monotonic()
        while not self._stopping.is_set():
            ready = {descriptor for descriptor, _ in poller.poll(self._rest(ticked + sensor.period))}
            poked = self._wake in ready
            if poked:
                os.eventfd_read(self._wake)
                if (fault := self.fault) is not None:
                    self.fault = self.sensor.heard = None
                    raise Unavailable(fault)
            elif ready and sensor.gather:
                # Not once something pressing was told, and by one that tells such only after it has read.
                self.pressed.wait(max(0.0, sensor.gather - (clock.monotonic() - read if self._pressing else 0.0)))
                self.pressed.clear()
            self._since = read = clock.monotonic()
            if ready - {self._wake}:
                self._deliver(sensor.read())
            if poked or clock.monotonic() >= ticked + sensor.period:
                self._since = clock.monotonic()
                self._deliver(sensor.tick())
                ticked = clock.monotonic()
            self._since = None

    @staticmethod
    def _rest(due: float) -> int:
        """Return the milliseconds until then, rounded up: a poll that ends too early would be one too many."""
        return max(0, ceil((due - clock.monotonic()) * 1000))

    def _deliver(self, events: Iterable[Event]) -> None:
        self._telling = True
        try:
            self._tell(events)
            self._tell_loss()  # of a sensor that has nothing more to tell too
        finally:
            self._telling, self._since = False, None
        self.sensor.counters.cpu_seconds = clock.cpu()

    def _tell(self, events: Iterable[Event]) -> None:
        counters = self.sensor.counters
        for event in events:
            ours = event.action == "sensor_health"
            self._since = clock.monotonic()
            if self._runner.put(event) is False:
                self._lost += 1
                if not ours:
                    counters.lose("queue", "full")
                continue
            if not ours:
                counters.passed()
            if event.action in self._pressing:
                self._runner.press(self)
            self._tell_loss()

    def _tell_loss(self) -> None:
        """Tell what the pipeline refused, at most once a second: in a flood every other event may be refused."""
        if not self._lost or clock.monotonic() < self._loss_due:
            return
        lost, self._lost = self._lost, 0
        if self._runner.put(self.sensor.health("loss", "full", stage="queue", lost=lost)) is False:
            self._lost = lost
        else:
            self._loss_due = clock.monotonic() + LOSS_EVERY

    def _report(self, error: Exception) -> None:
        reason = _words(error)
        _log.warning("sensor failed, starting it again", sensor=self.sensor.name, reason=reason)
        self._deliver([self.sensor.health("failed", reason)])

    def _release(self) -> None:
        try:
            self.sensor.stop()
        except Exception:  # noqa: BLE001 - it is being given up anyway
            _log.exception("sensor did not stop cleanly", sensor=self.sensor.name)


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, Unavailable) else f"{type(error).__name__}: {error}"


def _hear(sensor: Sensor, hint: Hint) -> None:
    try:
        sensor.watch(hint)
    except Exception:  # noqa: BLE001 - the others must hear it all the same
        _log.exception("sensor refused a hint", sensor=sensor.name)
