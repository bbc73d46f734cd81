"""A host to copy weights on: a protected model for each way, filesystems of many kinds, a daemon that watches."""

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import daemon, programs
from support.daemon import Daemon
from support.filesystems import Mounts
from support.programs import Lacking
from support.ways import ALL, By, Way

from replguard.drill import dummy, stage
from replguard.drill.stage import Stage

SECONDS = 15.0
"""How long a fact is waited for; the budget is far below, but the machine may be busy."""
Fact = dict[str, Any]


class Ground:
    """Where the ways are played: folders by filesystem, the compiled programs, and what the daemon says."""

    def __init__(self, folder: Path, mounts: Mounts, built: dict[str, str]) -> None:
        self.folder, self.mounts, self.programs = folder, mounts, built
        self.folders: dict[str, Path] = {}
        self.devices: dict[str, str] = {}
        self.lacking: dict[str, str] = {}
        self.surest = "kernel"
        """How sure any actor here can be: of a test run whose parent has ended, the kernel's word is an inference."""
        self.gaps: dict[str, Callable[[], list[Fact]]] = {}
        self.endpoint = stage.free_ports(1)[0]
        self._daemon: Daemon | None = None

    @property
    def stage(self) -> Stage:
        assert self._daemon is not None
        return self._daemon.stage

    def lay(self, played: Iterable[Way]) -> None:
        """Make the filesystems that the ways need, and a model for each of them and for the control."""
        played = {way.name: way for way in (ALL["control"], *played)}
        needed = {kind for way in played.values() for kind in (way.source, way.target)}
        self.folders["disk"] = self.folder / "disk"
        self.folders["disk"].mkdir()
        for kind in sorted(needed - {"disk"}):
            try:
                if kind == "tmpfs":
                    self.folders[kind] = self.mounts.tmpfs(self.folder / kind)
                else:
                    self.folders[kind], self.devices[kind] = self.mounts.image(kind)
            except Lacking as lacking:
                self.lacking[kind] = str(lacking)
        for way in played.values():
            if way.source in self.folders:
                dummy.write_model(self.source(way).parent, tensors=way.tensors)

    def source(self, way: Way) -> Path:
        return self.folders[way.source] / "models" / way.name / "model.safetensors"

    def target(self, way: Way) -> Path:
        """Return where the copy goes; its folder is made."""
        kind = way.target if way.target != "disk" else way.source
        folder = self.folders[kind] / "out" / way.name
        folder.mkdir(parents=True, exist_ok=True)
        return folder / way.file

    def need(self, way: Way) -> tuple[Path, Path]:
        """Return source and target of a way, or skip the test where the machine lacks what it needs."""
        for kind in (way.source, way.target):
            if kind in self.lacking:
                pytest.skip(self.lacking[kind])
        return self.source(way), self.target(way)

    def acted(self, fact: Fact, pid: int, *, child: bool = False, by: By | None = "kernel") -> bool:
        """Tell whether a fact names the process, or one that it started, as surely as ``by`` says or more so."""
        process = fact.get("process") or {}
        named = (process.get("parent") or {}).get("pid") if child else process.get("pid")
        about, sure = fact["replguard"], {"kernel", self.surest}  # an ancestor that is forgotten takes its guess along
        if by != "kernel":
            sure |= {"lineage", "inferred"} if by == "inferred" else {"lineage"}
        return named == pid and about["attribution"] in sure and (by != "kernel" or about["tier"] == "kernel")

    # -- acting --------------------------------------------------------------------------------------------------

    def start(self, *words: object, **more: Any) -> subprocess.Popen[bytes]:
        """Start a program; the daemon's end ends it too."""
        environment = self.stage.environment()
        return subprocess.Popen([str(word) for word in words], env=environment, stdin=subprocess.PIPE, **more)

    def run(self, *words: object) -> int:
        """Run a program to its end, which has to be a good one, and return the pid that it had."""
        with self.start(*words, stderr=subprocess.PIPE) as process:
            said = process.stderr.read().decode() if process.stderr else ""
        assert process.returncode == 0, said
        return process.pid

    def serve_endpoint(self) -> None:
        """Start what answers as a model would; nobody looks at what it says."""
        words = ["--bind", stage.LOOPBACK, "--directory", self.folder / "programs", self.endpoint]
        self.stage.module("http.server", *words, folder=self.folder, output=self.folder / "endpoint.log")
        deadline = time.monotonic() + SECONDS
        while not stage.listening(self.endpoint):
            assert time.monotonic() < deadline
            time.sleep(0.02)

    @contextlib.contextmanager
    def served(self, way: Way) -> Iterator[int]:
        """Serve a way's model by a process that has it mapped, known to the daemon, and yield its pid."""
        source = self.source(way)
        arguments = ("--weights", source, "--port", *stage.free_ports(1))
        output = self.folder / f"{way.name}.log"
        process = self.stage.module("replguard.drill.server", *arguments, folder=self.folder, output=output)

        def live(fact: Fact) -> bool:
            return process.pid in (fact["replguard"].get("instance") or {}).get("pids", [])

        try:
            self.fact("server_live", live, source)
            self._marked(process.pid)
            self.settle()  # what else follows from a server takes a moment
            yield process.pid
        finally:
            self.stage.end(process, 5)

    def _marked(self, pid: int) -> None:
        """Wait until the daemon has its mark on a process's folder, as the kernel lists it: who opens its memory."""
        assert self._daemon is not None
        assert self._daemon.watcher.process is not None
        wanted = f" ino:{Path(f'/proc/{pid}').stat().st_ino:x} "
        deadline = time.monotonic() + SECONDS
        while not any(wanted in mark for mark in _marks(self._daemon.watcher.process.pid)):
            assert time.monotonic() < deadline, "the server's memory is not marked"
            time.sleep(0.05)

    # -- what is told --------------------------------------------------------------------------------------------

    def facts(self, action: str | None = None) -> list[Fact]:
        """Return the facts of the evidence so far, of one kind if asked."""
        assert self._daemon is not None
        return [one for one in self._daemon.evidence.facts() if action is None or one["event"]["action"] == action]

    def about(self, *paths: Path) -> list[Fact]:
        """Return the facts that name one of these files, as the file or as the origin, or a file below one."""
        return [one for one in self.facts() if any(_names(one, str(path)) for path in paths)]

    def fact(self, action: str, fits: Callable[[Fact], object], *paths: Path) -> Fact:
        """Wait for a fact that fits; fail with what came about the files instead."""
        deadline = time.monotonic() + SECONDS
        while True:
            for one in self.facts(action):
                if fits(one):
                    return one
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        came = [brief(one) for one in (self.about(*paths) if paths else self.facts(action))]
        raise AssertionError("\n".join([f"no such {action} within {SECONDS:.0f} s, but:", *came]))

    def event(self, action: str, fits: Callable[[Fact], object]) -> Fact:
        """Wait for an event of the raw log that fits."""
        assert self._daemon is not None
        return self._daemon.fact(action, fits, SECONDS)

    def settle(self) -> Fact:
        """Copy a file in the plainest way and return what is told of it: what happened before had its chance."""
        way = ALL["control"]
        target = self.target(way).with_name(f"control-{time.monotonic_ns()}")
        self.run("cp", self.source(way), target)
        return self.fact("weights_copy", lambda fact: fact["file"]["path"] == str(target), target)

    def gap(self, way: Way, found: Callable[[], list[Fact]]) -> None:
        """Assert that nothing of the kind is told, now and at the end of all: a gap that closes must not stay one."""
        self.settle()
        assert [brief(one) for one in found()] == [], f"{way.technique} is a gap no more"
        self.gaps[way.name] = found


