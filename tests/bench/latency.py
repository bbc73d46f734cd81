"""Latency: from an exec to its record in the log, and from the end of a copy to the alert on disk."""

import json
import os
import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.host import Say, folder, quantiles
from bench.watching import Guard, guard

from replguard.drill import dummy

LOOK = 0.002
"""Seconds between looks at a file: what the figures are exact to."""
PATIENCE = 10.0
BLOCK = 2**20


class Tail:
    """Waits for words in what is appended to the newest of some files."""

    def __init__(self, newest: Callable[[], Path | None]) -> None:
        self._newest = newest
        self._path: Path | None = None
        self._at = 0
        self._rest = b""
        path = newest()
        if path is not None:
            self._path, self._at = path, path.stat().st_size

    def wait(self, *words: bytes) -> float | None:
        """Return the time (monotonic) at which a line with all the words was there; None if it did not come."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for line in self._lines():
                if all(word in line for word in words):
                    return time.monotonic()
            time.sleep(LOOK)
        return None

    def _lines(self) -> list[bytes]:
        path = self._newest()
        if path is None:
            return []
        if path != self._path:
            self._path, self._at, self._rest = path, 0, b""
        with path.open("rb") as file:
            file.seek(self._at)
            data = file.read()
        self._at += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        return lines


def run(say: Say, *, short: bool) -> dict[str, Any]:
    """Measure execs, whole copies and one slow copy."""
    execs, copies, slow = (100, 10, 1) if short else (1000, 100, 8)
    with folder() as place:
        model = place / "models" / "m"
        (weights,) = dummy.write_model(model, tensors=64)
        weights.rename(weights.with_name("model.safetensors"))
        settings = {"weights": {"paths": [str(model)]}, "alerts": {"fold": "1s", "max_per_hour": 100_000}}
        with guard(**settings) as daemon:
            found = {"exec": _execs(daemon, execs)}
            say(f"exec to log: {_told(found['exec'])}")
            found["copy"] = _copies(daemon, weights, place, copies)
            say(f"copy to alert: {_told(found['copy'])}")
        large = place / "models" / "large"
        dummy.write_model(large, tensors=256 * slow)
        with guard(weights={"paths": [str(large)]}) as daemon:
            time.sleep(2)
            found["slow"] = _slow(daemon, large / "model.safetensors", place / "slow.bin", say)
    return found


def _told(times: dict[str, float]) -> str:
    return f"p50 {times['p50'] * 1000:.0f} ms, p99 {times['p99'] * 1000:.0f} ms, {times['missed']} missed"


def _execs(daemon: Guard, count: int) -> dict[str, float]:
    tail = Tail(lambda: max(daemon.log.glob("raw-*.jsonl"), default=None))
    times, missed = [], 0
    for number in range(count):
        time.sleep(random.uniform(0.005, 0.04))
        began = time.monotonic()
        subprocess.run(["/bin/true", f"latency-{number}."], check=True)
        when = tail.wait(b'"process_exec"', f"latency-{number}.".encode())
        missed += when is None
        if when is not None:
            times.append(when - began)
    return quantiles(times) | {"missed": missed}


def _copies(daemon: Guard, weights: Path, place: Path, count: int) -> dict[str, float]:
    tail = Tail(lambda: daemon.alerts if daemon.alerts.exists() else None)
    times, missed = [], 0
    for number in range(count):
        target = place / f"copy-{number}.bin"
        with weights.open("rb") as source, target.open("wb") as copy:
            while os.sendfile(copy.fileno(), source.fileno(), None, BLOCK):
                pass
        ended = time.monotonic()
        when = tail.wait(f"/copy-{number}.bin".encode())
        missed += when is None
        if when is not None:
            times.append(max(0.0, when - ended))
        target.unlink()
        time.sleep(1.2)
    return quantiles(times or [0.0]) | {"missed": missed}


def _slow(daemon: Guard, weights: Path, target: Path, say: Say) -> dict[str, Any]:
    """Copy at 100 MB/s and note how much was written when the evidence first tells of it."""
    size, told = weights.stat().st_size, None
    tail = Tail(lambda: max(daemon.log.glob("evidence-*.jsonl"), default=None))
    began = time.monotonic()
    written = 0
    with weights.open("rb") as source, target.open("wb") as copy:
        while told is None and (block := source.read(BLOCK)):
            copy.write(block)
            copy.flush()
            written += len(block)
            time.sleep(max(0.0, began + written / 100e6 - time.monotonic()))
            for line in tail._lines():
                record = json.loads(line)
                about = record.get("event", {})  # the first line is the header
                if about.get("action") == "weights_copy" and record["file"]["path"] == str(target):
                    told = {"percent": 100 * written / size}
    target.unlink()
    say(f"slow copy of {size / 2**30:.1f} GiB: {told}")
    return {"size": size} | (told or {"percent": None})


def page(found: dict[str, Any]) -> list[str]:
    """Return the lines for the page."""
    lines = ["| from | to | p50 | p99 | most | measured | missed |", "|---|---|---:|---:|---:|---:|---:|"]
    for key, start, end in (
        ("exec", "the start of a program", "its record in the raw log"),
        ("copy", "the end of a 256 MiB copy", "the alert on disk"),
    ):
        times = found[key]
        cells = " | ".join(f"{times[one] * 1000:.0f} ms" for one in ("p50", "p99", "most"))
        lines.append(f"| {start} | {end} | {cells} | {times['count']} | {times['missed']} |")
    slow = found["slow"]
    share = "not told while it ran" if slow["percent"] is None else f"told at {slow['percent']:.1f} %"
    return [*lines, "", f"A copy of {slow['size'] / 2**30:.0f} GiB at 100 MB/s was {share}."]
