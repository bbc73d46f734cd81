"""A daemon, a flood by one user, and meanwhile a replication by another, who is to be told as if there were none."""

import contextlib
import os
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import msgspec
from bench.host import below, pss_of
from support import others
from support.filesystems import Mounts

from replguard.drill import dummy
from replguard.drill.stage import Stage, free_ports
from replguard.drill.watcher import Watcher
from replguard.log import reader

ACTS = Path(__file__).with_name("acts.py")
NOBODY, OTHER = 65534, 1
"""Who floods, and who replicates meanwhile."""
WORKERS = 2
PATIENCE = 60.0
"""Seconds after which what was not told is taken for missed."""
SETTLE = 5.0
COST = 'replguard_cpu_seconds_total{part="collector"}'
"""What is another number each time that the collector says how it stands."""
SERVER = """
import mmap, socket, sys, time
with open(sys.argv[1], "rb") as file:
    part = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
sum(part[::4096])
one = socket.socket()
one.bind(("127.0.0.1", int(sys.argv[2])))
one.listen()
print("up", flush=True)
time.sleep(600)
"""


@dataclass
class Found:
    """What became of one flood."""

    flood: str
    asked: int
    done: int = 0
    seconds: float = 0.0
    alerts: dict[str, str] = field(default_factory=dict)
    """Level by rule, of what was told of the replication."""
    copy: float | None = None
    live: float | None = None
    """Seconds from the end of the copy, and from the first moment of its server, to the line in the file."""
    memory: float = 0.0
    before: float = 0.0
    lost: float = 0.0
    told: float = 0.0


