"""An ordinary day on a host of models, played once before two daemons: one knows no manifest, the other has one."""

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml
from bench.host import below
from support import daemon
from support.daemon import Daemon
from support.matrix import field, hands
from support.matrix.cases import CASES, Case
from support.programs import Lacking

import replguard
from replguard.drill import dummy, stage

PLAYED = 60.0
SETTLE = 5.0
"""Longer than any poll: what was going to be raised has been raised."""
TENSORS = 2
Told = dict[str, Any]


class Day:
    """The cases' folders and models, and what each of the two daemons raised."""

    def __init__(self, folder: Path, cases: Iterable[Case]) -> None:
        self.folder = folder
        self.cases = {f"c{number:03}": case for number, case in enumerate(cases)}
        self.slugs = {case.name: slug for slug, case in self.cases.items()}
        self.groups = hands.Groups()
        self.endpoint, self.far, self.space = stage.free_ports(1)[0], "", ""
        self.failed: dict[str, str] = {}
        self.pids: dict[str, set[int]] = {}
        self.daemons: dict[str, Daemon] = {}
        self._watching: set[int] = set()
        self.lay()

    def lay(self) -> None:
        """Write the models: each case has one of its own."""
        for slug in (*self.cases, "control"):
            dummy.write_model(self.folder / "models" / slug, tensors=TENSORS)

    def place(self, slug: str) -> Path:
        return self.folder / "work" / slug

    def service(self, slug: str) -> str:
        """Return the name of the service that does a case's work."""
        return slug

    def played(self, _slug: str) -> float:
        """Return the seconds that a case may take."""
        return PLAYED

    def scan(self) -> None:
        """Make the fingerprints once, before: a daemon that reads and listens is a server to the other one."""
        config = self.folder / "scan.yaml"
        config.write_text(yaml.safe_dump(self._weights() | {"state_dir": str(self.folder / "scanned")}))
        words = [sys.executable, "-m", "replguard", "weights", "scan", "-c", str(config)]
        home = str(Path(replguard.__file__).parents[1])
        environment = os.environ | {"PYTHONPATH": home, "PYTHONDONTWRITEBYTECODE": "1"}
        subprocess.run([*words, "--export", str(self.folder / "index")], env=environment, check=True, timeout=120)

    def _weights(self) -> dict[str, Any]:
        return {"weights": {"paths": [str(self.folder / "models")], "discover": False, "scan_rate": "4GiB"}}

    def settings(self, manifest: Path | None) -> dict[str, Any]:
        weights = self._weights()
        weights["weights"]["index"] = [str(self.folder / "index")]
        agents = {"agents": {"endpoints": [f"{stage.LOOPBACK}:{self.endpoint}"]}}
        return weights | agents | field.SETTINGS | ({"manifest": str(manifest)} if manifest else {})

    def manifest(self) -> Path:
        """Write what an operator who knows this work would have written, and return the file."""
        deployments, jobs = [], []
        for slug, case in self.cases.items():
            who: dict[str, Any] = {"unit": self.groups.unit(slug)} if case.hand == "service" else {"user": 0}
            who |= {"name": slug, "weights": [str(self.folder / "models" / slug), str(self.place(slug))]}
            if case.may:
                jobs.append(who | {"may": list(case.may)})
            if case.instances:
                peers = {"peers": [self.far]} if case.peers else {}
                deployments.append(who | {"name": f"{slug}-server", "max_instances": case.instances} | peers)
        path = self.folder / "manifest.yaml"
        path.write_text(yaml.safe_dump({"deployments": deployments, "jobs": jobs}, sort_keys=False))
        return path

    # -- the play ------------------------------------------------------------------------------------------------

    def play(self) -> None:
        """Play every case, then see that both daemons are silent and not blind."""
        self._see("first")
        self._watching = {pid for one in self.daemons.values() for pid in below(one.watcher.process.pid)}
        with ThreadPoolExecutor(field.AT_ONCE) as pool:
            list(pool.map(self._play, self.cases))
        time.sleep(SETTLE)
        self._see("last")

    def _see(self, name: str) -> None:
        """Copy a model in the plainest way and wait until both daemons have told it."""
        target = self.folder / name
        source = self.folder / "models" / "control" / "model.safetensors"
        subprocess.run(["cp", source, target], check=True)
        for one in self.daemons.values():
            one.fact("weights_copy", lambda fact: fact["file"]["path"] == str(target), 30)

    def _play(self, slug: str) -> None:
        case, folder = self.cases[slug], self.place(slug)
        folder.mkdir(parents=True)
        self._write(slug, folder)
        try:
            group = self.groups.make(self.service(slug)) if case.hand == "service" else None
            words = hands.command(case.hand, folder, f"http://{stage.LOOPBACK}:{self.endpoint}/")
            hand = hands.start(case.hand, words, self._environment(), folder / "err", group)
        except (Lacking, OSError) as error:
            self.failed[case.name] = str(error)
            return
        with hands.acting(hand, folder):
            self._finish(slug, folder)
        said = (folder / "who").read_text().split() if (folder / "who").exists() else []
        self.pids[slug] = {hand.pid, *map(int, said)}

    def _finish(self, slug: str, folder: Path) -> None:
        case, deadline = self.cases[slug], time.monotonic() + self.played(slug)
        while not (folder / "done").exists():
            if (folder / "failed").exists() or time.monotonic() > deadline:
                self.failed[case.name] = (folder / "err").read_text(errors="replace").strip() or "it came to no end"
                return
            time.sleep(0.05)

    def _write(self, slug: str, folder: Path) -> None:
        case = self.cases[slug]
        names = "".join(f"export {name}={shlex.quote(str(value))}\n" for name, value in self.given(slug).items())
        over = "trap 'r=$?; [ $r = 0 ] || echo $r > \"$DIR/failed\"' EXIT\n"
        end = 'echo $$ > "$DIR/done"\n'
        (folder / "act.sh").write_text(f"set -eu\n{names}{over}{case.act}\n{end}")
        (folder / "launch.sh").write_text(f'sh "{folder}/act.sh"\n')
        (folder / "hand.sh").write_text(hands.HAND + "\n")
        (folder / "lines").write_text(f"{names}{case.act}\n{end}")

    def given(self, slug: str) -> dict[str, Any]:
        """Return the variables that an act is told."""
        return {
            "NAME": f"rg-{self.groups.unit(slug)}",
            "M": self.folder / "models" / slug / "model.safetensors",
            "DIR": self.place(slug),
            "PY": sys.executable,
            "RESHAPE": Path(__file__).with_name("reshape.py"),
            "EP": f"http://{stage.LOOPBACK}:{self.endpoint}/",
            "FAR": self.far,
            "NEAR": hands.near(self.far),
            "NS": self.space,
        }

    def _environment(self) -> dict[str, str]:
        return hands.environment(next(iter(self.daemons.values())).stage)

    # -- what was raised -----------------------------------------------------------------------------------------

    def raised(self, which: str, slug: str | None, least: str) -> list[str]:
        """Return what a daemon raised about one case, or (None) about none of them, at a level or above.

        What it raised about the other daemon is left out: that one reads all models, and its canary listens.
        """
        return [
            f"{alert['rule']['level']} {alert['rule']['name']}: {alert['message']}"
            for alert in self.daemons[which].alerts(least)
            if self._whose(alert) == slug and alert["process"]["pid"] not in self._watching
        ]

    def _whose(self, alert: Told) -> str | None:
        """Return the case that an alert is about: by its model, by who acted, or by the folder that it names."""
        about = alert["replguard"]
        model = str(about.get("model") or "").rpartition("/")[2]
        if model in self.cases or model == "control":
            return model
        actor = about.get("actor") or {}
        text = f"{alert['message']} {actor.get('principal')}"
        for slug, pids in self.pids.items():
            if actor.get("pid") in pids or self.groups.unit(slug) in text or f"{self.place(slug)}/" in text:
                return slug
        return None


def _mute(on: stage.Stage, settings: dict[str, Any]) -> dict[str, Any]:
    """Keep a daemon from making its control socket: it reads weights, and to the other it would be a server of them."""
    (on.folder / "daemon" / "state" / "control.sock").mkdir(parents=True)
    return settings


@contextlib.contextmanager
def lived(cases: Iterable[Case] = CASES, kind: type[Day] = Day) -> Iterator[Day]:
    """Live through the day and yield what came of it. Raises Lacking."""
    with contextlib.ExitStack() as over:
        folder = Path(tempfile.mkdtemp(prefix="rg-day-"))
        over.callback(shutil.rmtree, folder, ignore_errors=True)
        over.callback(hands.let_go, folder)
        day = kind(folder, cases)
        day.far, day.space = over.enter_context(hands.far_end(folder))
        day.scan()
        day.daemons["alone"] = over.enter_context(daemon.running(lambda on: _mute(on, day.settings(None))))
        day.daemons["told"] = over.enter_context(daemon.running(lambda on: _mute(on, day.settings(day.manifest()))))
        over.callback(day.groups.remove)
        hands.serve_endpoint(next(iter(day.daemons.values())).stage, folder, day.endpoint)
        day.play()
        yield day
