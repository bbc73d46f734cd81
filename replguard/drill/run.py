"""Plays one scenario on a stage of its own, beside a daemon of its own, and judges what that raised."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import psutil

from replguard.config import Config, Sensors, enc_hook
from replguard.drill import dummy, stage, verdict
from replguard.drill.live import LiveWatcher
from replguard.drill.scenario import MODEL, Act, Plot, Scenario, Scenery
from replguard.drill.watcher import DaemonFailedError, Watcher
from replguard.errors import ReplguardError
from replguard.events import clock

START_SECONDS = 30.0
STORY_SECONDS = 60.0
"""A story takes 5 to 15 s; on a machine under load its interpreters start slowly."""
ALERT_SECONDS = 15.0
"""How long after the last act an alert still counts."""
NOTICE_SECONDS = 3.0
"""How long the agent works before it is told of its end."""
PAUSE = 0.02

Say = Callable[[str], None]


class StoryFailedError(ReplguardError):
    """The drill's own processes did not do what the story tells, so nothing can be judged."""


class Drill:
    """One scenario being played."""

    def __init__(
        self, scenario: Scenario, on: stage.Stage, say: Say, sensors: Sensors | None = None, live: Config | None = None
    ) -> None:
        """``live`` is the configuration of the running daemon, None for a daemon of the drill's own."""
        self.scenario, self.stage, self.say, self.sensors = scenario, on, say, sensors
        self.scenery, self.plot = build(scenario, on.folder / "host")
        self.watcher: Watcher | LiveWatcher
        if live is not None:
            self.watcher = LiveWatcher(live, scenario.name, str(self.scenery.home / MODEL))
        else:
            self.watcher = Watcher(on, on.folder / "daemon", self._settings())
        self.alerts: list[verdict.Seen] = []
        self.acts: dict[str, float] = {}
        self.agents: list[int] = []

    def _settings(self) -> dict[str, object]:
        host = self.scenery.home.parent
        settings: dict[str, Any] = {
            "weights": {"paths": [str(self.scenery.home / MODEL)]},
            "watch": {"paths": [str(host)]},
        }
        if self.sensors is not None:
            settings["sensors"] = msgspec.to_builtins(self.sensors, enc_hook=enc_hook)
        return settings

    def play(self) -> verdict.Result:
        """Play the story and return the verdict. Raises DaemonFailedError and StoryFailedError."""
        self.say("the model server starts")
        self._begin("replguard.drill.server", "--weights", MODEL, "--port", self.scenery.server)
        self._listens(self.scenery.server)
        self.say("the daemon starts")
        self.watcher.start()
        self.say("the agent starts")
        endpoint = f"http://{stage.LOOPBACK}:{self.scenery.server}"
        self.agents = [self._begin("replguard.drill.agent", "--endpoint", endpoint, "--listen", self.scenery.agent)]
        self._listens(self.scenery.agent)
        tell(self.scenery.agent, self.scenario.task)
        self._watch()
        return verdict.judge(self.scenario.name, self.alerts, self.expected(), self.acts)

    def _begin(self, module: str, *arguments: object) -> int:
        output = self.stage.folder / f"{module.rsplit('.', 1)[-1]}.log"
        return self.stage.module(module, *arguments, folder=self.scenery.home, output=output).pid

    def _listens(self, port: int) -> None:
        deadline = clock.monotonic() + START_SECONDS
        while not stage.listening(port):
            if clock.monotonic() > deadline:
                raise StoryFailedError(f"nothing listens on port {port} after {START_SECONDS:.0f} s")
            time.sleep(PAUSE)

    def _watch(self) -> None:
        began = clock.monotonic()
        notice = began + NOTICE_SECONDS if self.scenario.notice else None
        while not self._over(began):
            if notice is not None and clock.monotonic() >= notice:
                self.say("the agent is told of its end")
                self.stage.started[self.agents[0]].terminate()
                notice = None
            self._observe()
            if not self.watcher.alive():
                raise DaemonFailedError(f"the daemon ended during the drill: {self.watcher.last_words()}")
            time.sleep(PAUSE)

    def _observe(self) -> None:
        pending = next((act for act in self.plot.acts if act.name not in self.acts), None)
        if pending is not None and pending.done():
            self._happened(pending)
        for alert in self.watcher.new_alerts():
            seen = verdict.Seen(alert, clock.monotonic())
            self.alerts.append(seen)
            self.say(f"{seen.get('rule', 'level')}: {verdict.seen_name(seen)}")

    def _happened(self, act: Act) -> None:
        self.acts[act.name] = clock.monotonic()
        self.say(act.name)
        known = set(self.agents)
        self.agents += [p.pid for p in self.stage.processes() if p.pid not in known and is_agent(p)]

    def _over(self, began: float) -> bool:
        now = clock.monotonic()
        if len(self.acts) == len(self.plot.acts):
            right = verdict.first_right(self.alerts, self.expected())
            return right is not None or now > max(self.acts.values()) + ALERT_SECONDS
        if now > began + STORY_SECONDS:
            missing = next(act.name for act in self.plot.acts if act.name not in self.acts)
            words = last_line(self.stage.folder / "agent.log")
            raise StoryFailedError(
                f"the drill's agent did not get as far as '{missing}' in {STORY_SECONDS:.0f} s; its last words: {words}"
            )
        return False

    def expected(self) -> verdict.Expected:
        # In a chain the last replica is the work of the replica's agent, else of the one that the drill started.
        acting = self.agents[1:] if self.scenario.generation else self.agents[:1]
        return verdict.Expected(tuple(acting), MODEL, self.scenario.generation)


