"""Plays a drawn day before two daemons, one of which knows a manifest, and says what each raised and of what."""

import contextlib
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import psutil
import yaml
from bench.host import below, held_by, pss_of
from proof import stretch
from proof.diary import FACTOR, FIRST, Act, Diary
from support import again
from support.matrix import day, hands
from support.matrix.day import Day, Told

from replguard import config as configuration
from replguard.cli.replay import replay
from replguard.drill import dummy
from replguard.events import wire
from replguard.events.alert import LEVELS, Alert
from replguard.log import reader

AT_ONCE = 6
"""Acts besides the servers that are played at once: two cores do not do more."""
UPSTREAM = Path(__file__).with_name("servers") / "upstream.py"
UPSTREAM_PORT = 8000
DOWNLOAD = 12_000_000
MARGIN = 90.0
NOBODY = "none of the acts"
Row = dict[str, Any]


class Workday(Day):
    """The acts of a diary at their hours; the models are those of the host, not one for each act."""

    diary: Diary
    cases: dict[str, Act]

    def __init__(self, folder: Path, acts: Iterable[Act]) -> None:
        self.shared = folder / "shared"
        super().__init__(folder, acts)
        self.began = 0.0
        self.late = 0.0
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._one: dict[str, threading.Lock] = {act.who: threading.Lock() for act in self.cases.values()}
        self._slots = threading.Semaphore(AT_ONCE)
        self._begun: list[tuple[float, str]] = []
        self.cost: dict[str, list[tuple[float, float, int, int]]] = {"alone": [], "told": []}
        """By daemon: hour of the day, MiB (PSS), descriptors and threads of all its processes."""

    def lay(self) -> None:
        """Write the models, and the folders that all work shares."""
        for name, tensors in (self.diary.models | {"control": day.TENSORS}).items():
            dummy.write_model(self.folder / "models" / name, tensors=tensors)
        for name in ("srv", "backup", "log", "ports"):
            (self.shared / name).mkdir(parents=True)

    def service(self, slug: str) -> str:
        return self.cases[slug].who

    def played(self, slug: str) -> float:
        return self.cases[slug].held + MARGIN

    def given(self, slug: str) -> dict[str, Any]:
        model = self.cases[slug].model
        return super().given(slug) | {
            "M": self.folder / "models" / model / "model.safetensors",
            "WHAT": model,
            "MODELS": self.folder / "models",
            "SHARED": self.shared,
            "UP": f"http://{self.far}:{UPSTREAM_PORT}",
            "FILE": f"{model}.bin",
        }

    def manifest(self) -> Path:
        """Write what the operator of this host would have written: services by their units, people by their models."""
        models, made = self.folder / "models", [str(self.folder / "work"), str(self.shared)]
        jobs: dict[str, dict[str, Any]] = {}
        deployments: dict[str, dict[str, Any]] = {}
        for act in self.cases.values():
            if act.instances:
                unit, weights = self.groups.unit(f"{act.model}-*"), [str(models / act.model)]
                entry = {"name": act.model, "unit": unit, "weights": weights, "max_instances": act.instances}
                deployments[act.model] = entry
            elif act.may and act.hand == "service":
                entry = {"name": act.who, "unit": self.groups.unit(act.who), "may": list(act.may)}
                jobs[act.who] = entry | {"weights": [str(models), *made]}
        theirs = [*(str(models / name) for name in self.diary.people), *made]
        people = {"name": "people", "user": 0, "weights": theirs, "may": ["access", "copy"]}
        path = self.folder / "manifest.yaml"
        entries = {"deployments": [*deployments.values()], "jobs": [*jobs.values(), people]}
        path.write_text(yaml.safe_dump(entries, sort_keys=False))
        return path

    # -- the play ------------------------------------------------------------------------------------------------

    def play(self) -> None:
        """Play every act at its hour; a service does one thing at a time."""
        self._see("first")
        over = threading.Event()
        with self._upstream(), ThreadPoolExecutor(len(self.cases) + 2) as pool:
            self.began = time.time()
            pool.submit(self._look_about, over)
            pool.submit(self._weigh, over)
            try:
                list(pool.map(self._play, self.cases))
                time.sleep(day.SETTLE)
                self._see("last")
            except BaseException:
                self._break_off()
                raise
            finally:
                over.set()

    def _break_off(self) -> None:
        """Begin nothing more, and wait for nothing that goes on."""
        self._ended.set()
        for _, slug in self._begun:
            with contextlib.suppress(OSError):
                (self.place(slug) / "failed").touch()

    def _look_about(self, over: threading.Event) -> None:
        """Note every daemon of ours that runs on this machine: they read all models, and each is a server to others."""
        while not over.wait(1.0):
            for process in psutil.process_iter():
                with contextlib.suppress(psutil.Error):
                    if _a_daemon(" ".join(process.cmdline())):
                        self._watching.add(process.pid)

    def _weigh(self, over: threading.Event) -> None:
        """Note once an hour of the day what the daemons hold."""
        while not over.wait(3600 / FACTOR):
            for which, one in self.daemons.items():
                pids = below(one.watcher.process.pid)
                hour = FIRST + (time.time() - self.began) * FACTOR / 3600
                self.cost[which].append((round(hour, 1), round(pss_of(pids), 1), *held_by(pids)))

    @contextlib.contextmanager
    def _upstream(self) -> Iterator[None]:
        """Serve from afar what is downloaded: a file for each model, of nobody's weights."""
        files = self.folder / "upstream"
        files.mkdir()
        for name in self.diary.models:
            subprocess.run(
                [
                    sys.executable,
                    str(Path(day.__file__).with_name("reshape.py")),
                    "stranger",
                    "-",
                    files / f"{name}.bin",
                ],
                check=True,
            )
        words = ["ip", "netns", "exec", self.space, sys.executable, str(UPSTREAM), self.far, str(UPSTREAM_PORT), files]
        # A unit of its own, which has touched no weights: it stands for another host.
        group = self.groups.make("upstream")
        server = hands.start("service", list(map(str, words)), self._environment(), self.folder / "upstream.log", group)
        try:
            yield
        finally:
            server.kill()
            server.wait()

    def _play(self, slug: str) -> None:
        act = self.cases[slug]
        at = self.began + (act.hour - FIRST) * 3600 / FACTOR
        if self._ended.wait(max(0.0, at - time.time())):
            return
        alone = self._one[act.who] if act.hand == "service" else contextlib.nullcontext()
        with alone, contextlib.nullcontext() if act.held else self._slots:
            with self._lock:
                self.late = max(self.late, time.time() - at)
                self._begun.append((time.time(), slug))
            super()._play(slug)
        if not act.held:
            shutil.rmtree(self.place(slug), ignore_errors=True)

    def _environment(self) -> dict[str, str]:
        return super()._environment() | {"RESHAPE_SECONDS": "1200"}

    # -- what was raised -----------------------------------------------------------------------------------------

    def told(self, which: str) -> list[Told]:
        """Return the alerts of a daemon as played, what it says of the test and of the other daemon left out."""
        return [alert for alert in self.daemons[which].alerts() if self._counts(alert)]

    def drawn_out(self, which: str) -> list[Told]:
        """Return the alerts that its log raises when it takes as long as the day."""
        watcher = self.daemons[which].watcher
        settings = configuration.load(watcher.config)
        header = reader.header([watcher.log_dir])
        began = datetime.fromtimestamp(self.began, UTC)
        events = stretch.stretched(reader.events([watcher.log_dir]), began, FACTOR)
        raised = replay(events, again.rules_of(settings), settings, header.host if header else None)
        alerts = [msgspec.json.decode(wire.encode(one)) for one in raised if isinstance(one, Alert)]
        return [alert for alert in alerts if self._counts(alert)]

    def _counts(self, alert: Told) -> bool:
        """Tell whether an alert is raised now and about the day: not about the test's own copies, or a daemon."""
        about = alert["replguard"]
        own = str(about.get("model") or "").rpartition("/")[2] == "control" or alert["process"]["pid"] in self._watching
        return about["state"] == "firing" and not own and not self._beside(alert)

    def _beside(self, alert: Told) -> bool:
        """Tell whether an alert is about what else runs on this machine: a daemon that is tested, or no act of ours."""
        if _a_daemon(str(alert["process"].get("command_line"))) or self._watching & set(_pids(alert["message"])):
            return True
        text = msgspec.json.encode(alert).decode()
        return self.of(alert) == NOBODY and str(self.folder) not in text and self.groups.unit("")[:11] not in text

    def of(self, alert: Told) -> str:
        """Return the name of the act that an alert is about: by who acted, by its service, or by its folder."""
        actor = alert["replguard"].get("actor") or {}
        for slug, pids in self.pids.items():
            if actor.get("pid") in pids:
                return self.cases[slug].name
        text = f"{alert['message']} {actor.get('principal')}"
        when = datetime.fromisoformat(alert["@timestamp"]).timestamp()
        for begun, slug in sorted(self._begun, reverse=True):
            act = self.cases[slug]
            service = act.hand == "service" and self.groups.unit(act.who) in text and begun <= when
            if service or f"{self.place(slug)}/" in text:
                return act.name
        return NOBODY


