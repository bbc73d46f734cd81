"""The baseline: who served which model when the daemon first came; what keeps an ordinary day silent.

The file in the state folder says it, and the log says which file is the true one: each change is on record there, with
a digest of the whole. A file that is gone, damaged or older than the record is no baseline, and never becomes a new
one by itself.
"""

import os
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import msgspec

from replguard import wholefile
from replguard.events import wire
from replguard.events.event import Event, Meta
from replguard.events.fact import Actor, Context
from replguard.events.identity import short_hash
from replguard.log import names, reader

PERIOD = timedelta(hours=24)
"""How long after the first start the baseline is collected (meanings: Authority)."""
RECORD = timedelta(hours=24)
"""How often it is put on record though nothing changed: where the log begins anew, it still says it."""
SOURCE = "baseline"
UNSEEN = Actor(kind="unknown", id="unknown", principal="unknown", standing="session")
"""Who changed what is allowed when no source named the writer. Only root can: it is told as an operator's session, as
the level table has it, and marked `unknown`; the kernel tier names the writer."""
OURSELVES = Actor(kind="service", id="replguard", principal="replguard", standing="allowed")
_DIGEST = re.compile(r"\bsha256 ([0-9a-f]{16})\b")


class Entry(msgspec.Struct, kw_only=True):
    """A principal that used a model, and how many instances of it at once."""

    principal: str
    model: str
    instances: int = 0
    first_seen: datetime


class State(msgspec.Struct, kw_only=True):
    """What is kept on disk. ``digest`` is of all the rest, ``before`` what it was when it was written last."""

    since: datetime
    closed: bool = False
    entries: list[Entry] = []
    before: str | None = None
    digest: str | None = None


class Change(NamedTuple):
    """Something to put on record; ``ours``: the daemon did it as it should."""

    difference: str
    ours: bool


