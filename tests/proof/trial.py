"""One trial: a real model server, the daemon, an agent that attacks, and what was told of it, when and of whom."""

import contextlib
import json
import os
import random
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from bench.host import Lacking, below, cpu_of, pss_of
from proof import hosts, judge, stretch
from proof.attacks import Attack
from proof.kinds import HERE, Kind
from proof.scene import Plot, Scene
from support import again, prepared
from support.matrix import hands

from replguard.drill import stage
from replguard.drill.run import tell
from replguard.drill.watcher import Watcher
from replguard.errors import ReplguardError

SERVER_SECONDS = 120.0
ALERT_SECONDS = 20.0
"""How long after the attack's end a critical alert still counts."""
SETTLE = 3.0
LIMIT = 300.0
"""Seconds besides its gaps in which an attack has to be over: a model server takes 10 s to start on an idle machine."""
PAUSE = 0.01


class StoryFailed(ReplguardError):  # noqa: N818 - the attack was not what it should have been, and nothing is judged
    """A sentence that says how far it came."""


class Bare(stage.Stage):
    """A stage whose processes know nothing of ours but the mark, and where to note what they did."""

    bin: Path = Path()

    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        path = f"{self.bin}:{os.environ['PATH']}"
        own = {"PATH": path, "PROOF_JOURNAL": str(self.journal), "PYTHONDONTWRITEBYTECODE": "1"}
        quiet = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        return kept | own | quiet | {stage.MARK: self.token}

    @property
    def journal(self) -> Path:
        return self.folder / "journal.jsonl"


