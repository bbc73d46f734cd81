"""What one exec costs behind the sensor: its event and that of its end, through every stage. Needs no root."""

import tempfile
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from bench.host import Say, spread
from support.halves import Halves

from replguard.events import wire
from replguard.events.event import Event, Meta
from replguard.events.fact import Context
from replguard.events.process import Parent, Process, User
from replguard.frames import Events, encode
from replguard.frames import told as told_decoder
from replguard.rules import load
from replguard.sinks import Sinks

TOLD = told_decoder().decode
PARENT = "e" * 16
START = datetime(2026, 1, 1, tzinfo=UTC)
KERNEL = Context(tier="kernel", attribution="kernel")
LOADER = Process(
    pid=1000,
    entity_id=PARENT,
    start=START,
    executable="/usr/local/bin/load",
    name="load",
    args=("load",),
    command_line="load",
    working_directory="/tmp",
    session_id=1000,
    group_id=1000,
    cgroup="/system.slice/load.service",
)


def told(action: str, after: float, process: Process) -> Event:
    """Return an event as the sensor makes it, so many seconds after the start."""
    when = START + timedelta(seconds=after)
    meta = Meta(action=action, provider="exec")
    return Event(timestamp=when, event=meta, process=process, user=User(id=0, name="root"), replguard=KERNEL)


def lives(count: int) -> list[Event]:
    """Return the events of ``count`` programs that run for a millisecond, one after the other."""
    events = [told("process_exec", 0, LOADER)]
    for number in range(count):
        process = msgspec.structs.replace(
            LOADER,
            pid=2000 + number,
            entity_id=f"{number:016x}",
            start=START + timedelta(seconds=number // 10 / 100),
            executable="/usr/bin/true",
            invoked="/bin/true",
            name="true",
            args=("/bin/true", f"number-{number}"),
            command_line=f"/bin/true number-{number}",
            parent=Parent(
                pid=1000, entity_id=PARENT, executable="/usr/local/bin/load", command_line="load", name="load"
            ),
        )
        events += [
            told("process_exec", number / 1000, process),
            told("process_exit", number / 1000, msgspec.structs.replace(process, exit_code=0)),
        ]
    return events


class Quiet(Sinks):
    """Takes alerts and does nothing with them."""

    def __init__(self) -> None:
        super().__init__({}, lambda _: None)

    def deliver(self, alert: Any) -> None:
        del alert


def cost(step: Callable[[Any], object], given: Iterable[Any]) -> float:
    """Return the CPU seconds of a step over everything given."""
    began = time.thread_time()
    for one in given:
        step(one)
    return time.thread_time() - began


def once(count: int, folder: Path) -> dict[str, float]:
    """Return the microseconds of CPU that each stage takes for one exec."""
    rules = load.load([])
    events, both = lives(count), Halves(folder, rules, Quiet(), buffered=True)
    observer, judge = both.observer, both.judge
    found: dict[str, float] = {}
    ordered: list[Event] = []
    began = time.thread_time()
    for event in events:
        observer.put(event)
        observer._sort(observer._queue.get())
    ordered.extend(observer._order.rest())
    found["queue and order"] = time.thread_time() - began
    enriched: list[Event] = []
    found["provenance"] = cost(lambda event: enriched.extend(both.provenance.feed(event)), ordered)
    frames = [Events("", at, tuple(enriched[at : at + 16])) for at in range(0, len(enriched), 16)]
    sent: list[bytes] = []
    found["frames: encode"] = cost(lambda frame: sent.append(encode(frame)), frames)
    found["frames: decode"] = cost(TOLD, sent)
    stamped: list[Event] = []
    found["numbers"] = cost(lambda event: stamped.append(judge.sequencer.stamp(event)), enriched)
    now = stamped[0].timestamp
    found["log: write"] = cost(lambda event: both.raw.write(event, now), stamped)
    found["log: of it encode"] = cost(wire.encode, stamped)
    found["rules and alerts"] = cost(judge.detector.feed, stamped)
    whole = Halves(folder / "whole", rules, Quiet(), buffered=True)
    found["observe, all in one"] = cost(whole.observe, ordered)
    between = found["frames: encode"] + found["frames: decode"]
    found["total"] = found["queue and order"] + found["observe, all in one"] + between
    both.close()
    whole.close()
    return {name: seconds * 1e6 / count for name, seconds in found.items()}


def run(say: Say, *, short: bool) -> dict[str, Any]:
    """Return the least and the median of several repeats, by stage, in microseconds."""
    count, repeats = (1_000, 5) if short else (3_000, 25)
    runs = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            runs.append(once(count, Path(folder)))
    found = {name: spread([run[name] for run in runs]) for name in runs[0]}
    for name, value in found.items():
        say(f"{name}: {value['least']:.1f} µs, median {value['median']:.1f}")
    return {"stages": found}


def page(found: dict[str, Any]) -> list[str]:
    """Return the lines for the page."""
    return [
        "Microseconds of CPU for a program that starts and ends, behind the sensor: its two events, by stage.",
        "",
        "| stage | least | median |",
        "|---|---:|---:|",
        *(f"| {name} | {one['least']:.1f} | {one['median']:.1f} |" for name, one in found["stages"].items()),
    ]