def _a_daemon(line: str) -> bool:
    return any(words in line for words in ("replguard.{part}", "from replguard.", "-m replguard"))


def _pids(message: str) -> Iterator[int]:
    """Yield the processes that a sentence names."""
    yield from map(int, re.findall(r"\(pid (\d+)", message))


def lived(diary: Diary) -> Row:
    """Live through a day and return what came of it. Raises Lacking."""
    kind = type("ThisDay", (Workday,), {"diary": diary})
    began = time.monotonic()
    with day.lived(diary.acts, kind) as one:
        assert isinstance(one, Workday)
        took = time.monotonic() - began
        return {
            "seed": diary.seed,
            "hours": 24,
            "factor": FACTOR,
            "seconds": round(took),
            "late": round(one.late, 1),
            "acts": dict(sorted(Counter(act.kind for act in diary.acts).items())),
            "unplayed": one.failed,
            "alone": _judged(one, "alone"),
            "told": _judged(one, "told"),
            "cost": one.cost,
        }


def _judged(one: Workday, which: str) -> Row:
    played, long = one.told(which), one.drawn_out(which)
    rules = Counter(f"{alert['rule']['level']} {alert['rule']['name']}" for alert in long)
    return {
        "played": counted(played),
        "drawn_out": counted(long),
        "rules": dict(sorted(rules.items())),
        "raised": _raised(one, played, long),
    }


def counted(alerts: Iterable[Told]) -> dict[str, int]:
    """Return how many alerts there are by level, the highest first."""
    found = Counter(alert["rule"]["level"] for alert in alerts)
    return {level: found[level] for level in reversed(LEVELS)}


def _raised(one: Workday, played: list[Told], long: list[Told]) -> list[list[str]]:
    """Return level, rule, act and sentence of each alert of medium or above; those of the long day, then others."""
    seen: dict[tuple[str, str, str], list[str]] = {}
    for alert in (*long, *played):
        level, rule = alert["rule"]["level"], alert["rule"]["name"]
        if LEVELS.index(level) >= LEVELS.index("medium"):
            message = alert["message"].replace(str(one.folder), "…")
            seen.setdefault((level, rule, alert["message"]), [level, rule, one.of(alert), message])
    return list(seen.values())