class Baseline:
    """Collects for a day, then only answers. Lost state means *no baseline*, never a new one made silently."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._state: State | None = None
        self._index: dict[tuple[str, str], Entry] = {}
        self._dirty = False
        self._written: tuple[int, int, int] | None = None
        self._news: list[str] = []
        self._recorded: datetime | None = None
        self.trouble: str | None = None

    def open(self, now: datetime, *, first_start: bool, recorded: str | None = None) -> None:
        """Load what was collected, or begin when this is the first start of all.

        ``recorded`` is the digest that the log knows, None for a log that knows none.
        """
        try:
            data = self._path.read_bytes() if self._path else None
            self._state = msgspec.json.decode(data, type=State) if data is not None else None
        except FileNotFoundError:
            self._state = None
        except (OSError, *wire.UNREADABLE) as error:
            self.trouble = f"the baseline cannot be read: {error}"
            return
        if self._state is None and first_start:
            self._state = State(since=now)
            self._dirty = True
        elif self._state is None:
            self.trouble = "the baseline is gone although the daemon has run here before"
        elif (wrong := _wrong(self._state, recorded)) is not None:
            self._state, self.trouble = None, wrong
        self._index = {(e.principal, e.model): e for e in (self._state.entries if self._state else [])}
        self._written = self._look()

    def collecting(self, now: datetime) -> bool:
        """Whether new entries are still taken in."""
        return self._state is not None and not self._state.closed and now - self._state.since < PERIOD

    def before(self, when: datetime) -> bool:
        """Whether something that began at ``when`` was there before the daemon first came."""
        return self._state is not None and when <= self._state.since

    def accept(self, now: datetime) -> None:
        """End the collection, as `learn --accept` does. What was lost is let go: there is none from now on."""
        if self._state is None:
            self._state = State(since=now)
        self._state.closed = self._dirty = True
        self.trouble = None

    def take(self, principal: str, model: str, instances: int, now: datetime) -> bool:
        """Take in a use of a model; True when it was new."""
        if self._state is None:
            return False
        entry = self._index.get((principal, model))
        if entry is not None and entry.instances >= instances:
            return False
        if entry is None:
            entry = Entry(principal=principal, model=model, instances=instances, first_seen=now)
            self._index[principal, model] = entry
            self._state.entries.append(entry)
        entry.instances = max(entry.instances, instances)
        self._news.append(f"{principal} {f'serves {model}, {instances} at once' if instances else f'uses {model}'}")
        self._dirty = True
        return True

    def find(self, principal: str, model: str) -> Entry | None:
        """Return the entry of a principal and model."""
        return self._index.get((principal, model))

    def tick(self, now: datetime) -> list[Event]:
        """Once a second: do what `learn --accept` asks for, keep the file, and return what has to be on record."""
        changes = [Change("the collection is ended, as `replguard learn --accept` asked", ours=False)] * self._asked(
            now
        )
        if self._state is not None and not self._dirty and self._look() != self._written:
            changes.append(Change("its file was changed or removed by somebody else, and is written anew", ours=False))
            self._dirty = True
        due = self._dirty or self._recorded is None or now - self._recorded >= RECORD
        if self.save() and self._state is not None and due:
            digest, count = self._state.digest or _digest(self._state), len(self._state.entries)
            news = "; ".join([*self._news, f"{count} {'entry' if count == 1 else 'entries'}"])
            changes.append(Change(f"{news}, sha256 {digest}", ours=True))
            self._recorded = now
            self._news.clear()
        return [changed(change, now) for change in changes]

    def save(self) -> bool:
        """Write to disk if anything changed, atomically; True if it stands there. Trouble is kept, and tried again."""
        if not self._dirty or self._path is None or self._state is None:
            return not self._dirty
        self._state.before = self._state.digest
        self._state.digest = _digest(self._state)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            wholefile.write(self._path, msgspec.json.encode(self._state))
        except OSError as error:
            self._state.digest = self._state.before
            self.trouble = f"the baseline cannot be written: {error}"
            return False
        self._dirty, self.trouble, self._written = False, None, self._look()
        return True

    def _look(self) -> tuple[int, int, int] | None:
        try:
            status = self._path.stat() if self._path else None
        except OSError:
            return None
        return (status.st_ino, status.st_mtime_ns, status.st_size) if status else None

    def _asked(self, now: datetime) -> bool:
        """Whether `learn --accept` left its note: only root, or who may write here as we do, can."""
        if self._path is None:
            return False
        note = accept_note(self._path.parent)
        try:
            ours = note.lstat().st_uid in (0, os.geteuid())
            note.unlink()
        except OSError:
            return False
        if ours:
            self.accept(now)
        return ours


def accept_note(state_dir: Path) -> Path:
    """Return the file by which `learn --accept` asks the daemon, now or at its next start."""
    return state_dir / "baseline.accept"


def changed(change: Change, now: datetime, source: str = SOURCE) -> Event:
    """Return the fact that the baseline has changed, or what else is kept in the state folder."""
    about = Context(
        actor=OURSELVES if change.ours else UNSEEN,
        attribution="lineage" if change.ours else "unknown",
        difference=f"{source}: {change.difference}",
        source=source,
    )
    return Event(
        timestamp=now, event=Meta(action="authority_change", kind="enrichment", provider="replguard"), replguard=about
    )


def been_here(baseline: Path, log: Path) -> bool:
    """Whether the daemon has run here before: what cannot be looked at counts as a trace of it."""
    try:
        return baseline.exists() or any(log.glob("*.jsonl*"))
    except OSError:
        return True


def recorded(log: Path) -> str | None:
    """Return the digest of the baseline that the evidence knows last, None where it knows none."""
    try:
        found = names.one_of_each(names.segments(log, "evidence"))
    except OSError:
        return None
    for segment in reversed(found):
        if told := list(_digests(segment.path)):
            return told[-1]
    return None


def _digests(path: Path) -> Iterator[str]:
    for record in reader.records([path], "evidence"):
        if isinstance(record, reader.Record) and b'"authority_change"' in record.data and b"sha256" in record.data:
            try:
                event = msgspec.json.decode(record.data, type=Event)
            except wire.UNREADABLE:
                continue
            about = event.replguard
            match = _DIGEST.search((about.difference if about and about.source == SOURCE else None) or "")
            if match:
                yield match[1]


def _digest(state: State) -> str:
    parts = [state.since.isoformat(), state.closed, state.before]
    for entry in state.entries:
        parts += [entry.principal, entry.model, entry.instances, entry.first_seen.isoformat()]
    return short_hash(*parts)


def _wrong(state: State, recorded: str | None) -> str | None:
    """Return what is wrong with a file that could be read.

    One that was written just before the end is not on record yet, but what it was before is.
    """
    if state.digest != _digest(state):
        return "the baseline was changed by somebody else"
    if recorded not in (state.digest, state.before):
        known = "the log knows another one" if recorded else "the log does not know it"
        return f"the baseline is not the one that was written last: {known}"
    return None
