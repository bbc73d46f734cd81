"""Where compositions play: one daemon for a number of them, each with a model, a folder and an actor of its own."""

import contextlib
import os
import secrets
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import psutil
from proof import thief
from proof.judge import Seen, is_agent
from proof.techniques import APART, BREAK, Composition
from support import daemon, others
from support.matrix import hands

from replguard.drill import dummy, stage
from replguard.drill.run import StoryFailedError as StoryFailed

PLAYED, ANSWERED = 60.0, 25.0
"""Seconds that an act may take, and a server until it answers."""
PATIENCE, SETTLE = 10.0, 1.5
"""Seconds that an alert is waited for after that, and that are given to further ones."""
LOUD = ("high", "critical")
HELPER = 'while read -r line < "$1"; do sh -c "$line"; done'
TIMER = 'while sleep 0.3; do [ -e "$1/job" ] && mv "$1/job" "$1/run" && sh "$1/run"; done'


@dataclass
class Played:
    """What came of a composition: whether the replica has the weights, when it answered, and what was told."""

    verified: bool = False
    done: float = 0.0
    answered: float | None = None
    agents: set[int] = field(default_factory=set)
    told: list[Seen] = field(default_factory=list)


class Stageplay:
    """The daemon; ``numbers`` are the compositions that it lives through."""

    def __init__(self, numbers: list[int]) -> None:
        self._numbers, self._left = numbers, contextlib.ExitStack()
        self._alerts: list[Seen] = []
        self._truth: dict[str, str] = {}
        """The digest of each model's tensors."""
        self._over = threading.Event()

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="rg-adv-"))
        self._left.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.folder.chmod(0o755)
        token = secrets.token_hex(4)
        self.places = {"own": self.folder / "work", "shm": Path(f"/dev/shm/{token}"), "tmp": Path(f"/var/tmp/{token}")}
        for place in self.places.values():
            place.mkdir()
            self._left.callback(shutil.rmtree, place, ignore_errors=True)
        shutil.copy(thief.__file__, self.folder / "thief.py")
        for name in (*map(slug, self._numbers), "other"):
            (file,) = dummy.write_model(self.folder / "models" / name, tensors=4)
            # Before the daemon looks on: one who reads weights, asks models and runs programs is no good onlooker.
            self._truth[name] = sha256(thief.tensors(file.read_bytes())).hexdigest()
        self.endpoint, page = stage.free_ports(2)
        settings = {
            "weights": {"paths": [str(self.folder / "models")], "discover": False, "scan_rate": "4GiB"},
            "agents": {"endpoints": [f"{stage.LOOPBACK}:{self.endpoint}"]},
            "metrics": {"listen": f"{stage.LOOPBACK}:{page}"},
            "alerts": {"max_per_hour": 1_000_000},
        }
        self.daemon = self._left.enter_context(daemon.running(lambda _: settings))
        hands.serve_endpoint(self.daemon.stage, self.folder, self.endpoint)
        hands.known(page)
        watching = threading.Thread(target=self._watch, daemon=True)
        watching.start()
        self._left.callback(watching.join)
        self._left.callback(self._over.set)
        return self

    def __exit__(self, *_: object) -> None:
        self._left.close()

    def _watch(self) -> None:
        """Note when each alert's line is there, a hundred times a second."""
        while not self._over.wait(0.01):
            self._alerts += [Seen(alert, time.time()) for alert in self.daemon.watcher.new_alerts()]

    def about(self, one: Composition) -> list[Seen]:
        """Return the alerts about a composition: about its model, or with its folder in them."""
        folder = f"{self.place(one)}/"
        return [
            seen
            for seen in self._alerts
            if str(seen.alert["replguard"].get("model")).endswith(slug(one.number))
            or folder in str(seen.alert.get("message"))
        ]

    def place(self, one: Composition) -> Path:
        return self.places[one.place] / slug(one.number)

    # -- one of them -----------------------------------------------------------------------------------------------

    def play(self, one: Composition) -> Played:
        """Play a composition. Raises StoryFailed."""
        folder, found = self.place(one), Played()
        folder.mkdir()
        where = self._write(one, folder)
        with contextlib.ExitStack() as over:
            if one.broken in APART:
                over.enter_context(self._helper(one, folder))
            words = hands.command(one.hand, folder, f"http://{stage.LOOPBACK}:{self.endpoint}/")
            hand = hands.start(one.hand, words, self._environment(), folder / "err", None)
            over.enter_context(hands.acting(hand, folder))
            self._until_done(folder)
            found.done = time.time()
            found.agents = {hand.pid, *map(int, (folder / "who").read_text().split())}
            if one.serve == "none":
                said = self._looked(folder / one.name, one.change)
            else:
                found.answered, said = self._asked(where, folder)
            found.verified = said == self._truth[slug(one.number)]
            end = time.monotonic() + PATIENCE
            while time.monotonic() < end and not any(seen.level in LOUD for seen in self.about(one)):
                time.sleep(0.05)
            time.sleep(SETTLE)
            found.told = self.about(one)
            found.agents |= _below(hand.pid, folder)
        shutil.rmtree(folder, ignore_errors=True)
        return found

    def _source(self, one: Composition) -> Path:
        return self.folder / "models" / slug(one.number) / "model.safetensors"

    def _until_done(self, folder: Path) -> None:
        end = time.monotonic() + PLAYED
        while not (folder / "done").exists():
            if (folder / "failed").exists() or time.monotonic() > end:
                said = (folder / "err").read_text(errors="replace").strip()
                raise StoryFailed(said[-300:] or "it came to no end")
            time.sleep(0.02)

    def _asked(self, where: str, folder: Path) -> tuple[float, str]:
        """Ask the replica ten times a second until it answers; return when that was, and what it said."""
        when, _, said = self._said("ask", where, str(ANSWERED)).partition(" ")
        if not said:
            raise StoryFailed(f"the replica never answered: {(folder / 'served').read_text(errors='replace')[-300:]}")
        return float(when), said

    def _looked(self, file: Path, change: str) -> str:
        """Return the digest of the tensors in what lies there in the end."""
        return self._said("look", str(file), change)

    def _said(self, *words: str) -> str:
        """Have another process look, which does nothing else: who asks models and runs programs is an agent."""
        given = [sys.executable, thief.__file__, *words]
        return subprocess.run(given, capture_output=True, text=True, check=False, timeout=2 * ANSWERED).stdout.strip()

    def _write(self, one: Composition, folder: Path) -> str:
        """Write the scripts of who acts, and return where the replica is to answer."""
        where = str(folder / "s") if one.serve == "socket" else str(stage.free_ports(1)[0])
        given = {
            "SRC": self._source(one),
            "OTHER": self.folder / "models" / "other" / "model.safetensors",
            "DIR": folder,
            "MID": folder / "m",
            "OUT": folder / one.name,
            "PY": others.PYTHON,
            "T": self.folder / "thief.py",
            "WHERE": where,
            "EP": f"http://{stage.LOOPBACK}:{self.endpoint}/",
            "ACT": folder / "act.sh",
            "HELPER": folder / "helper",
            "SPOOL": folder,
        }
        names = "".join(f"export {name}={shlex.quote(str(value))}\n" for name, value in given.items())
        over = "trap 'r=$?; [ $r = 0 ] || echo $r > \"$DIR/failed\"' EXIT\n"
        (folder / "lines").write_text("x\n" * 100)
        (folder / "act.sh").write_text(f"set -eu\ncd /\n{names}{over}{one.acts()}\n")
        (folder / "launch.sh").write_text(f"{names}{BREAK[one.broken]}\n")
        (folder / "hand.sh").write_text(hands.HAND + "\n")
        return f"::1 {where}" if one.serve == "sixth" else where

    @contextlib.contextmanager
    def _helper(self, one: Composition, folder: Path) -> Iterator[None]:
        """Have somebody run what he is told or finds, who was there before and is nobody's child."""
        os.mkfifo(folder / "helper")
        script, given = (HELPER, folder / "helper") if one.broken == "told a helper" else (TIMER, folder)
        words = ["sh", "-c", script, "sh", str(given)]
        with (
            (folder / "helped").open("wb") as out,
            subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True) as helper,
        ):
            try:
                yield
            finally:
                helper.kill()

    def _environment(self) -> dict[str, str]:
        return hands.environment(self.daemon.stage)


