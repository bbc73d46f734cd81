"""A daemon whose parts a test can see and end: started as an operator does, with nothing outside its folder."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from support import whole

from replguard.log import reader

PATIENCE = 60.0


class Running:
    """A daemon that runs; ``folder`` holds all that is its own."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self.folder, self.process = folder, process

    def part(self, name: str) -> int:
        """Return the pid of a part that runs, 0 while there is none."""
        return whole.part(self.process.pid, name)

    def events(self) -> list[dict[str, Any]]:
        """Return what is in the raw log so far."""
        found = (r for r in reader.records([self.folder / "log"], "raw") if isinstance(r, reader.Record))
        return [msgspec.json.decode(record.data) for record in found]

    def health(self) -> list[tuple[str, str, str]]:
        """Return component, state and reason of what was said of ourselves so far."""
        told = (event["health"] for event in self.events() if event.get("health"))
        return [(each["component"], each["state"], each.get("reason", "")) for each in told]

    def says(self, component: str, state: str, reason: str = "") -> bool:
        """Whether that was said."""
        return any((c, s) == (component, state) and reason in r for c, s, r in self.health())

    def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts so far."""
        path = self.folder / "alerts.jsonl"
        lines = path.read_bytes().splitlines() if path.exists() else []
        return [msgspec.json.decode(line) for line in lines]

    def said(self) -> str:
        """Return what was printed."""
        return (self.folder / "said").read_text(errors="replace")

    def until(self, true: Callable[[], object], seconds: float = PATIENCE) -> None:
        """Wait for something; fail with what was said."""
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, self.said()[-3000:]
            time.sleep(0.05)


def configure(folder: Path, **given: Any) -> Path:
    """Write a configuration that touches nothing outside a folder, and return its path."""
    settings: dict[str, Any] = {
        "state_dir": f"{folder}/state",
        "weights": {"paths": [f"{folder}/models"], "discover": False},
        "agents": {"endpoints": []},
        "manifest": f"{folder}/manifest.yaml",
        "log": {"dir": f"{folder}/log"},
        "sinks": {"jsonl": {"path": f"{folder}/alerts.jsonl"}},
        "metrics": {"listen": ""},
        "sensors": {"file": "portable", "network": "portable", "gpu": "off"},
        "watch": {"paths": [str(folder)]},
    }
    path = folder / "replguard.yaml"
    path.write_bytes(msgspec.yaml.encode(settings | given))
    return path


@contextlib.contextmanager
def running(folder: Path, *words: str, **given: Any) -> Iterator[Running]:
    """Run a daemon until the block ends."""
    path = configure(folder, **given)
    with (folder / "said").open("wb") as said:
        command = [sys.executable, "-m", "replguard", "run", "-c", str(path), *words]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
    one = Running(folder, process)
    try:
        one.until(lambda: "\nready\n" in one.said())
        yield one
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(PATIENCE)
        finally:
            process.kill()


def gone(pid: int) -> bool:
    """Whether a process has ended, also one that nobody has waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def end(pid: int, number: int = signal.SIGKILL) -> None:
    """Send a signal to a part."""
    assert pid > 0
    os.kill(pid, number)
