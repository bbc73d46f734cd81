"""The daemon that a drill watches with: a process of its own, with its own configuration, state, log and alerts."""

import subprocess
import time
from pathlib import Path
from typing import Any

import msgspec
import yaml

from replguard.drill.stage import Stage
from replguard.errors import ReplguardError
from replguard.events import clock

READY_SECONDS = 60.0
"""The daemon's own budget is 2 s; a small machine under load may take longer."""
STOP_SECONDS = 10.0


class DaemonFailedError(ReplguardError):
    """The daemon did not come up, or is gone."""


class Watcher:
    """A running daemon in ``folder``, told only what to protect and where to look."""

    def __init__(self, stage: Stage, folder: Path, settings: dict[str, Any]) -> None:
        self.stage, self.folder = stage, folder
        self.output = folder / "daemon.log"
        self.alerts_file = folder / "alerts.jsonl"
        self.log_dir = folder / "log"
        folder.mkdir(parents=True, exist_ok=True)
        self.config = folder / "replguard.yaml"
        self.config.write_text(yaml.safe_dump(self._defaults() | settings, sort_keys=False))
        self.process: subprocess.Popen[bytes] | None = None
        self._read = self._begun = 0

    def _defaults(self) -> dict[str, Any]:
        return {
            "state_dir": str(self.folder / "state"),
            "agents": {"endpoints": []},
            "manifest": str(self.folder / "manifest.yaml"),
            "log": {"dir": str(self.log_dir)},
            "sinks": {"jsonl": {"path": str(self.alerts_file)}},
            "metrics": {"listen": ""},
        }

    def start(self) -> None:
        """Start the daemon and wait until it says that it is ready. Raises DaemonFailedError."""
        arguments = ("run", "-c", self.config)
        self._begun = self.output.stat().st_size if self.output.exists() else 0
        self.process = self.stage.module("replguard", *arguments, folder=self.folder, output=self.output)
        deadline = clock.monotonic() + READY_SECONDS
        while "ready" not in self._lines():
            if not self.alive():
                raise DaemonFailedError(f"the daemon ended at its start: {self.last_words()}")
            if clock.monotonic() > deadline:
                raise DaemonFailedError(f"the daemon was not ready within {READY_SECONDS:.0f} s: {self.last_words()}")
            time.sleep(0.02)

    def alive(self) -> bool:
        """Tell whether the daemon runs."""
        return self.process is not None and self.process.poll() is None

    def stop(self) -> int | None:
        """End the daemon as an operator does; return its exit code, or None when it was never started."""
        return None if self.process is None else self.stage.end(self.process, STOP_SECONDS)

    def new_alerts(self) -> list[dict[str, Any]]:
        """Return the alerts written since the last call; a line still being written waits for the next."""
        try:
            with self.alerts_file.open("rb") as file:
                file.seek(self._read)
                data = file.read()
        except OSError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        return [msgspec.json.decode(line) for line in whole.splitlines()]

    def last_words(self) -> str:
        """Return the last line that the daemon printed."""
        lines = [line for line in self._lines() if line]
        return lines[-1] if lines else "it said nothing"

    def _lines(self) -> list[str]:
        """Return what the daemon has printed since it was started last."""
        try:
            said = self.output.read_bytes()[self._begun :]
        except OSError:
            return []
        return [line.strip() for line in said.decode(errors="replace").splitlines()]