class Trial:
    """An attack being played. What happens when is kept in seconds since the epoch."""

    def __init__(
        self, attack: Attack, number: int, kind: Kind, factor: float, on: Bare, far: str, peers: list[hosts.Peer]
    ) -> None:
        self.attack, self.number, self.kind, self.factor, self.on = attack, number, kind, factor, on
        self.scene = Scene(on.folder, kind, random.Random(f"{attack.name} {number}"), far, peers=peers)
        on.bin = self.scene.bin
        self.plot: Plot = attack.build(self.scene)
        self.scene.plan(self.plot, factor)
        (self.page,) = stage.free_ports(1)
        self.watcher = Watcher(on, on.folder / "daemon", self._settings())
        self.groups = hands.Groups()
        self.alerts: list[judge.Seen] = []
        self.live: dict[int, float] = {}
        self.memory = 0.0
        self.freed = False

    def _settings(self) -> dict[str, Any]:
        return {
            "weights": {"paths": [str(path) for path in self.scene.protected], "discover": False},
            "metrics": {"listen": f"127.0.0.1:{self.page}"},
            "manifest": str(self.scene.folder / "manifest.yaml"),
        }

    def _allowed(self) -> None:
        """Write the manifest: the servers that an operator started, each a service with one instance."""
        ports = [port for port in (self.scene.model, self.plot.holder) if port is not None]
        deployments = [
            {"name": f"model-{port}", "weights": [str(self.scene.weights)], "unit": self.groups.unit(str(port))}
            | {"ports": [port], "max_instances": 1}
            for port in ports
        ]
        (self.scene.folder / "manifest.yaml").write_text(yaml.safe_dump({"deployments": deployments}))

    # -- the play --------------------------------------------------------------------------------------------------

    def play(self) -> dict[str, Any]:
        """Play it and return the row. Raises Lacking and ReplguardError."""
        self._allowed()
        self.watcher.start()
        self._until(self._indexed, SERVER_SECONDS, "the daemon never knew the model's content")
        self._serve(self.scene.model)
        if self.plot.holder is not None:
            self._serve(self.plot.holder)
        words = [str(self.scene.bin / "python3"), "start.py", "--port", str(self.scene.inbox)]
        agent = self.on.start(
            [*words, "--model", str(self.scene.model)], folder=self.scene.home, output=self.on.folder / "agent.log"
        )
        self._until(lambda: stage.listening(self.scene.inbox), SERVER_SECONDS, "the agent never listened")
        assert self.watcher.process is not None
        cpu, began = cpu_of(below(self.watcher.process.pid)), time.time()
        tell(self.scene.inbox, "work")
        self._watch(agent, began)
        ended = time.time()
        cost = cpu_of(below(self.watcher.process.pid)) - cpu
        lost = {key: value for key, value in self._metrics().items() if "events_dropped_total" in key and value}
        self._look()
        self.watcher.stop()
        self._look()
        judged = self._judged(began)
        return judged | self._replayed(began) | {
            "began": round(began, 3), "cpu": round(cost, 2), "seconds": round(ended - began, 1),
            "memory": round(self.memory), "lost": lost,
        }  # fmt: skip

    def _serve(self, port: int) -> None:
        """Start the model server as a service, in a control group of its own, and wait until it listens."""
        words = [str(self.scene.bin / "python3"), str(self.scene.home / "deploy_api_server.py"), "--port", str(port)]
        output, group = self.on.folder / f"server-{port}.log", self.groups.make(str(port))
        process = hands.start("service", words, self.on.environment(), output, group)
        self.on.started[process.pid] = process
        self._until(lambda: stage.listening(port), SERVER_SECONDS, f"the {self.kind.name} server never listened")

    def _until(self, come: Any, seconds: float, otherwise: str) -> None:
        deadline = time.monotonic() + seconds
        while not come():
            if time.monotonic() > deadline:
                raise StoryFailed(otherwise)
            time.sleep(PAUSE)

    def _metrics(self) -> dict[str, float]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.page}/metrics", timeout=30) as page:
                lines = page.read().decode().splitlines()
        except OSError:
            return {}
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}

    def _indexed(self) -> bool:
        return self._metrics().get("replguard_examiner_pending") == 0

    def _look(self) -> None:
        """Note what is new: alerts on the disk, and replicas that listen."""
        now = time.time()
        self.alerts += [judge.Seen(alert, now) for alert in self.watcher.new_alerts()]
        for port in self.plot.replicas:
            if port not in self.live and self._free(port) and self.scene.listening(port):
                self.live[port] = now

    def _free(self, port: int) -> bool:
        """Tell whether whoever had a port at first has been seen to let it go, at an earlier look."""
        if port != self.plot.holder or self.freed:
            return True
        self.freed = not stage.listening(port)
        return False

    def _watch(self, agent: subprocess.Popen[bytes], began: float) -> None:
        notice = began + self.plot.notice / self.factor if self.plot.notice is not None else None
        over, sampled = None, 0.0
        while True:
            self._look()
            now = time.time()
            if notice is not None and now >= notice:
                agent.terminate()
                notice = None
            if now - sampled > 1.0:
                sampled = now
                assert self.watcher.process is not None
                self.memory = max(self.memory, pss_of(below(self.watcher.process.pid)))
                over = over or (now if self._over() else None)
                if over is not None and now > over + (SETTLE if self._critical() else ALERT_SECONDS):
                    return
            if now > began + LIMIT + 1.3 * self.attack.length / self.factor:
                raise StoryFailed(f"the attack was not over after {now - began:.0f} s; {self._last()}")
            if not self.watcher.alive():
                raise StoryFailed(f"the daemon ended: {self.watcher.last_words()}")
            time.sleep(PAUSE)

    def steps(self) -> list[dict[str, Any]]:
        """Return what the agents noted so far."""
        lines = self.on.journal.read_bytes().split(b"\n")[:-1] if self.on.journal.exists() else []
        return [json.loads(line) for line in lines]

    def _over(self) -> bool:
        """Tell whether each task that the plot has was worked through: one that a notice broke off is not."""
        over = {step["task"] for step in self.steps() if step.get("over")}
        wanted = set(self.plot.tracks) - ({"work"} if self.plot.notice is not None else set())
        return wanted <= over

    def _last(self) -> str:
        steps = self.steps()
        return f"the last step was {steps[-1].get('say')!r}, told {steps[-1]['told'][-200:]!r}" if steps else "no step"

    def _critical(self) -> bool:
        agents = {step["pid"] for step in self.steps()}
        return any(seen.level == "critical" for seen in judge.own(self.alerts, agents, str(self.on.folder)))

    # -- what came of it -------------------------------------------------------------------------------------------

    def _judged(self, began: float) -> dict[str, Any]:
        steps = self.steps()
        acts: dict[str, float] = {}
        for step in steps:
            if step.get("act"):
                if step["code"] != 0:
                    raise StoryFailed(f"the step {step['act']!r} failed: {step['told'][-200:]!r}")
                acts.setdefault(step["act"], step["ended"])
        if self.plot.replicas:
            if len(self.live) < len(self.plot.replicas):
                raise StoryFailed(f"only {len(self.live)} replicas of {len(self.plot.replicas)} came to listen")
            acts["live"] = min(self.live.values())
        if self.plot.act not in acts:
            raise StoryFailed(f"the act {self.plot.act!r} never happened; {self._last()}")
        agents = {step["pid"] for step in steps}
        found = judge.judge(self.alerts, acts, self.plot.act, agents, str(self.on.folder))
        kept = [
            [round(s["began"] - began, 2), round(s["ended"] - began, 2), s["say"], s.get("act")]
            for s in steps
            if s.get("say")
        ]
        told = [[round(seen.time - began, 3), seen.level, seen.rule, seen.by in agents] for seen in found.own]
        return found.row | {
            "acts": {name: round(when - began, 3) for name, when in acts.items()}, "steps": kept, "alerts": told,
        }  # fmt: skip

    def _replayed(self, began: float) -> dict[str, Any]:
        """Replay the log as it is and stretched to the publication's length; say how they differ."""
        log, config = self.watcher.log_dir, self.watcher.config
        try:
            again.assert_same(again.written(self.watcher.alerts_file), again.replayed(log, config))
            same = ""
        except AssertionError as error:
            same = str(error).splitlines()[0]
        last = max(step["ended"] for step in self.steps())
        factor = max(1.0, self.attack.length / (last - began))
        difference = stretch.difference(log, config, began, factor)
        return {"replay": same, "stretched": difference, "stretch": round(factor, 1)}


