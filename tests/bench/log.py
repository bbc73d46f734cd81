"""What a record costs in the log: written with its proof and without, verified, and on disk. Needs no root."""

import os
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.host import Say, spread
from bench.rules import told
from support import logs

from replguard.config import Stream
from replguard.events import wire
from replguard.events.event import Event
from replguard.forensics import verify
from replguard.log import archive, names
from replguard.log.segments import FLUSH

SECOND = 500
"""Records that a busy host makes in a second, after which a seal comes: one costs what some ten records do."""


def plainly(events: list[Event], folder: Path) -> float:
    """Return the CPU seconds of the same records without a proof: encoded, gathered, written."""
    fd = os.open(folder / "plain", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    began, held, size = time.thread_time(), [], 0
    for event in events:
        line = wire.encode(event) + b"\n"
        held.append(line)
        size += len(line)
        if size >= FLUSH:
            os.write(fd, b"".join(held))
            held, size = [], 0
    os.write(fd, b"".join(held))
    took = time.thread_time() - began
    os.close(fd)
    return took


def proven(events: list[Event], folder: Path) -> float:
    """Return the CPU seconds that the writer takes, with a seal after ``SECOND`` records."""
    to = logs.writer(folder / "log", folder / "state", limits=Stream())
    now = events[0].timestamp
    began = time.thread_time()
    for number, event in enumerate(events):
        to.write(event, now)
        if number % SECOND == SECOND - 1:
            to.tick(now)
    took = time.thread_time() - began
    to.close(600, now)
    return took


def run(say: Say, *, short: bool) -> dict[str, Any]:
    """Measure each in turn, several times."""
    count, repeats = (20_000, 3) if short else (200_000, 9)
    events = _some(count)
    runs: list[dict[str, float]] = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            once = {"without": plainly(events, folder) * 1e6 / count, "within": proven(events, folder) * 1e6 / count}
            size = (folder / "plain").stat().st_size
            once |= {"ratio": once["within"] / once["without"], "verify": verified(folder / "log", size)}
            once |= {"plain": size / count, "packed": packed(folder / "log") / count}
            runs.append(once)
    found = {name: spread([run[name] for run in runs]) for name in runs[0]}
    say(f"a record: {found['within']['median']:.1f} µs, {found['without']['median']:.1f} without its proof")
    say(f"verify: {found['verify']['median']:.0f} MB/s on one core")
    say(
        f"a record on disk: {found['plain']['median']:.0f} bytes, packed {found['packed']['median']:.1f} with its proof"
    )
    return {"count": count, **found}


def page(found: dict[str, Any]) -> list[str]:
    """Return the lines for the page."""
    rows = (
        ("µs to encode and write a record, without a proof", "without"),
        ("µs with its place in the chain and the seals", "within"),
        ("of it, ratio in the same run", "ratio"),
        ("MB/s of records that `verify` goes through, on one core", "verify"),
        ("bytes of a record", "plain"),
        ("bytes of a record in a packed segment, with its proof", "packed"),
    )
    return [
        (
            f"{found['count']} records of a made-up host, {SECOND} a second, {found['within']['runs']} runs. What is"
            " written is told in CPU time of its one thread."
        ),
        "",
        "| | median | least | most |",
        "|---|---:|---:|---:|",
        *(
            f"| {text} | {found[key]['median']:.1f} | {found[key]['least']:.1f} | {found[key]['most']:.1f} |"
            for text, key in rows
        ),
    ]


def _some(count: int) -> list[Event]:
    found: list[Event] = []
    for event in told(count):
        found.append(event)
        if len(found) == count:
            break
    return found


def verified(folder: Path, size: int) -> float:
    """Return the megabytes of records that one core verifies in a second; ``size`` are their bytes."""
    cores = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(cores)})
        began = time.monotonic()
        *_, found = verify.stream(folder, "raw")
        took = time.monotonic() - began
    finally:
        os.sched_setaffinity(0, cores)
    if not isinstance(found, verify.Found) or found.findings:
        raise RuntimeError("the log is not whole")
    return size / 1e6 / took


def packed(folder: Path) -> int:
    """Return the bytes of a log whose segments are all packed."""
    for segment in names.segments(folder, "raw"):
        if not segment.packed:
            archive.compress(segment.path)
    return sum(segment.path.stat().st_size for segment in names.segments(folder, "raw"))
