"""Logs of several segments, written by the writer itself."""

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from replguard.config import Stream
from replguard.events.event import Event, Meta
from replguard.events.file import File
from replguard.events.health import Health
from replguard.events.host import Host
from replguard.forensics import trust, verify
from replguard.forensics.verify import Found
from replguard.log import names, reader
from replguard.log.keys import Keys
from replguard.log.segments import Writer

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SMALL = Stream(max_size=16 * 4096)
"""Limits with which a segment holds 4 KiB."""


def writer(
    folder: Path,
    state: Path,
    stream: str = "raw",
    limits: Stream = SMALL,
    boot: str = "boot",
    report: Callable[[Health], object] = lambda _: None,
) -> Writer:
    """Return a writer of a log, with its keys in another folder."""
    keys = Keys(state / f"log-{stream}.key")
    return Writer(
        folder,
        stream,
        limits,
        keys=keys,
        boot_id=boot,
        buffered=True,
        report=lambda health: report(health) and None,
        host=Host(name="gpu1"),
    )


def event(number: int, path: str = "") -> Event:
    """Return a small event."""
    return Event(
        timestamp=NOW + timedelta(milliseconds=100 * number),
        event=Meta(action="file_create", id=f"b-{number}", sequence=number),
        file=File(path=path or f"/srv/data/file-{number}"),
    )


def fill(to: Writer, numbers: range, block: int = 5) -> None:
    """Write events, and end a block after so many."""
    for number in numbers:
        to.write(event(number), NOW + timedelta(milliseconds=100 * number))
        if number % block == block - 1:
            to.tick(NOW + timedelta(milliseconds=100 * number))


def made(folder: Path, state: Path, stream: str = "raw", count: int = 120) -> Path:
    """Make a log of some segments, all but the last one compressed."""
    to = writer(folder, state, stream)
    fill(to, range(count))
    to.close(now=NOW)
    return folder


def plain(folder: Path) -> None:
    """Unpack every segment: what is changed in one is changed in its lines."""
    for path in sorted(folder.glob(f"*{names.ZSTD}")):
        lines = [line for found in reader.lines(path) if isinstance(found, tuple) for line in found[1]]
        path.with_name(path.name.removesuffix(names.ZSTD)).write_bytes(
            b"\n".join(line or b"" for line in lines) + b"\n"
        )
        path.unlink()


def found(folder: Path, stream: str = "raw", trust: tuple[str | trust.Checkpoint, ...] = ()) -> Found:
    """Return what is found of a stream."""
    *_, last = verify.stream(folder, stream, trust)
    assert isinstance(last, Found)
    return last


def copied(folder: Path, to: Path) -> Path:
    """Return a copy of a log."""
    shutil.copytree(folder, to)
    return to


def segments(folder: Path, stream: str = "raw") -> Iterator[Path]:
    """Yield the segments of a log in order."""
    yield from (segment.path for segment in names.segments(folder, stream))
