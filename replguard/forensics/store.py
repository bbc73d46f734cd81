"""The segments of a log in columns: one Parquet file each, made once and kept in a cache folder that is only ours.

It is there to be quick. No proof rests on it: `verify` reads the segments themselves.
"""

import contextlib
import fcntl
import hashlib
import os
import signal
import stat
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from replguard.errors import ReplguardError
from replguard.forensics.views import structure, taken
from replguard.log import names, reader
from replguard.log.names import Segment
from replguard.log.reader import Fault, Record

STREAMS = ("raw", "evidence")
FORM = 2
"""Counts up with what a file holds: one of another form is made anew."""
WORKERS = 8
"""Processes at most, of some 300 MiB each."""
SMALL = 4 * 2**20
"""Bytes of a log for which further processes take longer to start than they save."""


_FORMAT = (
    "FORMAT parquet, PARQUET_VERSION v2, COMPRESSION zstd, COMPRESSION_LEVEL 1, ROW_GROUP_SIZE 16384,"
    " USE_TMP_FILE false"
)
"""Row groups are what is read of a column where one of its values is asked for."""

_NONE = "coalesce(r.event.action, r.event.kind) IS NULL"
"""SQL: whether what was taken apart is no record."""


@dataclass(frozen=True, slots=True)
class Part:
    """One segment. ``file`` holds it in columns; ``size`` are the bytes of the segment itself."""

    stream: str
    segment: Segment
    file: Path
    size: int

    @property
    def made(self) -> bool:
        """Whether the file is there."""
        return self.file.exists()


class Store:
    """The cache of one log. While it is open nobody else removes what is in it. Raises ReplguardError."""

    def __init__(self, log: Path, cache: Path) -> None:
        self._log = log
        self._folder = _own(cache, _short(os.fsencode(log.resolve())))
        self._lock = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(self._lock, fcntl.LOCK_SH)

    def close(self) -> None:
        """Let others remove what has had its day."""
        os.close(self._lock)

    def parts(self) -> list[Part]:
        """Return the segments of both streams in order. Raises ReplguardError where there are none."""
        try:
            found = [
                part
                for stream in STREAMS
                for segment in names.one_of_each(names.segments(self._log, stream))
                if (part := self._part(stream, segment)) is not None
            ]
        except OSError as error:
            told = f"{self._log} cannot be read: {error.strerror}. Ask as root, or name the folder of a log by --log"
            raise ReplguardError(told) from error
        if not found:
            raise ReplguardError(f"{self._log} holds no segment of a log: name the folder of one by --log")
        return found

    def _part(self, stream: str, segment: Segment) -> Part | None:
        segment = names.there(segment)
        try:
            about = segment.path.stat()
        except FileNotFoundError:
            return None  # removed by the limits a moment ago
        import duckdb

        known = (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)
        key = _short(repr((FORM, duckdb.__version__, structure(), taken(), segment.path.name, known)).encode())
        return Part(stream, segment, self._folder / f"{stream}-{segment.number:06d}-{key}.parquet", about.st_size)

    def make(self, parts: list[Part]) -> Iterator[Part]:
        """Make the files that are not there yet, and yield each when it is."""
        missing = [part for part in parts if not part.made]
        workers = min(len(os.sched_getaffinity(0)), len(missing), WORKERS)
        if workers < 2 or sum(part.size for part in missing) < SMALL:
            for part in missing:
                yield made(part)
            return
        pool = ProcessPoolExecutor(workers, get_context("forkserver"), signal.signal, (signal.SIGINT, signal.SIG_IGN))
        try:
            yield from pool.map(made, missing)
        except BrokenProcessPool as error:
            raise ReplguardError("a process that reads the log was killed, perhaps for want of memory") from error
        finally:
            pool.shutdown(cancel_futures=True)

    def prune(self, parts: list[Part]) -> None:
        """Remove what is of no segment any more, unless somebody else is asking just now."""
        kept = {part.file for part in parts}
        with contextlib.suppress(OSError):
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for path in self._folder.iterdir():
                if path not in kept:
                    path.unlink(missing_ok=True)
        fcntl.flock(self._lock, fcntl.LOCK_SH)