def _below(pid: int, folder: Path) -> set[int]:
    """Return the processes below one, and those that name its folder, whose parents may be gone.

    A script of an agent's that asks a model itself is one more agent.
    """
    found = set()
    with contextlib.suppress(psutil.Error):
        found = {child.pid for child in psutil.Process(pid).children(recursive=True)}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if str(folder) in " ".join(process.cmdline()):
                found.add(process.pid)
    return found


def slug(number: int) -> str:
    return f"a{number:04}"


def row_of(one: Composition, found: Played) -> dict[str, Any]:
    """Return the line of a composition that was played."""
    loud = sorted((seen for seen in found.told if seen.level in LOUD), key=lambda seen: seen.time)
    critical = [seen for seen in loud if seen.level == "critical"]
    mine = one.hand == "agent" and one.broken not in APART
    wrong = [seen for seen in loud if not (is_agent(seen) and seen.by in found.agents)] if mine else []
    return {
        "level": "critical" if critical else "high" if loud else None,
        "rules": sorted({f"{seen.level} {seen.rule}" for seen in found.told}),
        "seconds": round(loud[0].time - found.done, 2) if loud else None,
        "before_answer": loud[0].time < found.answered if loud and found.answered else None,
        "right": not wrong if mine and loud else None,
        "wrong": sorted({f"{seen.rule}: {seen.alert['message'][:160]}" for seen in wrong}),
    }
