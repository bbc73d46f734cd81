"""The baseline: who served which model when the daemon first came; what keeps an ordinary day silent."""

import os
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

PERIOD = timedelta(hours=24)
"""How long after the first start the baseline is collected (meanings: Authority)."""


class Entry(msgspec.Struct, kw_only=True):
    """A principal that used a model, and how many instances of it at once."""

    principal: str
    model: str
    instances: int = 0
    first_seen: datetime


class State(msgspec.Struct, kw_only=True):
    """What is kept on disk."""

    since: datetime
    closed: bool = False
    entries: list[Entry] = []


class Baseline:
    """Collects for a day, then only answers. Lost state means *no baseline*, never a new one made silently."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._state: State | None = None
        self._index: dict[tuple[str, str], Entry] = {}
        self._dirty = False
        self.trouble: str | None = None

    def open(self, now: datetime, *, first_start: bool) -> None:
        """Load what was collected, or begin when this is the first start of all."""
        try:
            data = self._path.read_bytes() if self._path else b""
            self._state = msgspec.json.decode(data, type=State) if data else None
        except FileNotFoundError:
            self._state = None
        except (OSError, msgspec.DecodeError) as error:
            self.trouble = f"the baseline cannot be read: {error}"
            return
        if self._state is None and first_start:
            self._state = State(since=now)
            self._dirty = True
        elif self._state is None:
            self.trouble = "the baseline is gone although the daemon has run here before"
        self._index = {(e.principal, e.model): e for e in (self._state.entries if self._state else [])}

    def collecting(self, now: datetime) -> bool:
        """Whether new entries are still taken in."""
        return self._state is not None and not self._state.closed and now - self._state.since < PERIOD

    def before(self, when: datetime) -> bool:
        """Whether something that began at ``when`` was there before the daemon first came."""
        return self._state is not None and when <= self._state.since

    def close(self) -> None:
        """End the collection, as `learn --accept` does."""
        if self._state is not None:
            self._state.closed = self._dirty = True

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
        self._dirty = True
        return True

    def find(self, principal: str, model: str) -> Entry | None:
        """Return the entry of a principal and model."""
        return self._index.get((principal, model))

    def save(self) -> None:
        """Write to disk if anything changed, atomically. Trouble is kept in ``trouble`` and tried again next time."""
        if not self._dirty or self._path is None or self._state is None:
            return
        temporary = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(self._state))
            temporary.replace(self._path)
        except OSError as error:
            self.trouble = f"the baseline cannot be written: {error}"
            return
        self._dirty, self.trouble = False, None
