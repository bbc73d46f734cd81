"""The only place that asks what time it is; everything else takes time from events."""

import time
from datetime import UTC, datetime
from typing import Annotated

import msgspec

Time = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time with its zone: one without cannot be held against another."""
YEARS = (1970, 9000)
"""A time outside of them was made up, and cannot be reckoned with."""


def is_sound(when: datetime) -> bool:
    """Tell whether a time that was read can be reckoned with."""
    return when.tzinfo is not None and YEARS[0] <= when.year < YEARS[1]


def now() -> datetime:
    """Return the wall-clock time in UTC, to the microsecond."""
    return datetime.now(UTC)


def monotonic() -> float:
    """Return seconds on a clock that no one can set."""
    return time.monotonic()


def since_boot() -> float:
    """Return seconds since the machine started, sleep included: what process start times count from."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def cpu() -> float:
    """Return the CPU seconds that the calling thread has used."""
    return time.thread_time()


def ran() -> float:
    """Return the CPU seconds that all threads of this process have used."""
    return time.process_time()


def together() -> tuple[datetime, float]:
    """Return ``now`` and ``since_boot`` of the same moment: to 10 ms, unless the host is too busy for three tries."""
    for _ in range(3):
        before, told = since_boot(), now()
        after = since_boot()
        if after - before < 0.01:
            break
    return told, after
