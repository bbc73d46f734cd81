"""What it costs to have the disk keep the log, by how often: processor, disk, and who writes. Needs no root."""

import os
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

from bench.host import Say, spread
from bench.rules import told
from support import logs

from replguard.config import Seconds, Stream
from replguard.events.event import Event

RATE = 1000
"""Records a second, in batches of ten milliseconds as the pipeline writes them."""
EVERY = {"never": 86400.0, "5 s": 5.0, "1 s": 1.0}


def once(events: list[Event], every: float, seconds: float, folder: Path) -> dict[str, float]:
    """Write for some seconds; return what it took. Times in milliseconds, but for the processor's: its share of one."""
    waits: list[float] = []
    real = os.fdatasync

    def timed(fd: int) -> None:
        began = time.monotonic()
        real(fd)
        waits.append(time.monotonic() - began)

    held: list[float] = []
    with mock.patch.object(os, "fdatasync", timed):
        to = logs.writer(folder / "log", folder / "state", limits=Stream(sync=Seconds(every)))
        began, cpu = time.monotonic(), time.process_time()
        tick, number = began + 1, 0
        while (now := time.monotonic()) < began + seconds:
            while number < (now - began) * RATE:
                to.write(events[number % len(events)], events[0].timestamp)
                number += 1
            if now >= tick:
                tick += 1
                to.tick(events[0].timestamp)
            to.flush(events[0].timestamp)
            held.append(time.monotonic() - now)
            time.sleep(0.01)
        used, took = time.process_time() - cpu, time.monotonic() - began
        syncs = list(waits)
        to.close(60, events[0].timestamp)
    ordered = sorted(syncs) or [0.0]
    return {
        "cpu": 100 * used / took,
        "syncs": len(syncs) / took,
        "sync": 1000 * ordered[len(ordered) // 2],
        "longest": 1000 * ordered[-1],
        "held": 1000 * sorted(held)[int(len(held) * 0.999)],
        "most": 1000 * max(held),
    }


def run(say: Say, *, short: bool) -> dict[str, Any]:
    """Measure each in turn, several times."""
    seconds, repeats = (8.0, 2) if short else (30.0, 5)
    events = [event for event, _ in zip(told(5000), range(5000), strict=False)]
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in EVERY}
    for _ in range(repeats):
        for name, every in EVERY.items():
            with tempfile.TemporaryDirectory() as folder:
                runs[name].append(once(events, every, seconds, Path(folder)))
    found = {name: {key: spread([one[key] for one in some]) for key in some[0]} for name, some in runs.items()}
    for name, one in found.items():
        say(
            f"{name}: {one['cpu']['median']:.2f} % of a core, {one['syncs']['median']:.2f} waits a second of"
            f" {one['sync']['median']:.1f} ms (longest {one['longest']['most']:.0f}),"
            f" who writes is held up {one['held']['median']:.1f} ms (99.9 %), {one['most']['most']:.0f} at most"
        )
    return {"seconds": seconds, "rate": RATE, **found}


def page(found: dict[str, Any]) -> list[str]:
    """Return the lines for the page."""
    rows = [(name, found[name]) for name in EVERY]
    return [
        (
            f"{found['rate']} records a second for {found['seconds']:.0f} s, on the disk of the temporary folder,"
            f" {rows[0][1]['cpu']['runs']} runs in turn. The waits are in a thread of their own; who writes is held up"
            " by the machine's other work, and at most 100 ms where a segment begins."
        ),
        "",
        "| `log.*.sync` | % of a core | waits a second | ms a wait | longest | held up, ms (99.9 %) | at most |",
        "|---|---:|---:|---:|---:|---:|---:|",
        *(
            f"| {name} | {one['cpu']['median']:.2f} | {one['syncs']['median']:.2f} | {one['sync']['median']:.1f} |"
            f" {one['longest']['most']:.0f} | {one['held']['median']:.1f} | {one['most']['most']:.0f} |"
            for name, one in rows
        ),
    ]