def missing(parts: list[Part]) -> list[str]:
    """Return a sentence for each gap in the numbers of the segments."""
    pairs = (pair for pair in pairwise(parts) if pair[0].stream == pair[1].stream)
    return [
        f"{after.stream} segments {before.segment.number + 1} to {after.segment.number - 1} are missing"
        if after.segment.number > before.segment.number + 2
        else f"{after.stream} segment {after.segment.number - 1} is missing"
        for before, after in pairs
        if after.segment.number > before.segment.number + 1
    ]


def default() -> Path:
    """Return the cache folder of this user. Raises ReplguardError where there is none."""
    try:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError as error:
        raise ReplguardError("there is no home folder to keep a cache in: name a folder by --cache") from error
    return home / "replguard"


def _own(cache: Path, name: str) -> Path:
    """Return the folder of a log in the cache, made if need be: nobody but us and root may write there or above."""
    try:
        folder = cache.resolve() / name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in (folder, *folder.parents):
            about = path.lstat()
            writable = about.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not about.st_mode & stat.S_ISVTX
            if about.st_uid not in (0, os.geteuid()) or writable:
                raise ReplguardError(
                    f"others may write to {path}, and what is kept in {folder} could be theirs: name another folder"
                    " by --cache, one that only you can write to"
                )
    except OSError as error:
        raise ReplguardError(f"{cache} cannot hold the cache: {error.strerror}. Name another by --cache.") from error
    return folder


def made(part: Part) -> Part:
    """Make the file of a segment, whole or not at all; none where the segment is gone by now. Raises ReplguardError."""
    import duckdb

    source = names.there(part.segment).path
    if not source.exists():
        return part
    draft = part.file.with_name(f".{part.file.name}.{os.getpid()}")
    options: dict[str, str | bool | int | float | list[str]] = {
        "threads": 1,
        "temp_directory": "",
        "python_enable_replacements": False,
    }
    try:
        os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        with duckdb.connect(":memory:", config=options) as base:
            base.register("lines", _lines(source))
            base.execute(f"COPY ({_taken_apart(part)}) TO {literal(draft)} ({_FORMAT})")
        draft.replace(part.file)
    except OSError as error:
        raise ReplguardError(f"{part.file}: {error.strerror or error}") from error
    except duckdb.Error as error:
        raise ReplguardError(f"{part.file} cannot be made: {error}") from error
    finally:
        draft.unlink(missing_ok=True)
    return part


def _taken_apart(part: Part) -> str:
    """Return the SELECT that takes ``lines`` apart into columns."""
    return f"""
        SELECT {literal(part.stream)} AS stream, {part.segment.number} AS segment, line::INTEGER AS line, {taken()},
            if({_NONE}, NULL, data) AS record, if({_NONE}, coalesce(fault, 'it is no record'), NULL) AS fault,
            hash(data) AS digest
        FROM (SELECT line, data, fault, TRY(from_json(data, {literal(structure())})) AS r FROM lines)"""


def _lines(source: Path) -> dict[str, Any]:
    """Return the lines of a segment as columns: the number of each, and its record or what is wrong with it."""
    import numpy as np

    lines: list[int] = []
    data: list[str | None] = []
    faults: list[str | None] = []
    for found in reader.records([source]):
        text, fault = _text(found)
        lines.append(found.line)
        data.append(text)
        faults.append(fault)
    return {"line": np.array(lines, int), "data": np.array(data, object), "fault": np.array(faults, object)}


def _text(found: Record | Fault) -> tuple[str | None, str | None]:
    """Return a record as text, or what is wrong with it."""
    if isinstance(found, Fault):
        return None, found.text
    try:
        return found.data.decode(), None
    except UnicodeDecodeError as error:
        return None, f"it is no text: {error.reason}"


def literal(text: object) -> str:
    """Return a text as SQL writes it."""
    return "'" + str(text).replace("'", "''") + "'"


def quoted(name: str) -> str:
    """Return a name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def _short(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
