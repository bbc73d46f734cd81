"""What one exec costs behind the sensor: its event and that of its end, through every stage. Needs no root."""

import tempfile
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from bench.host import Say, spread
from replguard.pipeline import Pipeline

from replguard.alerts.manager import Manager
from replguard.config import Config, Stream
from replguard.detector import Detector
from replguard.events import wire
from replguard.events.event import Event, Meta
from replguard.events.fact import Context
from replguard.events.process import Parent, Process, User
from replguard.log.keys import Keys
from replguard.log.segments import Writer
from replguard.log.sequence import Sequencer
from replguard.provenance.authority import Authority
from replguard.provenance.baseline import Baseline
from replguard.provenance.endpoints import Endpoints
from replguard.provenance.manifest import Manifest
from replguard.provenance.provenance import Provenance
from replguard.rules import load
from replguard.sinks import Sinks

BOOT = "b" * 32
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


def pipeline(folder: Path) -> Pipeline:
    """Return a pipeline with the shipped rules and a log below ``folder``."""
    provenance = Provenance(
        own=(),
        authority=Authority(Manifest(), Baseline(None)),
        endpoints=Endpoints([]),
        by_inode=lambda _, __: None,
        files=list,
        examine=lambda _: None,
        watch=lambda _: None,
        index_ready=lambda: True,
    )
    writers = {
        name: Writer(
            folder,
            name,
            Stream(),
            keys=Keys(folder / f"{name}.key"),
            boot_id=BOOT,
            buffered=name == "raw",
            report=lambda _: None,
        )
        for name in ("raw", "evidence")
    }
    return Pipeline(
        provenance=provenance,
        detector=Detector(load.load([]), Manager(Config())),
        sequencer=Sequencer(BOOT, 1),
        sinks=Quiet(),
        **writers,
    )


def cost(step: Callable[[Any], object], given: Iterable[Any]) -> float:
    """Return the CPU seconds of a step over everything given."""
    began = time.thread_time()
    for one in given:
        step(one)
    return time.thread_time() - began


def once(count: int, folder: Path) -> dict[str, float]:
    """Return the microseconds of CPU that each stage takes for one exec."""
    events, pipe = lives(count), pipeline(folder)
    found: dict[str, float] = {}
    ordered: list[Event] = []

    queue = pipe._order
    began = time.thread_time()
    for event in events:
        pipe.put(event)
        pipe._carry(pipe._queue.get())
    ordered.extend(queue.rest())
    found["queue and order"] = time.thread_time() - began
    enriched: list[Event] = []
    found["provenance"] = cost(lambda event: enriched.extend(pipe.provenance.feed(event)), ordered)
    stamped: list[Event] = []
    found["numbers"] = cost(lambda event: stamped.append(pipe.sequencer.stamp(event)), enriched)
    now = stamped[0].timestamp
    found["log: write"] = cost(lambda event: pipe.raw.write(event, now), stamped)
    found["log: of it encode"] = cost(wire.encode, stamped)
    found["rules and alerts"] = cost(pipe.detector.feed, stamped)
    whole = pipeline(folder / "whole")
    found["observe, all in one"] = cost(whole.observe, ordered)
    found["total"] = found["queue and order"] + found["observe, all in one"]
    for writer in (pipe.raw, pipe.evidence, whole.raw, whole.evidence):
        writer.close()
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
