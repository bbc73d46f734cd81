"""The machine that is measured on: what it is, how busy it was, and the load."""

import contextlib
import os
import platform
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RESULTS = ROOT / "var" / "bench"
TICK = os.sysconf("SC_CLK_TCK")
Say = Callable[[str], None]


class Lacking(Exception):  # noqa: N818 - what a part says when it cannot be measured here
    """A sentence that says what this machine lacks for a part."""


def need(*programs: str) -> None:
    """Raise Lacking for a program that is not installed, or without root."""
    if os.geteuid() != 0:
        raise Lacking("needs root")
    for program in programs:
        if shutil.which(program) is None:
            raise Lacking(f"{program} is not installed")


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    models = [line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    memory = next((line.split()[1] for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), "0")
    return {
        "kernel": platform.release(),
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(int(memory) / 2**20, 1),
        "python": platform.python_version(),
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def idle() -> float:
    """Return the seconds that all cores together were idle, waited for a disk or were taken by other machines."""
    fields = list(map(int, _lines("/proc/stat")[0].split()[1:]))
    return (fields[3] + fields[4] + fields[7]) / TICK


@contextmanager
def busy() -> Iterator[list[float]]:
    """Measure the seconds that all cores together are busy while the block runs; the list holds them afterwards."""
    found: list[float] = []
    began, before = time.monotonic(), idle()
    yield found
    found.append((time.monotonic() - began) * (os.cpu_count() or 1) - (idle() - before))


def cpu_of(pids: list[int]) -> float:
    """Return the CPU seconds that processes have used, their ended children left out."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICK


def pss_of(pids: list[int]) -> float:
    """Return the MiB of memory of processes, shared pages by share; what has ended has none."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            found = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
            total += int(found[1]) if found else 0
    return total / 1024


def commit(folder: Path = ROOT, short: str = "--short") -> str:
    """Return which commit of a clone is there, empty where that is not known."""
    words = ["git", "-C", str(folder), "rev-parse", short, "HEAD"]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()


def below(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    found = [pid]
    for here in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{here}/task").glob("*/children"):
                found += map(int, task.read_text().split())
    return found


def held_by(pids: list[int]) -> tuple[int, int]:
    """Return how many descriptors and threads processes have."""
    descriptors, threads = 0, 0
    for pid in pids:
        with contextlib.suppress(OSError):
            descriptors += len([*Path(f"/proc/{pid}/fd").iterdir()])
            threads += len([*Path(f"/proc/{pid}/task").iterdir()])
    return descriptors, threads


@dataclass(frozen=True)
class Loaded:
    """What the load did: programs started, seconds, CPU seconds of its own and of the programs."""

    started: int
    seconds: float
    cpu: float

    @property
    def rate(self) -> float:
        """Programs a second."""
        return self.started / self.seconds


class Load:
    """The load generator, built anew in a folder. Raises Lacking without a compiler."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("gcc") is None:
            raise Lacking("gcc is not installed")
        self._program = folder / "load"
        subprocess.run(["gcc", "-O2", "-Wall", "-o", self._program, HERE / "load.c"], check=True)

    def run(self, rate: float, seconds: float, prefix: str) -> Loaded:
        """Run programs at a rate (0: as fast as possible); each has the argument ``PREFIX-NUMBER``."""
        done = subprocess.run(
            [self._program, str(rate), str(seconds), prefix], check=True, capture_output=True, text=True
        )
        started, took, cpu = done.stdout.split()
        return Loaded(int(started), float(took), float(cpu))


@contextmanager
def folder() -> Iterator[Path]:
    """Give a folder for large files, on the disk of the checkout or where TMPDIR says."""
    with tempfile.TemporaryDirectory(prefix="replguard-bench-", dir=os.environ.get("TMPDIR", "/var/tmp")) as made:
        yield Path(made)


def spread(values: list[float]) -> dict[str, float]:
    """Return median, least and most."""
    return {"median": statistics.median(values), "least": min(values), "most": max(values), "runs": len(values)}


def quantiles(values: list[float]) -> dict[str, float]:
    """Return the median and the 99th percentile (nearest rank) of times."""
    ordered = sorted(values)
    return {
        "p50": ordered[len(ordered) // 2],
        "p99": ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))],
        "most": ordered[-1],
        "count": len(ordered),
    }
