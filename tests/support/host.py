"""A folder of fake files that is a host to the parsers of /proc, and real processes and sensors that end in time."""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from replguard.events.event import Event
from replguard.sensors.base import Sensor
from replguard.sensors.runner import Runner

PATIENCE = 10.0
"""Seconds that something may take to be seen on a busy machine."""


class FakeHost:
    """Files as the kernel would show them below /proc, in a temporary folder. ``root`` stands for /proc."""

    def __init__(self, folder: Path) -> None:
        self.root = str(folder)
        self.write("sys/kernel/random/boot_id", b"5b6c2f2e-0000-4000-8000-000000000000\n")

    def write(self, path: str, data: bytes) -> None:
        """Write one file."""
        target = Path(self.root, path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)

    def process(
        self, pid: int, comm: bytes = b"fake", *, ppid: int = 1, start: int = 100, args: list[bytes] | None = None
    ) -> None:
        """Start a process, or put another in the place of one; it is the last pid that was given out."""
        stat = b"%d (%s) S %d %d %d 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 %d 1000000 0" % (pid, comm, ppid, pid, pid, start)
        self.write(f"{pid}/stat", stat)
        self.write(f"{pid}/status", b"Tgid:\t%d\nUid:\t1000\t1001\t1001\t1001\nNSpid:\t%d\t1\n" % (pid, pid))
        self.write(f"{pid}/cmdline", b"".join(arg + b"\0" for arg in (args or [comm])))
        self.write("loadavg", b"0.00 0.00 0.00 1/100 %d\n" % pid)

    def end(self, pid: int) -> None:
        """End a process."""
        shutil.rmtree(Path(self.root, str(pid)))


@contextlib.contextmanager
def python(code: str, *args: str) -> Iterator[Any]:
    """Run Python code as a process with pipes for text; leaving closes its input, then ends it if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(os.fsencode, args)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def until(found: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """Ask until the answer is true, and return it; the last answer when time is up."""
    end = time.monotonic() + seconds
    while not (answer := found()) and time.monotonic() < end:
        time.sleep(0.005)
    return answer


class Told(list[Event]):
    """The events of sensors that run, and what runs them."""

    runner: Runner


@contextlib.contextmanager
def running(*sensors: Sensor) -> Iterator[Told]:
    """Run sensors on the real host and collect their events; what the block does comes after their first look."""
    events = Told()
    runner = events.runner = Runner(sensors, events.append)
    runner.start()
    try:
        assert runner.ready(PATIENCE)
        yield events
    finally:
        runner.stop()


def one(
    events: list[Event], action: str, fits: Callable[[Any], object] = lambda _: True, seconds: float = PATIENCE
) -> Any:
    """Wait for an event of a kind that fits, and return it."""

    def found() -> Event | None:
        return next((event for event in list(events) if event.action == action and fits(event)), None)

    event = until(found, seconds)
    assert event is not None, f"no such {action}; there were {[e for e in events if e.action == action][-5:]}"
    return event
