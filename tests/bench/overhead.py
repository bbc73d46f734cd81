"""Overhead: what the host's own work loses while it is watched, each thing with and without, in turn."""

import contextlib
import json
import mmap
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tarfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from bench.host import HERE, Lacking, Say, folder, need, spread
from bench.watching import guard, nobody
from support.pagecache import forget

WITH, WITHOUT = "with", "without"
BACKED = 6 * 2**30
"""Bytes of memory that no work needs more of."""
SERVER = HERE / "server.py"


def run(say: Say, *, short: bool) -> dict[str, Any]:
    """Measure every kind of work; one that cannot run here says why and is left out."""
    repeats = 2 if short else 5
    found: dict[str, Any] = {"repeats": repeats}
    with folder() as place:
        for name, make in _WORK.items():
            try:
                work = make(place, short)
                found[name] = _compare(name, work, repeats, say)
            except Lacking as lack:
                found[name] = {"lacking": str(lack)}
                say(f"{name}: {lack}")
        try:
            found["umount"] = _umounts(place, repeats, say)
        except Lacking as lack:
            found["umount"] = {"lacking": str(lack)}
    return found


Work = Callable[[], tuple[float, float]]
"""Does some work; returns how much, and in how many seconds."""


def _compare(name: str, work: Work, repeats: int, say: Say) -> dict[str, Any]:
    """Return how fast work goes (more is better) with and without, and the ratio of the medians.

    Beside it how much is done in a second of its programs' own CPU time: disks and neighbours are not in that.
    """
    speed: dict[str, list[float]] = {WITH: [], WITHOUT: []}
    thrift: dict[str, list[float]] = {WITH: [], WITHOUT: []}
    dropped: dict[str, float] = {}
    work()
    for repeat in range(repeats):
        for which in (WITH, WITHOUT) if repeat % 2 else (WITHOUT, WITH):
            with guard() if which == WITH else nobody() as daemon:
                _back_memory()
                before = _used()
                done, took = work()
                speed[which].append(done / took)
                thrift[which].append(done / (_used() - before))
                if daemon is not None:
                    daemon.settled()
                    for key, count in daemon.dropped().items():
                        dropped[key] = dropped.get(key, 0) + count
            say(f"{name} {which}: {speed[which][-1]:.4g}, {thrift[which][-1]:.4g} for each second of CPU")
    made = {which: spread(values) for which, values in speed.items()}
    ratios = {"ratio": _ratio(speed), "cpu_ratio": _ratio(thrift)}
    return made | ratios | {"dropped": dropped}


def _ratio(values: dict[str, list[float]]) -> float:
    return statistics.median(values[WITH]) / statistics.median(values[WITHOUT])


def _used() -> float:
    """Return the CPU seconds of all programs that were started here and have ended."""
    times = os.times()
    return times.children_user + times.children_system