def _marks(pid: int) -> Iterator[str]:
    """Yield the inode marks of all fanotify groups of a process (proc_pid_fdinfo(5))."""
    for info in Path(f"/proc/{pid}/fdinfo").iterdir():
        with contextlib.suppress(OSError):
            yield from (line for line in info.read_text().splitlines() if line.startswith("fanotify ino:"))


def _names(fact: Fact, path: str) -> bool:
    about = fact.get("replguard") or {}
    shown = [(fact.get("file") or {}).get("path"), (about.get("origin") or {}).get("path")]
    return any(one is not None and (one == path or one.startswith(path + "/")) for one in shown)


def brief(fact: Fact) -> str:
    """Return a fact in a line."""
    about, process = fact.get("replguard") or {}, fact.get("process") or {}
    words = [fact.get("event", {}).get("action"), (fact.get("file") or {}).get("path")]
    words += [f"{key}={about[key]}" for key in ("mode", "status", "technique", "confidence", "share") if key in about]
    line = " ".join((process.get("command_line") or "?").split())[:120]
    parent = (process.get("parent") or {}).get("pid")
    who = f"{process.get('pid')} (of {parent}) {line}" if process else "nobody"
    return " ".join(map(str, [*words, f"by {who} ({about.get('attribution')}, {about.get('tier')})"]))


@contextlib.contextmanager
def running(folder: Path, settings: dict[str, Any], played: Iterable[Way] = tuple(ALL.values())) -> Iterator[Ground]:
    """Lay the ground in a folder, run a daemon that protects its models, and judge the gaps again in the end."""
    try:
        built = programs.built(folder / "programs")
    except Lacking as lacking:
        pytest.skip(str(lacking))
    with Mounts(folder) as mounts:
        ground = Ground(folder, mounts, built)
        ground.lay(played)
        endpoint = f"{stage.LOOPBACK}:{ground.endpoint}"
        models = [str(on / "models") for on in ground.folders.values() if (on / "models").is_dir()]
        given = {"weights": {"paths": models, "discover": False, "scan_rate": "4GiB"}}
        given |= {"agents": {"endpoints": [endpoint]}} | settings
        with daemon.running(lambda _: given) as started:
            ground._daemon = started
            ground.serve_endpoint()
            ground.surest = ground.settle()["replguard"]["attribution"]
            assert ground.surest in ("kernel", "inferred")
            yield ground
            closed = {name: [brief(one) for one in found()] for name, found in ground.gaps.items()}
            assert {name: told for name, told in closed.items() if told} == {}
