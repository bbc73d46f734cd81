"""The last hours of the log, for a start that goes on where the one before stopped."""

import contextlib
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import msgspec

from replguard.events.alert import Alert
from replguard.events.event import Event
from replguard.log import names, reader
from replguard.log.reader import Record

Told = tuple[str, datetime, str]
ALERT = b'"kind":"alert"'
MOST = 256 * 2**20
"""Bytes of the log that are read: some seconds, which a start may take. The newest of them."""
PACKED = 10
"""Times that a compressed segment is smaller than what it holds, about."""


def recent(
    folder: Path, since: datetime, most: int = MOST, passed_over: Callable[[int], None] | None = None
) -> Iterator[Event]:
    """Yield the recorded events from a time on, as far as they are readable: what is damaged, `verify` tells.

    ``passed_over`` is told how many segments of that time are not read, because all of them would be too much.
    """
    newest, older = _newest(folder, since, most)
    if older and passed_over is not None:
        passed_over(older)
    for path in newest:
        for event in reader.events([path]):
            if isinstance(event, Event) and event.timestamp >= since:
                yield event


def as_told(alert: Alert) -> Told:
    """Return what an alert is told from others by, and from itself at another time."""
    return alert.event.id, alert.timestamp, alert.replguard.state


def told(folder: Path, since: datetime) -> set[Told]:
    """Return the alerts that the evidence holds from a time on: what was told, whatever became of who told it."""
    found: set[Told] = set()
    for path in _newest(folder, since, MOST, "evidence")[0]:
        for record in reader.records([path]):
            if isinstance(record, Record) and ALERT in record.data:
                with contextlib.suppress(ValueError):
                    found.add(as_told(msgspec.json.decode(record.data, type=Alert)))
    return found


def _newest(folder: Path, since: datetime, most: int, stream: str = "raw") -> tuple[list[Path], int]:
    """Return the newest segments in their order, those written to since then and no more than ``most`` bytes of them.

    And how many more were written to since then.
    """
    found: list[Path] = []
    older = 0
    try:
        for segment in reversed(names.one_of_each(names.segments(folder, stream))):
            about = segment.path.stat()
            if about.st_mtime < since.timestamp():
                break
            most -= about.st_size * (PACKED if segment.packed else 1)
            if most < 0:
                older += 1
            else:
                found.insert(0, segment.path)
    except OSError:
        pass  # no folder before the first start; a segment that was packed or pruned a moment ago
    return found, older