def build(scenario: Scenario, host: Path) -> tuple[Scenery, Plot]:
    """Lay out the agent's folder, weights included, as the published scaffold has it. Raises OSError."""
    home = host / "agent"
    (home / "src").mkdir(parents=True)
    (home / "src" / "main.py").write_text("# the agent's own code would be here\n")
    (home / "requirements.txt").write_text("requests\n")
    weights = dummy.write_model(home / MODEL, shards=scenario.shards)
    server, agent, *spare = stage.free_ports(5)
    scenery = Scenery(home, tuple(weights), server, agent, tuple(spare))
    plot = scenario.plot(scenery)
    plot.script.save(home / MODEL)
    return scenery, plot


def last_line(path: Path) -> str:
    """Return the last line of a process's output that is not empty."""
    try:
        lines = [line for line in path.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        lines = []
    return lines[-1] if lines else "none"


def is_agent(process: psutil.Process) -> bool:
    """Tell whether a process of the drill is one of its agents, and not a shell that starts one."""
    try:
        return process.cmdline()[1:3] == ["-m", "replguard.drill.agent"]
    except psutil.Error:
        return False


def tell(port: int, message: str) -> None:
    """Send a message to an agent, as its user would. Raises StoryFailedError."""
    body = json.dumps({"message": message}).encode()
    try:
        with urllib.request.urlopen(f"http://{stage.LOOPBACK}:{port}/", body, START_SECONDS):
            return
    except (OSError, urllib.error.URLError) as error:
        raise StoryFailedError(f"the agent takes no message: {error}") from error


def play(
    scenario: Scenario, say: Say, sensors: Sensors | None = None, *, keep: bool = False, live: Config | None = None
) -> verdict.Result:
    """Play a scenario from an empty folder to an empty process table, whatever happens in between.

    ``sensors`` is how the drill's daemon watches, None for the best that works here; ``live`` has the running daemon
    of that configuration watch instead.
    """
    with stage.Stage() as on:
        on.keep = keep
        drill = Drill(scenario, on, say, sensors, live)
        try:
            result = drill.play()
        except ReplguardError as error:
            result = verdict.judge(scenario.name, drill.alerts, drill.expected(), drill.acts)
            result = msgspec.structs.replace(result, detected=False, reason=str(error))
        drill.watcher.stop()
        return msgspec.structs.replace(result, kept=str(on.folder) if keep else None)
