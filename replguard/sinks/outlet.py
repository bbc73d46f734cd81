"""A queue and a thread for each sink, so that a dead one delays nobody; what is lost is counted."""

import random
import threading
from collections import Counter, deque
from collections.abc import Callable

import structlog

from replguard.events import clock
from replguard.events.alert import LEVELS, Alert, Level
from replguard.events.evidence import Kept
from replguard.events.health import Health
from replguard.sinks.base import Rejected, Sink

QUEUE = 1_000
"""Alerts that wait for one sink: days of an ordinary host, hours of a storm that the hourly limit lets through."""
FIRST = 0.5
"""Seconds before the second attempt; doubled with each failure, and up to a half more by chance so that a fleet
does not return in step."""
_log = structlog.get_logger(__name__)


class Outlet:
    """Carries alerts, and checkpoints, to one sink in order. ``delivered`` and ``dropped`` (by reason) count alerts.

    Reasons: ``full`` (the queue; the oldest of the lowest level goes), ``rejected`` (by the far end), ``error`` (the
    sink itself is at fault), ``stopped`` (still waiting at the end). An alert below ``least`` is none of its business.
    """

    def __init__(self, name: str, sink: Sink, report: Callable[[Health], None], least: Level = "informational") -> None:
        self.name = name
        self._least = LEVELS.index(least)
        self.delivered = 0
        self.dropped: Counter[str] = Counter()
        self.trouble: str | None = None
        self._sink, self._report_to = sink, report
        self._queue: deque[Alert | Kept] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._failures = 0
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to send."""
        self._thread = threading.Thread(target=self._run, name=f"sink-{self.name}", daemon=True)
        self._thread.start()

    def deliver(self, alert: Alert) -> None:
        """Take an alert, if it is one for this sink; never blocks. That of an announced drill is one for each."""
        if alert.replguard.drill is not None or LEVELS.index(alert.rule.level) >= self._least:
            self._take(alert)

    def remind(self, alert: Alert) -> None:
        """Take an alert that was told before a start, where the sink tells it again; never blocks."""
        if self._sink.reminds:
            self.deliver(alert)

    def keep(self, checkpoint: Kept) -> None:
        """Take a checkpoint, where the sink takes any; never blocks."""
        if self._sink.checkpoints:
            self._take(checkpoint)

    def _take(self, item: Alert | Kept) -> None:
        with self._changed:
            self._queue.append(item)
            if len(self._queue) > QUEUE:
                worst = min(self._queue, key=_worth)
                self._queue.remove(worst)
                self.dropped["full"] += isinstance(worst, Alert)
            self._changed.notify()

    def waiting(self) -> int:
        """Return how many wait."""
        return len(self._queue)

    def ask_to_stop(self) -> None:
        """Let the thread end when everything is sent or the next attempt fails."""
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def join(self, deadline: float) -> None:
        """Wait for the thread until ``deadline``, then count what was left behind."""
        if self._thread is not None:
            self._thread.join(max(0.0, deadline - clock.monotonic()))
        with self._changed:
            self._stopped()

    def _stopped(self) -> None:
        self.dropped["stopped"] += sum(isinstance(each, Alert) for each in self._queue)
        self._queue.clear()

    def _run(self) -> None:
        while (item := self._next()) is not None or not self._stopping:
            self._attempt(item)
        self._sink.close()

    def _next(self) -> Alert | Kept | None:
        """Wait for an alert, for the sink's own pause, or for the end of the pause after a failure."""
        with self._changed:
            if self._failures:
                self._pause(self._backoff())
            elif not self._queue and not self._stopping:
                self._changed.wait(self._sink.pause())
            return self._queue.popleft() if self._queue else None

    def _pause(self, seconds: float) -> None:
        """Let time pass after a failure; new alerts do not cut it short, the end does."""
        until = clock.monotonic() + seconds
        while not self._stopping and (left := until - clock.monotonic()) > 0:
            self._changed.wait(left)

    def _attempt(self, item: Alert | Kept | None) -> None:
        try:
            self._send(item)
        except OSError as error:
            self._failed(item, str(error.strerror or error))
        except Rejected as error:
            self._lose(item, "rejected", str(error))
        except Exception as error:  # noqa: BLE001 - a fault in one sink must not end its thread
            _log.exception("sink failed", sink=self.name)
            self._lose(item, "error", f"{type(error).__name__}: {error}")
        else:
            if item is not None or self._failures:
                self._worked()

    def _send(self, item: Alert | Kept | None) -> None:
        if item is None:
            self._sink.idle()
        elif isinstance(item, Kept):
            self._sink.keep(item)
        else:
            self._sink.send(item)
            self.delivered += 1

    def _failed(self, item: Alert | Kept | None, reason: str) -> None:
        with self._changed:
            if item is not None:
                self._queue.appendleft(item)
            if self._stopping:  # this was the last attempt
                self._stopped()
        self._failures += 1
        self._tell(reason)

    def _lose(self, item: Alert | Kept | None, why: str, reason: str) -> None:
        self._failures = 0
        self.dropped[why] += isinstance(item, Alert)
        self._tell(reason)

    def _worked(self) -> None:
        self._failures = 0
        if self.trouble is not None:
            self.trouble = None
            lost = self.dropped.total() or None
            self._report_to(Health(component=f"sink.{self.name}", state="recovered", lost=lost))

    def _tell(self, reason: str) -> None:
        if self.trouble is None:
            self._report_to(Health(component=f"sink.{self.name}", state="failed", reason=reason))
        self.trouble = reason

    def _backoff(self) -> float:
        pause = min(self._sink.longest, FIRST * 2.0 ** min(self._failures - 1, 20))
        return pause * random.uniform(1.0, 1.5)  # noqa: S311 - spreads load, guards nothing


def _worth(item: Alert | Kept) -> int:
    """Return what is let go last: the highest level; the next checkpoint proves what one before it did."""
    return LEVELS.index(item.rule.level) if isinstance(item, Alert) else -1