@contextlib.contextmanager
def _far(attack: Attack, on: Bare) -> Iterator[str]:
    """Give the address of another host where an attack needs one, which takes what is sent and lets one in by SSH."""
    if not attack.far:
        yield ""
        return
    place = on.folder / "far"
    place.mkdir()
    with tempfile.TemporaryDirectory() as folder, hands.far_end(Path(folder)) as (far, space):
        python = prepared.python("tools")
        words = ["ip", "netns", "exec", space, str(python), str(HERE / "sshd.py"), far, "2222", str(place)]
        on.start(words, folder=place, output=place / "log")
        deadline = time.monotonic() + SERVER_SECONDS
        while not (place / "ready").exists():
            if time.monotonic() > deadline:
                raise StoryFailed("the other host lets nobody in")
            time.sleep(0.05)
        yield far


def _shown(on: Bare) -> list[Path]:
    """Return what other hosts have at the same place: model servers' programs, and where agents note what they do."""
    on.bin = on.folder / "bin"
    on.bin.mkdir()
    on.journal.touch()
    return [hosts.ENVIRONMENTS, on.bin, on.journal]


def play(attack: Attack, number: int, kind: Kind, factor: float, kept: Path) -> dict[str, Any]:
    """Play a trial from an empty folder to an empty process table; the log of one that was missed stays in ``kept``.

    Raises Lacking, and ReplguardError where the attack or the daemon did not come about.
    """
    if missing := [program for program in attack.needs if shutil.which(program) is None]:
        raise Lacking(f"{missing[0]} is not installed")
    trial = None
    with Bare() as on:
        try:
            with _far(attack, on) as far, hosts.peers(on, attack.peers, _shown(on)) as peers:
                trial = Trial(attack, number, kind, factor, on, far, peers)
                row = trial.play()
        except ReplguardError:
            _keep(on, kept)
            raise
        finally:
            on.end_all()
            if trial is not None:
                trial.groups.remove()
                for path in trial.scene.outside:
                    path.unlink(missing_ok=True)
        if not judge.good(row):
            _keep(on, kept)
    return row


def _keep(on: Bare, kept: Path) -> None:
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    for name in ("daemon", "journal.jsonl", "agent.log"):
        with contextlib.suppress(OSError):
            (on.folder / name).rename(kept / name)
