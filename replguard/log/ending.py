"""How the log of the run before ended: whether it was stopped, and what was seen since."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from replguard.events import wire
from replguard.events.health import Health, State
from replguard.log import names, reader, walk
from replguard.log.reader import Record

DAEMON = b'"component":"daemon"'
WORDS = ("started", "ready", "stopped")
TAKEN = frozenset({"names"})
"""Sensors whose queue the kernel forgets once it is read: of what they had read and not written nothing is left."""
UNWRITTEN = "what changed in files within 0.3 s before the end may be told by nobody"


class Kept(NamedTuple):
    """What became of the time in which no daemon ran: the sensors that read it, those that saw nothing of it.

    ``lost`` counts what found no room meanwhile, ``unfit`` says what had been kept and could not be read.
    """

    read: Collection[str] = ()
    blind: Collection[str] = ()
    lost: int = 0
    unfit: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Ending:
    """When the last record of a log was, and whether the daemon had said by then that it stops."""

    until: datetime
    boot_id: str
    stopped: bool

    def meanwhile(self, now: datetime, boot_id: str, kept: Kept) -> Health | None:
        """Say what was seen of the time from this end to ``now``; None for a run that was stopped and had none keep.

        Which is all, where the kernel went on and what it kept was read; else nothing, and why.
        """
        if self.stopped and not (kept.read or kept.unfit):
            return None
        why = "and the host was started anew" if self.boot_id != boot_id else "as if it was killed"
        how = "was stopped" if self.stopped else f"ended without being stopped, {why}"
        seconds = f"{max(0.0, (now - self.until).total_seconds()):.0f} s"
        span = f"from {self.until:%Y-%m-%dT%H:%M:%SZ} to {now:%Y-%m-%dT%H:%M:%SZ}"
        if not kept.read:
            blind = f"blind for {seconds}, {span}"
            unfit = f" ({'; '.join(sorted(kept.unfit))})" if kept.unfit else ""
            return Health(component="daemon", state="degraded", reason=f"the run before {how}: {blind}{unfit}")
        lost = f"{kept.lost} losses of it are told" if kept.lost else "nothing of it was lost"
        parts = [f"the run before {how}: what the kernel kept for {seconds}, {span}, was read, and {lost}"]
        parts += [f"read by {', '.join(sorted(kept.read))}"]
        parts += [UNWRITTEN] if not self.stopped and TAKEN & set(kept.read) else []
        parts += [f"nothing of that time was seen by {', '.join(sorted(kept.blind))}"] if kept.blind else []
        parts += sorted(kept.unfit)
        state: State = "degraded" if kept.lost or kept.unfit else "recovered"
        return Health(component="daemon", state=state, reason="; ".join(parts), lost=kept.lost or None)


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
