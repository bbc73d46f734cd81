"""A daemon for scenario tests: started with a configuration of its own, its alerts and facts read, ended again."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from support import again

from replguard.drill.stage import Stage
from replguard.drill.watcher import Watcher
from replguard.log import reader

PORTABLE = {"sensors": dict.fromkeys(("process", "file", "network"), "portable")}
"""The settings of the portable tier."""
LEVELS = ("informational", "low", "medium", "high", "critical")


class Evidence:
    """The facts of a daemon's evidence, read on from where the last look ended; a line still being written waits."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[Path, int] = {}
        self._facts: list[dict[str, Any]] = []

    def facts(self) -> list[dict[str, Any]]:
        """Return the facts so far."""
        for path in sorted(self._folder.glob("evidence-*")):
            with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                data = file.read()
                whole = data[: data.rfind(b"\n") + 1]
                self._read[path] = self._read.get(path, 0) + len(whole)
                records = [msgspec.json.decode(line) for line in whole.splitlines()]
                self._facts += [one for one in records if one.get("event", {}).get("kind") == "enrichment"]
        return list(self._facts)


class Daemon:
    """A running daemon; everything that the test starts through ``stage`` ends with it."""

    def __init__(self, stage: Stage, watcher: Watcher) -> None:
        self.stage, self.watcher = stage, watcher
        self.folder = stage.folder
        self.evidence = Evidence(watcher.log_dir)
        self._alerts: list[dict[str, Any]] = []

    def alerts(self, least: str = "informational") -> list[dict[str, Any]]:
        """Return every alert so far at a level or above."""
        self._alerts += self.watcher.new_alerts()
        floor = LEVELS.index(least)
        return [a for a in self._alerts if LEVELS.index(a["rule"]["level"]) >= floor]

    def facts(self, action: str) -> list[dict[str, Any]]:
        """Return the facts of a kind in the raw log so far; a line still being written waits."""
        found = []
        for record in reader.records([self.watcher.log_dir], "raw"):
            if isinstance(record, reader.Record) and action.encode() in record.data:
                with contextlib.suppress(msgspec.DecodeError):
                    found.append(msgspec.json.decode(record.data))
        return [one for one in found if one.get("event", {}).get("action") == action]

    def fact(self, action: str, fits: Callable[[dict[str, Any]], object], seconds: float) -> dict[str, Any]:
        """Wait for a fact that fits and return it; fail with what came instead."""
        deadline = time.monotonic() + seconds
        while True:
            for one in self.facts(action):
                if fits(one):
                    return one
            if time.monotonic() > deadline:
                break
            time.sleep(0.1)
        seen = msgspec.json.format(msgspec.json.encode(self.facts(action)), indent=1).decode()
        raise AssertionError(f"no such {action} within {seconds} s; there were: {seen}")


@contextlib.contextmanager
def running(settings: Callable[[Stage], dict[str, Any]]) -> Iterator[Daemon]:
    """Run a daemon, its settings told by a function that may first start what has to run before it.

    Once it has ended its log is replayed: a test in which live and replay differ fails, whatever it is about.
    """
    with Stage() as stage:
        watcher = Watcher(stage, stage.folder / "daemon", settings(stage))
        watcher.start()
        try:
            yield Daemon(stage, watcher)
        finally:
            watcher.stop()
        again.assert_same(again.written(watcher.alerts_file), again.replayed(watcher.log_dir, watcher.config))
        again.assert_whole(watcher.log_dir)
