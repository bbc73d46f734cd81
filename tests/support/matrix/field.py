"""Where the matrix is played: a model for each row, one daemon over all, four rows at a time; then what is missed."""

import contextlib
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from support import daemon, programs
from support.daemon import Daemon
from support.filesystems import Mounts
from support.matrix import hands
from support.matrix.rows import FACTS, LAUNCHES, LEVELS, LINKS, ROWS, RULES, Row
from support.programs import Lacking

from replguard.drill import dummy, stage

AT_ONCE = 4
PLAYED = 60.0
"""Seconds that one row may take on a busy machine."""
PATIENCE = 30.0
"""Seconds that what is still missed is waited for, once all is played."""
HELD = 8.0
"""Seconds that what goes on until it is told is waited for."""
SLOWLY = """
import sys, time
with open(sys.argv[1], 'rb') as taken, open(sys.argv[2], 'wb', 0) as made:
    made.write(taken.read())
    time.sleep(2)
"""
PART = 1_500_000
Told = dict[str, Any]
SETTINGS = {
    "alerts": {"max_per_hour": 1_000_000},
    "egress": {"limit": "2MiB"},
}


class Field:
    """The rows' folders, what they need, and what the daemon told."""

    def __init__(self, folder: Path, mounts: Mounts, rows: Iterable[Row], *, tier: str) -> None:
        self.folder, self.mounts, self.tier = folder, mounts, tier
        self.rows = {f"m{number:03}": row for number, row in enumerate(rows)}
        self.slugs = {row.name: slug for slug, row in self.rows.items()}
        self.tools = programs.built(self.folder / "tools")
        self.groups = hands.Groups()
        (self.endpoint, self.metrics), self.far = stage.free_ports(2), ""
        self.lacking: dict[str, str] = {}
        self.failed: dict[str, str] = {}
        self.hands: dict[str, set[int]] = {}
        self.plain: Told = {}
        self._daemon: Daemon | None = None
        self._lock = threading.Lock()
        self._lay()

    # -- before --------------------------------------------------------------------------------------------------

    def _lay(self) -> None:
        """Make the filesystems, and a model for each row."""
        self.roots = {"disk": self.folder / "disk", "tmpfs": self.folder / "disk" / "tmpfs"}
        self.roots["disk"].mkdir()
        try:
            self.mounts.mount(self.roots["tmpfs"], ["-t", "tmpfs", "-o", "size=1g", "tmpfs"])
            self.roots["xfs"], _ = self.mounts.image("xfs", 1000)
        except Lacking as lacking:
            self.lacking |= dict.fromkeys({"tmpfs", "xfs"} - self.roots.keys(), str(lacking))
        dummy.write_model(self.folder / "disk" / "models" / "plain", tensors=1)
        for row in self.rows.values():
            if row.place in self.roots:
                # Who writes is seen from the second MiB on: what is made of a model has to be some of it.
                dummy.write_model(self.source(row).parent, tensors=2 if row.waits or "shards" in row.act else 1)

    def source(self, row: Row) -> Path:
        return self.roots[row.place] / "models" / self.slugs[row.name] / "model.safetensors"

    def place(self, row: Row) -> Path:
        """Return the folder in which a row is played."""
        kind = "tmpfs" if row.first == "tmpfs" else row.place
        return self.roots[kind] / "play" / self.slugs[row.name]

    def settings(self) -> dict[str, Any]:
        models = [str(root / "models") for root in self.roots.values() if (root / "models").is_dir()]
        sensors = {} if self.tier == "kernel" else daemon.PORTABLE
        watched = {"watch": {"paths": [str(self.folder)]}} if self.tier != "kernel" else {}
        weights = {"weights": {"paths": models, "discover": False, "scan_rate": "4GiB"}}
        agents = {"agents": {"endpoints": [f"{stage.LOOPBACK}:{self.endpoint}"]}}
        metrics = {"metrics": {"listen": f"{stage.LOOPBACK}:{self.metrics}"}}
        return weights | agents | SETTINGS | metrics | sensors | watched

    # -- the play ------------------------------------------------------------------------------------------------

    def play(self) -> None:
        """Play every row, and wait until nothing more is to come."""
        hands.known(self.metrics)
        self.plain = self._plain()["replguard"]["actor"]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(self._play, self.rows.values()))
        self._plain()
        deadline, before = time.monotonic() + PATIENCE, -1
        while self.all_missed() and time.monotonic() < deadline:
            if before == (before := len(self.facts())) and time.monotonic() > deadline - PATIENCE / 2:
                break  # nothing came for a while: what is missed is missed
            time.sleep(1)

    def _plain(self) -> Told:
        """Copy a file in the plainest way and return what is told of it: what happened before had its chance.

        Slowly, for rows are judged by it: who only looks now and then has to see whose it is.
        """
        source = self.folder / "disk" / "models" / "plain" / "model.safetensors"
        target = self.folder / "disk" / f"plain-{time.monotonic_ns()}"
        subprocess.run([sys.executable, "-c", SLOWLY, source, target], stdin=subprocess.DEVNULL, check=True)
        deadline = time.monotonic() + PLAYED
        while True:
            for one in self.facts():
                if one["event"]["action"] == "weights_copy" and one["file"]["path"] == str(target):
                    return one
            assert time.monotonic() < deadline, "not even a plain copy is told"
            time.sleep(0.1)

    def _play(self, row: Row) -> None:
        """Play one row; why it could not be played is kept."""
        slug = self.slugs[row.name]
        if row.name in self.failed:
            return
        if row.place in self.lacking:
            self.failed[row.name] = self.lacking[row.place]
            return
        folder = self.place(row)
        folder.mkdir(parents=True)
        self._write(row, folder)
        try:
            group = self.groups.make(slug) if row.hand == "service" else None
            words = hands.command(row.hand, folder, f"http://{stage.LOOPBACK}:{self.endpoint}/")
            hand = hands.start(row.hand, words, self._environment(), folder / "err", group)
        except (Lacking, OSError) as error:
            self.failed[row.name] = str(error)
            return
        with hands.acting(hand, folder):
            self.hands[row.name] = {hand.pid}
            self._finish(row, folder)

    def _finish(self, row: Row, folder: Path) -> None:
        """Wait until a row is over, and until what goes on was told."""
        deadline = time.monotonic() + PLAYED
        while not (folder / "done").exists():
            if (folder / "failed").exists() or time.monotonic() > deadline:
                self.failed[row.name] = (folder / "err").read_text(errors="replace").strip() or "it came to no end"
                return
            time.sleep(0.05)
            if row.waits and not (folder / "go").exists() and self._fitting(row, "copy"):
                (folder / "go").touch()
        self.hands[row.name] |= {int(word) for word in (folder / "who").read_text().split()}
        deadline = time.monotonic() + HELD
        while row.held and self.missed(row) and time.monotonic() < deadline:
            time.sleep(0.1)

    def _write(self, row: Row, folder: Path) -> None:
        """Write who acts, how the act is started, and the act; each of its own, as an empty environment needs it."""
        out = "$DIR/.9f3a1c" if row.then == "hidden" else "$DIR/made"
        given = {
            "SRC": self.source(row),
            "DIR": folder,
            "PY": sys.executable,
            "RESHAPE": Path(__file__).with_name("reshape.py"),
            "TOOLS": self.folder / "tools",
            "FAR": self.far,
        }
        names = "".join(f"{name}={shlex.quote(str(value))}\n" for name, value in given.items())
        names += f'MID="$DIR/{"bound/model.safetensors" if row.first == "bind mount" else "taken"}"\nOUT="{out}"\n'
        relative = 'if [ -n "${RELATIVE:-}" ]; then\n  SRC=$(realpath --relative-to=. "$SRC")\n'
        relative += '  MID=".${MID#"$DIR"}"\n  OUT=".${OUT#"$DIR"}"\nfi\n'
        over = "trap 'r=$?; [ $r = 0 ] || echo $r > \"$DIR/failed\"' EXIT\n"
        end = 'echo $$ > "$DIR/done"\n'
        if row.first == "bind mount":  # what is mounted for a moment only, nobody sees
            over = over.replace("r=$?;", 'r=$?; umount "$DIR/bound" || true;')
            end += 'while [ ! -e "$DIR/stop" ]; do sleep 0.1; done\n'
        (folder / "act.sh").write_text(f"set -eu\n{names}{over}{relative}{row.act}\n{end}")
        (folder / "launch.sh").write_text(f"{names}{LAUNCHES[row.launch]}\n")
        (folder / "hand.sh").write_text(hands.HAND + "\n")

    def _environment(self) -> dict[str, str]:
        assert self._daemon is not None
        return hands.environment(self._daemon.stage)

    # -- what is told --------------------------------------------------------------------------------------------

    def facts(self) -> list[Told]:
        """Return the facts of the evidence so far."""
        assert self._daemon is not None
        with self._lock:
            return self._daemon.evidence.facts()

    def alerts(self) -> list[Told]:
        assert self._daemon is not None
        with self._lock:
            return self._daemon.alerts()

    def about(self, row: Row) -> list[Told]:
        """Return the facts of a row's model."""
        slug = self.slugs[row.name]
        return [one for one in self.facts() if _model(one) == slug]

    def lines(self, row: Row) -> list[str]:
        """Return what was told of a row, in a line each."""
        found = [f"{self.slugs[row.name]}: {row.act}"]
        for one in self.about(row):
            about = one["replguard"]
            words = [f"{k}={about[k]}" for k in ("status", "mode", "confidence", "technique", "share") if about.get(k)]
            actor = {key: about["actor"].get(key) for key in ("kind", "principal", "pid", "standing")}
            path = (one.get("file") or {}).get("path")
            found.append(" ".join(map(str, [one["event"]["action"], path, *words, about.get("attribution"), actor])))
        raised = (one for one in self.alerts() if _model(one) == self.slugs[row.name])
        return found + [f"! {one['rule']['level']} {one['rule']['name']}: {one['message'][:160]}" for one in raised]

    def all_missed(self) -> dict[str, frozenset[str]]:
        """Return what is missed, by row, of what could be played."""
        played = [row for row in self.rows.values() if row.name not in self.failed]
        return {row.name: missed for row in played if (missed := self.missed(row))}

    def missed(self, row: Row) -> frozenset[str]:
        """Return what is not told of a row, or not as it was."""
        found = {word: self._fitting(row, word) for word in row.facts}
        missed = {word for word, facts in found.items() if not facts}
        pids = self.hands.get(row.name, set()) if row.told_as == row.hand else set()
        unit = self.groups.unit(self.slugs[row.name])
        for facts in found.values():
            actors = [one["replguard"]["actor"] for one in facts]
            if actors and not any(hands.is_it(row.told_as, actor, pids, unit, self.plain) for actor in actors):
                missed.add("who")
        if not missed and not self._levelled(row):
            missed.add("level")
        return frozenset(missed)

    def _fitting(self, row: Row, word: str) -> list[Told]:
        """Return the facts that tell one thing of a row."""
        action, folder = FACTS[row.family], str(self.place(row))
        told, allowed = [one for one in self.about(row) if one["event"]["action"] == action], row.facts[word]
        if word == "use":
            return [one for one in told if one["replguard"]["mode"] in allowed]
        if word == "serve":
            return [one for one in told if one["replguard"]["status"] in allowed]
        if word == "send":
            return told
        done = [one for one in told if one["replguard"]["status"] == "done"]
        fit = [one for one in done if one["replguard"]["confidence"] in allowed]
        middle = (f"{folder}/taken", f"{folder}/.taken.part", f"{folder}/bound")
        if word == "copy":
            anywhere = row.first == "memfd" or row.then == "hidden"
            fit = [one for one in fit if one["file"]["path"].startswith(middle) or anywhere]
            how = LINKS.get(row.first)
            return [one for one in fit if how is None or one["replguard"]["technique"] == how]
        made = [one for one in fit if not one["file"]["path"].startswith(middle)]
        if row.then == "split":
            parts = {str(p) for p in self.place(row).glob("made*") if p.stat().st_size >= PART}
            return made if parts <= {one["file"]["path"] for one in made} else []
        return made

    def _levelled(self, row: Row) -> bool:
        """Tell whether the rule for who acted, and none for another, raised the level that is meant for it."""
        standing = self.plain["standing"] if row.told_as == "nobody" else row.told_as
        level = LEVELS[row.family][standing]
        prefix = RULES[row.family]
        column = {"agent": "agent", "unknown": "agent"}.get(standing, standing)
        raised = {
            (alert["rule"]["name"].removeprefix(f"{prefix}-"), alert["rule"]["level"])
            for alert in self.alerts()
            if _model(alert) == self.slugs[row.name] and alert["rule"]["name"].startswith(f"{prefix}-")
        }
        raised = {(who, at) for who, at in raised if who in {"agent", "session", "service"}}
        return raised == (set() if level is None else {(column, level)})


def _model(one: Told) -> str:
    return str((one.get("replguard") or {}).get("model") or "").rpartition("/")[2]


@contextlib.contextmanager
def played(*, tier: str = "kernel", rows: Iterable[Row] = ROWS) -> Iterator[Field]:
    """Play rows under a daemon and yield what came of it. Raises Lacking."""
    with contextlib.ExitStack() as over:
        folder = Path(tempfile.mkdtemp(prefix="rg-matrix-"))  # short: a socket's path has to fit into 108 characters
        over.callback(shutil.rmtree, folder, ignore_errors=True)
        field = Field(folder, over.enter_context(Mounts(folder)), rows, tier=tier)
        over.callback(hands.let_go, folder)
        field._daemon = one = over.enter_context(daemon.running(lambda _: field.settings()))
        over.callback(field.groups.remove)
        try:
            field.far, _ = over.enter_context(hands.far_end(folder))
        except Lacking as lacking:
            field.failed |= {row.name: str(lacking) for row in field.rows.values() if row.family == "send"}
        hands.serve_endpoint(one.stage, folder, field.endpoint)
        field.play()
        yield field
