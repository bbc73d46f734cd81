"""How the log of the run before ended: whether it was stopped, and since when nothing was seen."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from replguard.events import wire
from replguard.log import names, reader, walk
from replguard.log.reader import Record

DAEMON = b'"component":"daemon"'
WORDS = ("started", "ready", "stopped")


@dataclass(frozen=True, slots=True)
class Ending:
    """When the last record of a log was, and whether the daemon had said by then that it stops."""

    until: datetime
    boot_id: str
    stopped: bool

    def untold(self, now: datetime, boot_id: str) -> str | None:
        """Say for how long nothing was seen, and why; None for a run that was stopped."""
        if self.stopped:
            return None
        why = "and the host was started anew" if self.boot_id != boot_id else "as if it was killed"
        seconds = max(0.0, (now - self.until).total_seconds())
        since = f"{self.until:%Y-%m-%dT%H:%M:%SZ}"
        return f"the run before ended without being stopped, {why}: blind for {seconds:.0f} s, from {since} on"


def ending(folder: Path, knows: walk.Knows) -> Ending | None:
    """Return how the raw log in a folder ended, None where there is nothing of one.

    The daemon's last word is in its newest segment: at most what came after it is in another.
    """
    newest = walk.ours(folder, "raw", knows)
    header = reader.header([newest.path]) if newest is not None else None
    if newest is None or header is None:
        return None
    until: datetime | None = None
    word: str | None = None
    for path in (newest.path, *_before(newest)):
        at_end, word = _last(path)
        until = until or at_end
        if word is not None:
            break
    return Ending(until, header.boot_id, word == "stopped") if until is not None else None


def _before(segment: names.Segment) -> list[Path]:
    found = names.one_of_each(names.segments(segment.path.parent, "raw"))
    return [each.path for each in found if each.number == segment.number - 1]


def _last(path: Path) -> tuple[datetime | None, str | None]:
    """Return when the last record of a segment was, and the last word of the daemon about whether it runs."""
    last, word = b"", None
    for record in reader.records([path]):
        if isinstance(record, Record):
            last = record.data
            if DAEMON in last:
                word = _word(last) or word
    if not last:
        return None, word
    try:
        return wire.event(last).timestamp, word
    except ValueError:  # somebody put it there
        return datetime.fromtimestamp(path.stat().st_mtime, UTC), word


def _word(line: bytes) -> str | None:
    try:
        health = wire.event(line).health
    except ValueError:
        return None
    return health.state if health is not None and health.component == "daemon" and health.state in WORDS else None
