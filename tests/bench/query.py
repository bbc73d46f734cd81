"""What asking the log costs: a day of a busy host is read once, and then asked, each time by a process of its own.

The records are written by the writer itself, as the daemon does; a long log repeats them under other ids and days.
"""

import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import zstandard
from bench.host import ROOT, Say, spread
from bench.rules import BOOT, told
from msgspec.structs import replace
from support import logs
from support.story import START

from replguard.alerts.manager import Manager
from replguard.config import Config, Stream
from replguard.detector import Detector
from replguard.events.event import Event
from replguard.log import names, reader
from replguard.rules.load import load

TOLD = 1_000_000
"""Records that are made one by one, which takes a minute or two; more of them are these again."""
QUICKER = 12
"""The told host is a quiet one: its time runs so much faster."""
VIEWS = "records processes files network weights alerts instances".split()


def written(folder: Path, count: int) -> Counter[str]:
    """Write a log of so many records in both streams; return how many records name each actor."""
    detector = Detector(load([]), Manager(Config(), None))
    raw, evidence = (logs.writer(folder / "log", folder / "state", each, Stream()) for each in ("raw", "evidence"))
    acts: Counter[str] = Counter()
    tick = START
    for event in _quicker(told(2 * count)):
        raw.write(event, event.timestamp)
        if event.event.kind == "enrichment":
            evidence.write(event, event.timestamp)
        for alert in detector.feed(event):
            evidence.write(alert, event.timestamp)
        if event.replguard is not None and event.replguard.actor is not None:
            acts[event.replguard.actor.id] += 1
        if (event.timestamp - tick).total_seconds() >= 1:
            tick = event.timestamp
            raw.tick(tick)
            evidence.tick(tick)
        if raw.written + evidence.written >= count:
            break
    for each in (raw, evidence):
        each.close(600, tick)
    return acts


def _quicker(events: Iterator[Event]) -> Iterator[Event]:
    """Yield the events of a host whose time runs faster; ticks of the clock stay a second apart."""
    ticks = 0
    for event in events:
        if event.health is not None and event.health.state == "tick":
            ticks += 1
            if ticks % QUICKER:
                continue
        yield replace(event, timestamp=_at(event.timestamp))


def _at(when: datetime) -> datetime:
    return START + (when - START) / QUICKER


def repeated(log: Path, times: int) -> None:
    """Add the records of a log to it so many times, with other ids and a day later each time. Its chain ends there."""
    for stream in ("raw", "evidence"):
        found = names.one_of_each(names.segments(log, stream))
        number = found[-1].number
        for turn in range(1, times + 1):
            for segment in found:
                number += 1
                _again(segment.path, log / (names.name(stream, number) + names.ZSTD), turn)


def _again(path: Path, target: Path, turn: int) -> None:
    lines = (line or b"" for some in reader.lines(path) if isinstance(some, tuple) for line in some[1])
    data = b"\n".join(lines) + b"\n"
    data = data.replace(f'"{BOOT[:8]}-'.encode(), f'"{BOOT[:6]}{turn:02d}-'.encode())
    data = data.replace(b'"@timestamp":"2026-01-01T', f'"@timestamp":"2026-01-{turn + 1:02d}T'.encode())
    target.write_bytes(zstandard.ZstdCompressor(level=3).compress(data))


def asked(folder: Path, *words: str) -> float:
    """Return the seconds that a question takes, with the start of the process and all that it prints."""
    command = [
        sys.executable,
        "-m",
        "replguard",
        "query",
        "--log",
        f"{folder}/log",
        "--cache",
        f"{folder}/cache",
        *words,
    ]
    began = time.monotonic()
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    took = time.monotonic() - began
    if ended.returncode:
        raise RuntimeError(ended.stderr.decode())
    return took


def run(say: Say, *, short: bool) -> dict[str, Any]:
    """Return the records, their bytes, the seconds of the first question, and those of each other one."""
    count, times = (200_000, 0) if short else (TOLD, 9)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        acts = written(folder, count)
        repeated(folder / "log", times)
        packed = _size(folder / "log")
        found: dict[str, Any] = {"records": count * (times + 1), "packed": packed, "plain": _plain(folder / "log")}
        found["first"] = asked(folder, "SELECT 1")
        found["cache"] = _size(folder / "cache")
        say(f"first question {found['first']:.0f} s, cache {found['cache'] / packed:.2f} of the log")
        agent = next((who for who, _ in acts.most_common() if "#" in who and not who.startswith("session:")), "x#x")
        found["asked"] = {}
        for name, words in _questions(acts.most_common(1)[0][0], agent):
            found["asked"][name] = spread([asked(folder, *words) for _ in range(3)])
            say(f"{name}: {found['asked'][name]['median']:.2f} s")
    return found


def _questions(actor: str, other: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    yield "everything that an actor did", ("--actor", actor)
    yield "everything that another one did", ("--actor", other)
    yield "everything that a process did", ("--actor", "104")
    yield "a file", ("--artefact", "/tmp/worker0.bin")
    yield "a text", ("--text", "backup123")
    yield "a rule", ("--rule", "weights-*")
    yield "an hour", ("--since", "2026-01-01T01:00", "--until", "2026-01-01T02:00")
    for view in VIEWS:
        yield f"count `{view}`", (f"SELECT count(*) FROM {view}",)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _plain(folder: Path) -> int:
    """Return the bytes of a log that is not compressed."""
    found = (some for path in folder.iterdir() for some in reader.lines(path))
    return sum(len(line or b"") + 1 for some in found if isinstance(some, tuple) for line in some[1])


def page(found: dict[str, Any]) -> list[str]:
    """Return the lines for the page."""
    records = found["records"]
    return [
        (
            f"A log of {records:,} records, {found['plain'] / records:.0f} bytes each, {found['packed'] / records:.0f}"
            f" compressed. The first question, which reads all of it, takes {found['first']:.0f} s; the cache is"
            f" {found['cache'] / found['packed']:.1f} times the compressed log. Each other question, the start of the"
            " process and all output included, the median of three:"
        ),
        "",
        "| question | seconds |",
        "|---|---:|",
        *(f"| {name} | {took['median']:.1f} |" for name, took in found["asked"].items()),
    ]
