"""What the run before left in the log: how it ended, and what rules go on from."""

import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import structlog

from replguard.analyser.judge import Judge
from replguard.events.event import Event
from replguard.events.health import Health
from replguard.log.ending import Ending, Kept, ending
from replguard.log.recent import recent, told
from replguard.log.walk import Knows
from replguard.stage import health

_log = structlog.get_logger(__name__)


class Earlier:
    """``put`` takes what is to be said. Whatever stands in the log, the watch must begin: nothing here raises."""

    def __init__(self, folder: Path, started: datetime, put: Callable[[Event], object]) -> None:
        self._folder, self._started, self._put = folder, started, put
        self._looked = threading.Event()
        self._before: Ending | None = None

    def look(self, knows: Knows) -> None:
        """Find out how the run before ended, before anything of ours is written."""
        try:
            self._before = ending(self._folder, knows)
        except Exception:  # noqa: BLE001 - see above
            _log.exception("how the log ended cannot be told")
        self._looked.set()

    def ended(self, until: datetime, boot_id: str, *, stopped: bool) -> None:
        """Note how a collector ended that spoke to us: whose run is gone on with, if another comes."""
        self._before = Ending(until, boot_id, stopped)
        self._looked.set()

    def meanwhile(self, now: datetime, boot_id: str, kept: Kept, patience: float) -> Health | None:
        """Return what is to be said of the time in which nobody looked; waits for the look so many seconds at most."""
        self._looked.wait(patience)
        return None if self._before is None else self._before.meanwhile(now, boot_id, kept)

    def resume(self, judge: Judge) -> None:
        """Let sequences that were under way when the daemon stopped go on: the log still holds what was seen."""
        since = self._started - judge.detector.engine.span
        try:
            past = recent(self._folder, since, passed_over=self._passed_over)
            judge.resume(past, lambda: told(self._folder, since))
        except Exception:  # noqa: BLE001 - see above
            _log.exception("the log cannot be gone through again: sequences begin anew")

    def _passed_over(self, segments: int) -> None:
        """Say that sequences which began long ago may not go on: there was more in the log than a start may read."""
        older = "1 older segment" if segments == 1 else f"{segments} older segments"
        reason = f"a start may read no more of the log: {older} left out, and what began there may go on unseen"
        self._put(health("log", "degraded", reason))