class Scene:
    """The daemon; ``models`` names a model for each replication that there will be, so that none is a repeat."""

    def __init__(self, models: list[str], taken: int = 0) -> None:
        """``taken``: the port for its page, which somebody has."""
        self._taken = taken
        self._models = models
        self._stage = Stage()
        self._left = contextlib.ExitStack()
        self._alerts: list[tuple[float, dict[str, Any]]] = []
        self._accounts = 0.0, 0.0
        """Lost by the page, and by the log, up to the end of the flood before."""
        self.expected: frozenset[tuple[str, str]] = frozenset()
        """Rules and levels that told of the first replication."""

    def __enter__(self) -> Self:
        stage = self._left.enter_context(self._stage)
        self.folder = Path(self._left.enter_context(tempfile.TemporaryDirectory(prefix="replguard-floods-")))
        self.folder.chmod(0o755)
        for name, owner in (("theirs", NOBODY), ("others", OTHER)):
            (self.folder / name).mkdir()
            os.chown(self.folder / name, owner, owner)
        for name in ("bait", *self._models):
            dummy.write_model(self.folder / "models" / name, tensors=8)
        self.port = self._taken or free_ports(1)[0]
        settings = {
            "weights": {"paths": [str(self.folder / "models")], "discover": False},
            "metrics": {"listen": f"127.0.0.1:{self.port}"},
        }
        self.watcher = Watcher(stage, self.folder / "daemon", settings)
        self.watcher.start()
        self._left.callback(self.watcher.stop)
        self._mounts = self._left.enter_context(Mounts(self.folder))
        if not self._taken:
            self.until(self._indexed)
        return self

    def __exit__(self, *_: object) -> None:
        self._left.close()

    def _indexed(self) -> bool:
        """Whether every model's fingerprint is made: what was copied before is told later."""
        return self.metrics().get("replguard_examiner_pending") == 0

    # -- what the daemon says --------------------------------------------------------------------------------------

    def metrics(self) -> dict[str, float]:
        """Return the page of metrics, empty while it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=30) as page:
                lines = page.read().decode().splitlines()
        except OSError:
            return {}
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}

    def lost(self) -> tuple[float, float]:
        """Return how much was lost by the page, and by the health events in the log.

        What the collector counts comes to the page every two seconds: the next time is waited for.
        """
        before = self.metrics().get(COST)
        self.until(lambda: self.metrics().get(COST) != before)
        counted = sum(v for k, v in self.metrics().items() if k.startswith("replguard_events_dropped_total"))
        told = 0
        for record in reader.records([self.watcher.log_dir], "evidence"):
            if isinstance(record, reader.Record) and b'"state":"loss"' in record.data:
                told += msgspec.json.decode(record.data)["health"].get("lost") or 1  # nobody knows: counted as one
        return counted, told

    def pss(self) -> float:
        """Return the MiB of memory of the daemon and its children."""
        return pss_of(below(self.watcher.process.pid))

    def alerts(self) -> list[tuple[float, dict[str, Any]]]:
        """Return the alerts so far, each with when it was first seen in the file."""
        self._alerts += [(time.monotonic(), alert) for alert in self.watcher.new_alerts()]
        return self._alerts

    def until(self, come: Any, seconds: float = PATIENCE, every: float = 0.02) -> bool:
        """Wait for something; False if it did not come."""
        deadline = time.monotonic() + seconds
        while not come():
            if time.monotonic() > deadline:
                return False
            time.sleep(every)
        return True

    # -- what happens ----------------------------------------------------------------------------------------------

    def flood(self, name: str, count: int, model: str) -> Found:
        """Let one user flood, and when that has begun another replicate a model; return what was told of it."""
        found = Found(name, count, before=self.pss())
        began = time.monotonic()
        with self._sampled(found), self._flooding(name, count) as workers:
            for worker in workers:
                assert worker.stdout is not None
                assert worker.stdout.readline() == b"begun\n", name
            self.replicate(model, found)
            for worker in workers:
                found.done += int(worker.stdout.readline().split()[1])
            found.seconds = time.monotonic() - began
        (lost, told), _ = self._accounts, self.until(self._accounted, every=0.5)
        found.lost, found.told = self._accounts[0] - lost, self._accounts[1] - told
        return found

    def _accounted(self) -> bool:
        self._accounts = self.lost()
        return self._accounts[0] <= self._accounts[1]

    def replicate(self, model: str, found: Found) -> None:
        """Copy a model as another user, start a server of the copy, and wait for what is told of it.

        The first time what that is is not known: all that comes within the time that it takes at most.
        """
        source = self.folder / "models" / model / "model.safetensors"
        target = self.folder / "others" / model
        others.run(OTHER, "/bin/cp", source, target)
        copied = time.monotonic()
        self.until(lambda: self.told(model, "weights-copy"))
        (port,) = free_ports(1)
        with others.started(OTHER, others.PYTHON, "-c", SERVER, target, port) as server:
            assert server.stdout is not None
            assert server.stdout.readline() == b"up\n"
            up = time.monotonic()
            self.until(lambda: self.told(model, "server-live") and self.expected <= self._levels(model).items())
            if not self.expected:
                time.sleep(SETTLE)
                # A copy that is over when it is looked at is told as one, and not as one that has begun.
                self.expected = frozenset(told for told in self._levels(model).items() if "-started" not in told[0])
            server.kill()
        told = {kind: self.told(model, kind) for kind in ("weights-copy", "server-live")}
        found.copy = min(told["weights-copy"]) - copied if told["weights-copy"] else None
        found.live = min(told["server-live"]) - up if told["server-live"] else None
        found.alerts = self._levels(model)

    def _levels(self, model: str) -> dict[str, str]:
        """Return the level by rule of what was told of a model."""
        about = [alert for _, alert in self.alerts() if alert["replguard"].get("model") == model]
        return {alert["rule"]["name"]: alert["rule"]["level"] for alert in about}

    def told(self, model: str, kind: str) -> list[float]:
        return [
            when
            for when, alert in self.alerts()
            if alert["replguard"].get("model") == model and kind in alert["rule"]["name"]
        ]

    @contextlib.contextmanager
    def _flooding(self, name: str, count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
        place = self.folder / "theirs" / name
        if name == "sparse":
            self._mounts.mount(place, ["-t", "tmpfs", "-o", "size=4g,nr_inodes=2000000,mode=0755", "tmpfs"])
        number_of = max(WORKERS, min(6, count // 16_000)) if name == "listeners" else WORKERS
        apart = others.APART if name == "listeners" and others.apart(NOBODY) else []
        words = ["apart"] if apart else [f"port={self.port}"]
        bait = self.folder / "models" / "bait" / "model.safetensors"
        with contextlib.ExitStack() as stack:
            workers = []
            for number in range(number_of):
                mine = place / str(number)
                mine.mkdir(parents=True)
                os.chown(mine, NOBODY, NOBODY)
                line = [*apart, others.PYTHON, ACTS, name, count // number_of, mine, bait, *words]
                workers.append(stack.enter_context(others.started(NOBODY, *line)))
            yield workers

    @contextlib.contextmanager
    def _sampled(self, found: Found) -> Iterator[None]:
        over = threading.Event()

        def sample() -> None:
            while not over.wait(0.5):
                found.memory = max(found.memory, self.pss())

        thread = threading.Thread(target=sample)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
