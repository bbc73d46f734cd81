"""The fingerprint: how fast content is read and recognised, what the index takes, and whether strangers ever match."""

import os
import sys
import sysconfig
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from bench.host import Lacking, Say, folder, quantiles, spread
from support import pagecache, values

from replguard.drill.dummy import write_file
from replguard.weights import sampling, store
from replguard.weights.anchors import PIECE, REACH, Scheme, ceiling
from replguard.weights.building import Building
from replguard.weights.fingerprint import Target
from replguard.weights.index import Index, judged, sample, search
from replguard.weights.reading import Reader, Unreadable, open_regular

GB = 10**9
KEY = bytes(range(32))
SHARD = 320
"""Tensors of 4 MiB in one shard: 1.25 GiB."""
PLACES = (
    "/usr",
    "/lib",
    "/opt",
    "/home",
    "/root",
    "/var/lib",
    "/var/cache",
    sys.prefix,
    sysconfig.get_paths()["purelib"],
)
"""Where strangers come from: programs, libraries, packages, pictures, texts, whatever is installed here."""
SMALLEST = 64 * 2**10
Bytes = npt.NDArray[np.uint8]


def run(say: Say, *, short: bool) -> dict[str, Any]:
    """Make protected shards one after the other, keep the last two, and look for them and for strangers."""
    shards, strangers = (2, GB) if short else (8, 10 * GB)
    found: dict[str, Any] = {}
    with folder() as place:
        if os.statvfs(place).f_bavail * os.statvfs(place).f_frsize < 12 * GB:
            raise Lacking("less than 12 GB of disk are free")
        index, paths, built = Index(KEY), [], []
        for number in range(shards):
            path = place / f"shard{number}.safetensors"
            write_file(path, [f"layers.{n}" for n in range(SHARD)], np.random.default_rng(number))
            built.append(_index(index, path, number))
            paths.append(path)
            if len(paths) > 2:
                paths.pop(0).unlink()
        protected = sum(file.target.size for file in index)
        store.save(index, place / "index")
        taken = (place / "index").stat().st_size / 2**20 / (protected / 10**10)
        found |= {
            "protected": protected,
            "built": spread(built),
            "index": taken,
            "entries": sum(f.entries for f in index),
        }
        made = found["built"]["median"]
        say(f"{protected / GB:.1f} GB protected: {taken:.3f} MiB of index for 10 GB, read and made at {made:.2f} GB/s")
        found |= _speeds(say, index, paths[-1], 3 if short else 5)
        found |= _samples(say, index, paths, place / "copy", 10 if short else 60)
        found["strangers"] = _strangers(say, index, strangers)
    return found


def _index(index: Index, path: Path, number: int) -> float:
    """Take a shard in; return GB a second of reading it warm and making its fingerprint."""
    stat = path.stat()
    target = Target(str(path), "m", 1, number, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, "safetensors")
    began = time.thread_time()
    with open_regular(str(path)) as reader:
        making = Building(reader, target, index.scheme)
        for _ in making.pieces():
            pass
        index.add(making.done())
    return stat.st_size / GB / (time.thread_time() - began)


class Held(Reader):
    """A file that is held in memory: what is left is the work on its bytes."""

    def __init__(self, fd: int, data: Bytes) -> None:
        super().__init__(fd)
        self._data = data.data

    def into(self, view: memoryview, offset: int) -> int:
        piece = self._data[offset : offset + len(view)]
        view[: len(piece)] = piece
        return len(piece)


def _speeds(say: Say, index: Index, path: Path, repeats: int) -> dict[str, Any]:
    """Return GB a second of one core: in memory the search, the making, and stage by stage; from the page cache."""
    size = 2**30
    with path.open("rb") as file:
        data = np.frombuffer(file.read(size), np.uint8)
    stranger = np.random.default_rng(99).integers(0, 256, size, np.uint8)
    stat = path.stat()
    target = Target(str(path), "m", 2, 0, stat.st_size, 0, 0, "safetensors")

    def match(given: Bytes) -> None:
        sight = index.sight(len(given))
        for at in range(0, len(given), PIECE):
            sight.look(given[at : at + PIECE + REACH - 1])
        judged([index], [sight], len(given), whole=True)

    def find() -> None:
        for at in range(0, size, PIECE):
            index.scheme.find(data[at : at + PIECE + REACH - 1], ceiling(98304))

    def make() -> None:
        fd = os.open(path, os.O_RDONLY)
        with Held(fd, data) as reader:
            reader.size = size
            for _ in Building(reader, target, Scheme(KEY)).pieces():
                pass

    def read() -> None:
        with open_regular(str(path)) as reader:
            reader.size = min(size, reader.size)
            search([index], reader)

    path.read_bytes()
    steps: dict[str, Callable[[], None]] = {
        "match": lambda: match(data),
        "match of a stranger": lambda: match(stranger),
        "of it the anchors": find,
        "index": make,
        "read and match, warm": read,
    }
    # In turns, so that what else the machine does falls on all of them alike.
    for step in steps.values():
        step()
    rates: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(repeats):
        for name, step in steps.items():
            began = time.thread_time()
            step()
            rates[name].append(size / GB / (time.thread_time() - began))
    found = {name: spread(values) for name, values in rates.items()}
    for name, one in found.items():
        say(f"{name}: {one['median']:.2f} GB/s of CPU time, {one['least']:.2f} to {one['most']:.2f}")
    return {"speeds": found}


