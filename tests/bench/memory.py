"""Memory: what the daemon and its examiner hold while a hundred programs a second come and go."""

import threading
import time
from typing import Any

from bench.host import Load, Say, folder
from bench.watching import guard


def run(say: Say, *, short: bool) -> dict[str, Any]:
    """Run the load for an hour (short: two minutes at ten times the rate) and look at the memory now and then."""
    rate, seconds = (1000, 120.0) if short else (100, 3600.0)
    samples: list[tuple[float, float]] = []
    with folder() as place, guard() as daemon:
        load = Load(place)
        work = threading.Thread(target=load.run, args=(rate, seconds, "memory"))
        began = time.monotonic()
        work.start()
        while work.is_alive():
            samples.append((time.monotonic() - began, daemon.pss()))
            if len(samples) % 6 == 1:
                say(f"{samples[-1][0]:.0f} s: {samples[-1][1]:.1f} MiB")
            work.join(10)
        samples.append((time.monotonic() - began, daemon.pss()))
        evicted = {k: v for k, v in daemon.metrics().items() if k.startswith("replguard_evictions_total") and v}
    return {
        "rate": rate,
        "seconds": seconds,
        "programs": rate * seconds,
        "first": samples[0][1],
        "last": samples[-1][1],
        "most": max(value for _, value in samples),
        "evicted": evicted,
    }


def page(found: dict[str, Any]) -> list[str]:
    """Return the lines for the page."""
    evicted = ", ".join(f"`{name}` {count:.0f}" for name, count in found["evicted"].items()) or "none"
    return [
        (
            f"{found['programs']:.0f} programs at {found['rate']}/s: {found['first']:.0f} MiB (PSS, with the examiner)"
            f" at the start, {found['last']:.0f} at the end, {found['most']:.0f} at most. Evictions: {evicted}."
        ),
    ]
