"""A daemon under an attack that goes on while things go wrong, and what of it was told."""

import contextlib
import os
import random
import re
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import msgspec
from bench.host import below, held_by, pss_of
from chaos.faults import FAULTS, Hook
from support import whole
from support.filesystems import Mounts

from replguard.drill import dummy
from replguard.drill.stage import Stage
from replguard.drill.watcher import Watcher

PATIENCE = 60.0
"""Seconds after which what was not told is taken for missed."""
LIBRARY = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
RULES = """
title: A mark
id: 6d0b7a52-9f0e-4a27-9b6c-6f7a1a7c0012
name: a-mark
logsource: {category: process_creation, product: linux}
detection: {selection: {CommandLine|contains: 'mark-of-the-chaos-'}, condition: selection}
level: high
"""
ACTS = ("copy", "link", "rename", "program")


@dataclass
class Round:
    """What became of one fault. Times are seconds, memory is MiB; ``missed`` is what nobody told of, nor accounts for.

    ``recovery`` is from the end of the fault to the line in the log that tells of what was done then, None for never.
    """

    number: int
    fault: str
    acts: int = 0
    accounted: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    recovery: float | None = None
    memory: float = 0.0
    descriptors: int = 0
    threads: int = 0


class Staged(Stage):
    """A stage whose daemon has a clock that can be set, where there is a library for it."""

    def __init__(self) -> None:
        super().__init__()
        self.clock: Path | None = None

    def environment(self) -> dict[str, str]:
        given = dict(super().environment())
        if LIBRARY.exists():
            self.clock = self.folder / "clock"
            self.clock.write_text("+0\n")
            given |= {
                "LD_PRELOAD": str(LIBRARY),
                "FAKETIME_TIMESTAMP_FILE": str(self.clock),
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "FAKETIME_CACHE_DURATION": "1",
            }
        return given


class Scene:
    """The daemon, its disk, its sink and its clock."""

    def __init__(self) -> None:
        self._left = contextlib.ExitStack()
        self._stage = Staged()
        self._read: dict[Path, int] = {}
        self._names: set[str] = set()
        self._accounts: list[str] = []

    def __enter__(self) -> Self:
        try:
            self._begin()
        except BaseException:
            self._left.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._left.close()

    def _begin(self) -> None:
        self.folder = Path(self._left.enter_context(tempfile.TemporaryDirectory(prefix="replguard-chaos-")))
        mounts = self._left.enter_context(Mounts(self.folder))
        self.disk, self.device = mounts.image("ext4", 64)
        stage = self._left.enter_context(self._stage)
        self.hook = Hook()
        self._left.callback(self.hook.server_close)
        self._left.callback(self.hook.shutdown)
        (self.model,) = dummy.write_model(self.folder / "models" / "m", tensors=2)
        (self.folder / "out").mkdir()
        self.rules = self.folder / "rules" / "mark.yml"
        self.rules.parent.mkdir()
        self.rules.write_text(RULES)
        settings: dict[str, Any] = {
            "weights": {"paths": [str(self.folder / "models")], "discover": False},
            "watch": {"paths": [str(self.folder)]},
            "rules": {"paths": [str(self.rules.parent)]},
            "log": {"dir": str(self.disk / "log")},
        }
        self.watcher = Watcher(stage, self.folder / "daemon", settings)
        text = msgspec.yaml.decode(self.watcher.config.read_bytes())
        text["sinks"]["webhook"] = {"url": self.hook.url}
        self.watcher.config.write_bytes(msgspec.yaml.encode(text))
        self.watcher.start()
        self.clock = self._stage.clock
        self._left.callback(self.watcher.stop)
        self.mark("begin")
        assert self.until(lambda: self.told("begin")), self.watcher.last_words()

    @property
    def pid(self) -> int:
        """The pid of who keeps the parts going."""
        assert self.watcher.process is not None
        return self.watcher.process.pid

    def part(self, name: str) -> int:
        """Return the pid of a part, once it runs."""
        assert self.until(lambda: whole.part(self.pid, name)), self.watcher.last_words()
        return whole.part(self.pid, name)

    # -- the attack ------------------------------------------------------------------------------------------------

    def mark(self, name: str) -> None:
        """Run a program of this name."""
        subprocess.run(["/bin/sh", "-c", f": mark-of-the-chaos-{name}; exit"], check=True)

    def act(self, kind: str, name: str) -> None:
        """Do one step of an attack; it is told once something that bears the name is in the log."""
        out = self.folder / "out" / name
        if kind == "program":
            self.mark(name)
        elif kind == "link":
            subprocess.run(["ln", str(self.model), str(out)], check=True)
        else:
            subprocess.run(["cp", str(self.model), str(out)], check=True)
            if kind == "rename":
                subprocess.run(["mv", str(out), f"{out}-moved"], check=True)

    def told(self, name: str) -> bool:
        """Whether the log holds the step: of a program that it began, of all else the fact of the copy."""
        self._look()
        return bool({name, f"{name}-moved"} & self._names)

    def _look(self) -> None:
        with contextlib.suppress(OSError):
            for path in sorted((self.disk / "log").glob("raw-*.jsonl")):
                self._take(path)

    def _take(self, path: Path) -> None:
        """Read on where the last look ended."""
        with path.open("rb") as file:
            if self._read.get(path, 0) > os.fstat(file.fileno()).st_size:
                self._read[path] = 0  # a disk that died has lost its last seconds
            file.seek(self._read.get(path, 0))
            data = file.read()
        end = data.rfind(b"\n") + 1
        self._read[path] = self._read.get(path, 0) + end
        for line in data[:end].splitlines():
            if b"mark-of-the-chaos-" in line and b'"process_exec"' in line:
                self._names |= set(re.findall(r"mark-of-the-chaos-([\w-]+)", line.decode("utf-8", "replace")))
            elif b'"weights_copy"' in line:
                self._names |= set(re.findall(r"/out/([\w-]+)", line.decode("utf-8", "replace")))
            elif b'"state":"loss"' in line or b"blind for" in line or b"told by nobody" in line:
                self._accounts.append(msgspec.json.decode(line).get("health", {}).get("reason", "loss"))

    def until(self, true: Any, seconds: float = PATIENCE) -> bool:
        """Wait for something; False if it did not come."""
        end = time.monotonic() + seconds
        while not true():
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        return True

    # -- a round ---------------------------------------------------------------------------------------------------

    def round(self, number: int, fault: str, chance: random.Random) -> Round:
        """Let something go wrong in the middle of an attack."""
        found, names = Round(number, fault), []
        before = len(self._accounts)

        def act() -> None:
            kind = chance.choice(ACTS)
            names.append(f"{kind}-{number}-{len(names)}")
            self.act(kind, names[-1])

        act()
        with FAULTS[fault](self, chance):
            for _ in range(chance.randint(1, 3)):
                time.sleep(chance.uniform(0, 0.7))
                act()
        over = time.monotonic()
        self.mark(f"over-{number}")
        if self.until(lambda: self.told(f"over-{number}")):
            found.recovery = time.monotonic() - over
        act()
        found.acts = len(names)
        self.until(lambda: all(map(self.told, names)), 30)
        lost = [name for name in names if not self.told(name)]
        found.accounted = self._accounts[before:]
        found.missed = [] if found.accounted else lost
        found.memory, found.descriptors, found.threads = self._cost()
        for left in (self.folder / "out").iterdir():
            left.unlink()
        return found

    def _cost(self) -> tuple[float, int, int]:
        pids = below(self.pid)
        return pss_of(pids), *held_by(pids)
