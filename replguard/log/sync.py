"""Waits for the disk, so that nobody else has to: one piece of work after the other, in a thread of its own."""

import threading
from collections import deque
from collections.abc import Callable

from replguard.events import clock


class Sync:
    """The thread lives while there is something to wait for."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._trouble: OSError | None = None
        self._work: deque[Callable[[], None]] = deque()
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()
        self._began: float | None = None
        self._took = 0.0

    def soon(self, work: Callable[[], None]) -> None:
        """Have work done after all that was asked for before. It may raise OSError."""
        with self._changed:
            self._work.append(work)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()

    @property
    def is_busy(self) -> bool:
        """Whether something is not done yet."""
        return self._thread is not None

    @property
    def seconds(self) -> float:
        """How long the last work took, or the one that is under way so far."""
        began = self._began
        return self._took if began is None else clock.monotonic() - began

    def take_trouble(self) -> OSError | None:
        """Return why the last work that failed did, once."""
        trouble, self._trouble = self._trouble, None
        return trouble

    def wait(self, timeout: float) -> bool:
        """Wait until all is done, at most so many seconds; False if it is not."""
        with self._changed:
            return self._changed.wait_for(lambda: self._thread is None, timeout)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._began = None
                if not self._work:
                    self._thread = None
                    self._changed.notify_all()
                    return
                work, began = self._work.popleft(), clock.monotonic()
                self._began = began
            try:
                work()
            except OSError as error:
                self._trouble = error
            self._took = clock.monotonic() - began
