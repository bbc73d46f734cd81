"""Whether the daemon gets on: systemd's watchdog is fed only while it does, and restarts what stands still.

What counts is what a restart would mend: that what was seen is carried through, and that no thread which carries or
looks has ended. A sensor, the examiner or a sink that waits for a dead mount or server does not count. It is told in an
event of its own and holds up nothing else, while a process with a thread in such a wait may not even end when it is
killed: who can make a dead mount could end the whole watch instead of a part of it.
"""

import threading
from collections.abc import Callable, Iterable

import structlog

from replguard.events import clock
from replguard.kernel import memory, notify

STALLED = 20.0
"""Seconds without a step of the pipeline, which takes one each second, after which it stands still."""
LOOKS = 2.0
"""Seconds between two looks."""
TRIM = 60.0
"""Seconds between two times that free memory is given back to the kernel."""

_log = structlog.get_logger(__name__)


class Liveness:
    """Asked every few seconds, by one thread. ``steps`` counts what the pipeline did; ``ended`` names lost sensors."""

    def __init__(
        self, steps: Callable[[], int], threads: Iterable[threading.Thread], ended: Callable[[], list[str]]
    ) -> None:
        self._steps, self._threads, self._ended = steps, list(threads), ended
        self._seen, self._since = -1, clock.monotonic()
        self._told: str | None = None

    def trouble(self) -> str | None:
        """Return what stands still, in a sentence, or None."""
        steps, now = self._steps(), clock.monotonic()
        if steps != self._seen:
            self._seen, self._since = steps, now
        if now - self._since > STALLED:
            return f"nothing was carried through for {STALLED:.0f} s"
        ended = [thread.name for thread in self._threads if not thread.is_alive()]
        ended += [f"sensor {name}" for name in self._ended()]
        return f"a thread has ended: {', '.join(ended)}" if ended else None

    def watch_over(self, stop: threading.Event, also: Callable[[], object] = lambda: None) -> None:
        """Look until told to stop, and give free memory back; ``also`` is another look that is due as often."""
        trimmed = clock.monotonic()
        while not stop.wait(LOOKS):
            also()
            self.feed()
            if clock.monotonic() - trimmed >= TRIM:
                trimmed = clock.monotonic()
                memory.trim()

    def feed(self) -> None:
        """Feed the watchdog, or say once why not: what can be told then is in the journal alone."""
        trouble = self.trouble()
        if trouble is None:
            notify.notify("WATCHDOG=1")
        elif trouble != self._told:
            _log.error("the daemon stands still", reason=trouble)
            notify.notify(f"STATUS=stands still: {trouble}")
        self._told = trouble
