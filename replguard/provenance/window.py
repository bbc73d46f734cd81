"""The maintenance window: what ordinary people and services do to replguard in it is recorded and raises no alert."""

from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import structlog

from replguard import wholefile
from replguard.events import wire
from replguard.events.fact import Actor, Context

LONGEST = timedelta(hours=24)
FILE = "maintenance.json"
_COVERED = frozenset({"allowed", "service", "session"})
_log = structlog.get_logger(__name__)


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """From when until when (UTC), why, and who began it: ``actor`` is the id of that run of a principal."""

    since: datetime
    until: datetime
    reason: str
    by: str
    actor: str

    def told(self) -> str:
        """Return it in a few words."""
        return f"until {self.until:%Y-%m-%d %H:%M:%S} UTC, begun by {self.by}: {self.reason}"

    def covers(self, about: Context | None) -> bool:
        """Whether an act is one of those that the window is for: never of an agent, a replica or a container.

        Of somebody whom nothing explains only what whoever began the window does.
        """
        actor = about.actor if about is not None else None
        if about is None or actor is None or actor.agent or actor.kind == "container" or (about.generation or 1) > 1:
            return False
        return actor.standing in _COVERED or (actor.standing == "unknown" and actor.id == self.actor)


class Windows:
    """Keeps the window that is open, also over a restart. ``folder`` is the state folder, None to keep nothing."""

    def __init__(self, folder: Path | None) -> None:
        self._path = folder / FILE if folder is not None else None
        self.window: Window | None = None

    def load(self, now: datetime) -> None:
        """Take up the window of the run before, as long as it lasts; one that is longer than any may be is none."""
        try:
            data = self._path.read_bytes() if self._path is not None else b""
            window = msgspec.json.decode(data, type=Window)
            open_ = window.since <= now < window.until and window.until - window.since <= LONGEST
        except (OSError, *wire.UNREADABLE, TypeError):
            return
        self.window = window if open_ else None

    def begin(self, now: datetime, length: timedelta, reason: str, actor: Actor) -> Window:
        """Open a window, or one in the place of another, of at most ``LONGEST``."""
        by = f"{actor.name or 'an unknown program'} ({actor.principal}, pid {actor.pid})"
        until = now + max(timedelta(seconds=1), min(length, LONGEST))
        self.window = Window(since=now, until=until, reason=reason, by=by, actor=actor.id)
        self._keep(msgspec.json.encode(self.window))
        return self.window

    def end(self) -> Window | None:
        """Close the window, and return what it was."""
        window, self.window = self.window, None
        if window is not None:
            self._keep(None)
        return window

    def over(self, now: datetime) -> Window | None:
        """Close the window if its time is over, also where the clock was set back, and return what it was."""
        window = self.window
        return self.end() if window is not None and not window.since <= now < window.until else None

    def _keep(self, data: bytes | None) -> None:
        try:
            if self._path is not None and data is not None:
                wholefile.write(self._path, data)
            elif self._path is not None:
                self._path.unlink(missing_ok=True)
        except OSError as error:
            _log.warning("a restart will not know the maintenance window", reason=str(error))
