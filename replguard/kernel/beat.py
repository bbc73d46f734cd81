"""A time in a counter of the kernel's that outlives us, such as when queues were read last."""

import contextlib
import os
from datetime import datetime, timedelta

from replguard.events import clock


class Beat:
    """A counter that holds the nanoseconds since boot; by its descriptor, or made anew."""

    def __init__(self, kept: int | None = None) -> None:
        self.descriptor = kept if kept is not None else os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def last(self) -> datetime | None:
        """Return when it was set last, None for a counter that was not set, or to come."""
        try:
            held = os.eventfd_read(self.descriptor)
            os.eventfd_write(self.descriptor, held)  # reading it took it out
        except OSError:
            return None
        ago = clock.since_boot() - held / 1e9
        return clock.now() - timedelta(seconds=ago) if ago >= 0 else None

    def set(self, when: datetime | None = None) -> None:
        """Set it to a time, or to now."""
        ago = (clock.now() - when).total_seconds() if when is not None else 0.0
        with contextlib.suppress(OSError):
            os.eventfd_read(self.descriptor)
        os.eventfd_write(self.descriptor, max(1, int((clock.since_boot() - ago) * 1e9)))

    def close(self) -> None:
        """Let go of it."""
        os.close(self.descriptor)
