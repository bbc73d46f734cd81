"""The running daemon as what watches a drill: the drill is announced, and its alerts come back marked."""

import contextlib
import select
from typing import Any

import msgspec

from replguard.config import Config
from replguard.control.client import Connection, connected
from replguard.control.messages import Live
from replguard.drill.watcher import DaemonFailedError
from replguard.errors import ReplguardError

WHOLE = 5.0
"""Seconds in which an alert that has begun to come is there."""


class LiveWatcher:
    """Does what `Watcher` does, by a daemon that is not ours. ``weights`` is the folder that it protects meanwhile."""

    def __init__(self, config: Config, name: str, weights: str) -> None:
        self._config, self._question = config, Live(name, weights)
        self._open = contextlib.ExitStack()
        self._daemon: Connection | None = None
        self._trouble = "it ended"

    def start(self) -> None:
        """Announce the drill. Raises DaemonFailedError."""
        try:
            self._daemon = self._open.enter_context(connected(self._config))
            answer = self._daemon.ask(self._question)
        except ReplguardError as error:
            raise DaemonFailedError(str(error)) from error
        if not answer.ok:
            raise DaemonFailedError(answer.text)

    def alive(self) -> bool:
        """Tell whether the daemon still listens to us."""
        return self._daemon is not None

    def new_alerts(self) -> list[dict[str, Any]]:
        """Return the alerts of this drill since the last call."""
        found: list[dict[str, Any]] = []
        while self._daemon is not None and select.select([self._daemon], [], [], 0)[0]:
            try:
                found.append(msgspec.json.decode(self._daemon.next(WHOLE).told))
            except ReplguardError as error:
                self._daemon, self._trouble = None, str(error)
        return found

    def last_words(self) -> str:
        """Return why it does not tell any more."""
        return self._trouble

    def stop(self) -> None:
        """End the drill."""
        self._daemon = None
        self._open.close()