def _back_memory() -> None:
    """Touch as much memory as the work may need and give it back.

    A virtual machine's host takes free memory away within seconds and gives it again page by page: who works after a
    pause, as a daemon's start is, is half as fast (4 GiB of `cp`: 0.9 and 0.5 GB/s with nobody watching).
    """
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_POPULATE", 0)
    with mmap.mmap(-1, min(BACKED, free // 2), flags=flags):
        pass


def _copying(place: Path, short: bool) -> Work:
    size = 2**30 if short else 4 * 2**30
    source, target = place / "cp.from", place / "cp.to"
    _fill(source, size)

    def work() -> tuple[float, float]:
        target.unlink(missing_ok=True)
        os.sync()
        began = time.monotonic()
        subprocess.run(["cp", source, target], check=True)
        took = time.monotonic() - began
        forget(target)
        return size, took

    return work


def _reading(*, cached: bool) -> Callable[[Path, bool], Work]:
    def make(place: Path, short: bool) -> Work:
        need("fio")
        file = place / "fio"
        if not file.exists():
            _fill(file, 2**30)
        seconds = 4 if short else 15
        options = f"--rw=randread --bs=4k --direct=0 --ioengine=psync --runtime={seconds} --time_based --norandommap"
        command = ["fio", "--name=read", f"--filename={file}", *options.split(), f"--invalidate={int(not cached)}"]
        command += ["--output-format=json"]

        def work() -> tuple[float, float]:
            if cached:
                file.read_bytes()
            else:
                forget(file)
            done = subprocess.run(command, check=True, capture_output=True, cwd=place)
            return float(json.loads(done.stdout)["jobs"][0]["read"]["iops"]) * seconds, seconds

        return work

    return make


def _serving(place: Path, short: bool) -> Work:
    seconds = 5 if short else 20

    def work() -> tuple[float, float]:
        server = subprocess.Popen([sys.executable, SERVER], stdout=subprocess.PIPE, text=True, cwd=place)
        try:
            assert server.stdout is not None
            url = f"http://127.0.0.1:{server.stdout.readline().strip()}/"
            tokens, end = 0, time.monotonic() + seconds
            began = time.monotonic()
            while time.monotonic() < end:
                with urllib.request.urlopen(url, timeout=60) as answer:
                    tokens += int(answer.read())
            return tokens, time.monotonic() - began
        finally:
            server.kill()
            server.wait()

    return work


def _unpacking(place: Path, short: bool) -> Work:
    need("tar")
    count = 10_000 if short else 50_000
    archive, target = place / "small.tar", place / "small"
    with tarfile.open(archive, "w") as tar:
        for number in range(count):
            info = tarfile.TarInfo(f"{number // 1000}/file-{number}.txt")
            info.size = 1024
            tar.addfile(info, BytesIO(b"x" * 1024))

    def work() -> tuple[float, float]:
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        os.sync()
        began = time.monotonic()
        subprocess.run(["tar", "-xf", archive, "-C", target], check=True)
        return count, time.monotonic() - began

    return work


_WORK: dict[str, Callable[[Path, bool], Work]] = {
    "cp of large files, bytes/s": _copying,
    "random reads, not cached, 4 KiB/s": _reading(cached=False),
    "random reads, cached, 4 KiB/s": _reading(cached=True),
    "unpacking small files, files/s": _unpacking,
    "a model server on the CPU, tokens/s": _serving,
}


def _umounts(place: Path, repeats: int, say: Say) -> dict[str, Any]:
    """Return how long a mount whose files were just written takes to be unmounted, also while the daemon is stopped."""
    need("mkfs.ext4", "mount", "umount")
    image, where = place / "image", place / "mounted"
    where.mkdir()
    with image.open("wb") as file:
        file.truncate(256 * 2**20)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
    times: dict[str, list[float]] = {"running": [], "stopped": []}
    with guard(watch={"paths": [str(place)]}) as daemon:
        for state, values in times.items():
            for _ in range(repeats):
                with _mounted(image, where):
                    time.sleep(1)
                    if state == "stopped":
                        os.kill(daemon.pid, signal.SIGSTOP)
                    try:
                        for number in range(200):
                            (where / f"{state}-{number}").write_bytes(b"x" * 100_000)
                        began = time.monotonic()
                        subprocess.run(["umount", where], check=True)
                        values.append(time.monotonic() - began)
                    finally:
                        os.kill(daemon.pid, signal.SIGCONT)
            say(f"umount while the daemon is {state}: {max(values):.2f} s at most")
    return {state: spread(values) for state, values in times.items()}


@contextlib.contextmanager
def _mounted(image: Path, where: Path) -> Iterator[None]:
    if subprocess.run(["mount", "-o", "loop", image, where], capture_output=True, check=False).returncode:
        raise Lacking("loop devices cannot be mounted here")
    try:
        yield
    finally:
        while os.path.ismount(where):
            subprocess.run(["umount", "-l", where], check=True)


def _fill(path: Path, size: int) -> None:
    block = os.urandom(2**22)
    with path.open("wb") as file:
        for _ in range(size // len(block)):
            file.write(block)
        os.fsync(file.fileno())


def page(found: dict[str, Any]) -> list[str]:
    """Return the lines for the page."""
    lines = ["| work | without | with | ratio | ratio by its own CPU | lost |", "|---|---:|---:|---:|---:|---:|"]
    for name, row in found.items():
        if name in ("repeats", "umount"):
            continue
        if "lacking" in row:
            lines.append(f"| {name} | {row['lacking']} | | | | |")
            continue
        cells = [f"{row[which]['median']:,.0f} ({row[which]['least']:,.0f} to {row[which]['most']:,.0f})"
                 for which in (WITHOUT, WITH)]  # fmt: skip
        cells += [f"{row[ratio]:.3f}" for ratio in ("ratio", "cpu_ratio")]
        lines.append(f"| {name} | {' | '.join(cells)} | {sum(row['dropped'].values()):.0f} |")
    umount = found["umount"]
    told = umount.get("lacking") or ", ".join(
        f"{umount[state]['most']:.2f} s at most while the daemon is {state}" for state in ("running", "stopped")
    )
    return [
        (
            f"Median (least to most) of {found['repeats']} runs each, with and without in turn. Files are temporary;"
            " before a run their pages are written out and, for what is not cached, dropped, and nobody else's."
            " By its own CPU: the ratio of what is done in a second of CPU time of the work's own programs, in which"
            " disks and neighbours are not."
        ),
        "",
        *lines,
        "",
        f"Unmounting files that were just written: {told}.",
    ]