def _samples(say: Say, index: Index, paths: list[Path], copy: Path, repeats: int) -> dict[str, Any]:
    """Return milliseconds of one examination of a copy, warm and cold, and the pages that it left behind."""
    found: dict[str, Any] = {}
    data = paths[-1].read_bytes()
    copy.write_bytes(b"moved" + data)
    for name in ("warm", "cold"):
        times, left, hits = [], 0, []
        for _ in range(repeats):
            if name == "cold":
                pagecache.forget(copy)
            before = pagecache.cached(copy)
            began = time.monotonic()
            with open_regular(str(copy)) as reader:
                matches, _ = sample([index], reader)
            times.append((time.monotonic() - began) * 1000)
            left = max(left, abs(pagecache.cached(copy) - before))
            hits.append(matches[0].hits if matches else 0)
        found[name] = {**quantiles(times), "pages": left, "least_hits": min(hits)}
        one = found[name]
        say(f"sample {name}: {one['p50']:.1f} ms, p99 {one['p99']:.1f}, pages left {left}, hits ≥ {min(hits)}")
    copy.unlink()
    return {"samples": found}


def _strangers(say: Say, index: Index, most: int) -> dict[str, Any]:
    """Search all of other content and return how much it was by kind, and the most hits of any one file."""
    sizes: Counter[str] = Counter()
    worst, files = 0, 0
    for kind, size, pieces in chain(_made(most // 2), _installed(most)):
        sight = index.sight(size)
        for piece in pieces:
            sight.look(piece)
        sizes[kind] += size
        files += 1
        worst = max(worst, len(sight.found))
    total = sum(sizes.values())
    say(f"{total / GB:.1f} GB of strangers in {files} files: {worst} hits at the most")
    return {"bytes": dict(sizes), "total": total, "files": files, "most_hits": worst}


def _made(most: int) -> Iterator[tuple[str, int, Iterator[Bytes]]]:
    """Return other models: values of the same spread in every type, of 256 MiB each."""
    size = 2**28
    for number in range(max(1, most // size)):
        kind = list(values.NAMES)[number % 3]
        yield f"values, {kind}", size, _model(number, kind, size)


def _model(number: int, kind: str, size: int) -> Iterator[Bytes]:
    width = 4 if kind == "f32" else 2
    for part in range(size // PIECE):
        made = values.normal(PIECE // width + REACH, 10_000 + number * 1000 + part)
        yield np.frombuffer(values.stored(made, kind), np.uint8)[: PIECE + REACH - 1]


def _installed(most: int) -> Iterator[tuple[str, int, Iterator[Bytes]]]:
    """Return files of this machine, largest kinds first come as they lie; each once, by its ending."""
    seen: set[tuple[int, int]] = set()
    left = most
    for place in PLACES:
        for where, folders, names in os.walk(place):
            folders.sort()
            for name in sorted(names):
                path = Path(where, name)
                try:
                    stat = path.lstat()
                    key = stat.st_dev, stat.st_ino
                    if not path.is_file() or path.is_symlink() or stat.st_size < SMALLEST or key in seen or left <= 0:
                        continue
                    seen.add(key)
                    with open_regular(str(path)) as reader:
                        left -= reader.size
                        ending = ".so" if ".so" in path.suffixes else path.suffix[:8] or "no ending"
                        yield ending, reader.size, sampling.whole(reader, reader.extents())
                except (OSError, Unreadable):  # what cannot be read is no stranger to us
                    continue


def page(found: dict[str, Any]) -> list[str]:
    """Return the lines for the page."""
    speeds, samples, strangers = found["speeds"], found["samples"], found["strangers"]
    kinds = Counter(strangers["bytes"]).most_common(8)
    return [
        (
            f"{found['protected'] / GB:.1f} GB of bf16 values in shards of 1.25 GiB are protected. GB a second of"
            " one core's time, median (least to most); targets are match ≥ 1.5, index ≥ 1.3 in memory, read and match"
            " ≥ 1.3."
        ),
        "",
        "| step | GB/s |",
        "|---|---:|",
        *(
            f"| {name} | {one['median']:.2f} ({one['least']:.2f} to {one['most']:.2f}) |"
            for name, one in speeds.items()
        ),
        "",
        "| sample of 8 MiB | median | p99 | pages left in the cache | target |",
        "|---|---:|---:|---:|---:|",
        *(
            f"| {name} | {one['p50']:.1f} ms | {one['p99']:.1f} ms | {one['pages']} | {most} |"
            for name, most in (("warm", "15 ms"), ("cold", "60 ms"))
            for one in (samples[name],)
        ),
        "",
        (
            f"The index takes {found['index']:.3f} MiB for 10 GB on disk, casts to other types included (target: 0.85)."
            f" Of {strangers['total'] / GB:.1f} GB of strangers in {strangers['files']} files, none had more than"
            f" {strangers['most_hits']} hits; three make a match."
            f" They were {', '.join(f'{name} {size / GB:.1f} GB' for name, size in kinds)}, and others."
        ),
    ]
