"""The shipped units in a real systemd: restricted they see all the same, are fed, come back, and end cleanly."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support import deadmount, filesystems, systemd
from support.programs import Lacking

from replguard.drill import dummy
from replguard.log import reader

ROOT = Path(__file__).resolve().parents[2]
UNIT = "replguard.service"
JUDGES = "replguard-analyser.service"
UNITS = (UNIT, JUDGES, "replguard-analyser.socket")
SECONDS = 30.0
KEPT = 20
"""Descriptors of all its sensors: how many it is depends on the kernel."""
ALIKE = ("sensor", "area", "mode", "works")
PLACES = {
    "/tmp": Path("/tmp"),
    "/home": Path("/home"),
    "/root": Path("/root"),
    "/dev/shm": Path("/dev/shm"),
    "/var/tmp": Path("/var/tmp"),
}
pytestmark = [
    pytest.mark.root,
    pytest.mark.timeout(300),
    pytest.mark.skipif(systemd.unavailable() is not None, reason=systemd.unavailable() or ""),
]


class Service:
    """The units in a manager of their own, with all that they are shipped with but program, user and configuration.

    Who judges may see /tmp and /root here: the test's folder and its interpreter lie there.
    """

    def __init__(self, manager: systemd.Manager, folder: Path) -> None:
        self.manager, self.folder, self.errors = manager, folder, folder / "errors"
        for name in UNITS:
            shutil.copy(ROOT / "systemd" / name, manager.units)
        for name in (UNIT, JUDGES):
            (manager.units / f"{name}.d").mkdir()

    def give(self, **settings: str) -> None:
        """Let settings be other than shipped; a list is emptied first."""
        lines = [line for key, value in settings.items() for line in (f"{key}=", f"{key}={value}")]
        ours = [
            "Group=root",
            "ConfigurationDirectory=",
            f"StandardError=append:{self.errors}",
            f"WorkingDirectory={ROOT}",
        ]
        judges = [
            "User=",
            "PrivateTmp=no",
            "ProtectHome=no",
            "ExecStart=",
            f"ExecStart={_program('--only', 'analyser')}",
        ]
        for name, more in ((UNIT, lines), (JUDGES, judges)):
            (self.manager.units / f"{name}.d" / "test.conf").write_text("\n".join(["[Service]", *ours, *more, ""]))
        self.manager.ctl("daemon-reload")

    def runs(self, *words: str, **settings: str) -> None:
        """Let it run another verb of this checkout."""
        self.give(ExecStart=_program(*words), **settings)

    def doctor(self, **settings: str) -> dict[str, list[dict[str, object]]]:
        """Return what `doctor` says under the unit's restrictions, some of them other than shipped."""
        out = self.folder / "doctor.json"
        self.runs("doctor", "--json", Type="oneshot", Restart="no", StandardOutput=f"truncate:{out}", **settings)
        self.manager.ctl("start", UNIT, check=False)
        self.manager.ctl("reset-failed", check=False)
        found: dict[str, list[dict[str, object]]] = json.loads(out.read_text())
        return found

    def does(self, script: str, **settings: str) -> bool:
        """Run a Python script under the unit's restrictions; False where it fails."""
        self.give(Type="oneshot", Restart="no", ExecStart=f'{sys.executable} -c "{script}"', **settings)
        self.manager.ctl("start", UNIT, check=False)
        ended = self.manager.show(UNIT, "ExecMainStatus")
        self.manager.ctl("reset-failed", check=False)
        return ended == "0"

    def copies(self) -> dict[str, str]:
        """Return where copies were told of so far, with where each came from."""
        found = {}
        for record in reader.records([self.folder / "log" / "replguard"], "evidence"):
            if isinstance(record, reader.Record) and b'"weights_copy"' in record.data:
                fact = msgspec.json.decode(record.data)
                if fact["event"]["action"] == "weights_copy" and fact["replguard"].get("status") == "done":
                    found[fact["file"]["path"]] = fact["replguard"]["origin"]["path"]
        return found

    def raw(self) -> list[dict[str, Any]]:
        """Return the raw log so far."""
        found = reader.records([self.folder / "log" / "replguard"], "raw")
        return [json.loads(record.data) for record in found if isinstance(record, reader.Record)]

    def kept(self) -> int:
        """Return how many descriptors systemd keeps for it."""
        return int(self.manager.show(UNIT, "NFileDescriptorStore"))

    def told(self) -> list[dict[str, Any]]:
        """Return the records of the evidence so far."""
        log = reader.records([self.folder / "log" / "replguard"], "evidence")
        return [msgspec.json.decode(record.data) for record in log if isinstance(record, reader.Record)]

    def tampering(self) -> list[str]:
        """Return what was done to its files so far: how, and to which part."""
        facts = [
            each["replguard"] for each in self.told() if each.get("event", {}).get("action") == "watcher_tampering"
        ]
        return [f"{fact['technique']} {fact['source']}" for fact in facts if "technique" in fact and "source" in fact]

    def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts so far."""
        return [each for each in self.told() if "rule" in each and each.get("event", {}).get("kind") == "alert"]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Give the unit, not started."""
    folder = tmp_path_factory.mktemp("unit")
    with systemd.manager(folder) as manager:
        yield Service(manager, folder)


@pytest.fixture
def started(service: Service) -> Iterator[Service]:
    """Give it running, with a model that it protects; state and log are the folders that the unit names."""
    folder = service.folder
    if not (folder / "models").exists():
        dummy.write_model(folder / "models" / "m", tensors=4)
    settings = {
        "state_dir": f"{folder}/replguard",
        "log": {"dir": f"{folder}/log/replguard"},
        "weights": {"paths": [f"{folder}/models"], "discover": False},
        "agents": {"endpoints": []},
        "manifest": f"{folder}/manifest.yaml",
        "sinks": {"jsonl": {"path": f"{folder}/log/replguard/alerts.jsonl"}},
        "metrics": {"listen": ""},
    }
    (folder / "replguard.yaml").write_bytes(msgspec.yaml.encode(settings))
    service.runs("run", "--only", "collector", "-c", f"{folder}/replguard.yaml")
    service.manager.ctl("start", UNIT)
    yield service
    service.manager.ctl("stop", UNIT)
    service.manager.until(lambda: not service.manager.pid(JUDGES))


def test_it_works_as_without_restrictions(service: Service) -> None:
    """Each sensor in its mode, each hook used: nothing that the unit takes away was needed."""
    command = [sys.executable, "-m", "replguard", "doctor", "--json"]
    free = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, check=False).stdout)
    bound = service.doctor()
    assert [[row[key] for key in ALIKE] for row in bound["sensors"]] == [
        [row[key] for key in ALIKE] for row in free["sensors"]
    ]
    assert [(row["program"], row["used"]) for row in bound["hooks"]] == [
        (row["program"], row["used"]) for row in free["hooks"]
    ]


NEEDS = {
    "CAP_SYS_ADMIN": "from replguard.kernel.libbpf import check; check()",
    "CAP_SYS_PTRACE": "import os; os.readlink('/proc/{other}/exe')",
    "CAP_DAC_READ_SEARCH": "open('{secret}', 'rb').read()",
}
"""What each capability is there for: eBPF and fanotify, processes of others, files of others."""


@pytest.mark.parametrize("capability", NEEDS)
def test_what_it_may_it_needs(service: Service, tmp_path: Path, capability: str) -> None:
    """With what is shipped it can do what it cannot without this one."""
    secret = tmp_path / "secret"
    secret.touch(mode=0o600)
    os.chown(secret, 65534, 65534)
    tmp_path.chmod(0o755)
    shipped = _bounding_set()
    assert set(shipped) == set(NEEDS)
    rest = " ".join(each for each in shipped if each != capability)
    with subprocess.Popen(["sleep", "60"], user=65534) as other:
        script = NEEDS[capability].format(secret=secret, other=other.pid)
        ended = [service.does(script, CapabilityBoundingSet=given) for given in (" ".join(shipped), rest)]
        other.kill()
    assert ended == [True, False], service.manager.said()


def test_it_is_ready_when_systemd_is_told_so(started: Service) -> None:
    """`start` waited for it; it has what the unit gives it and no more."""
    pid = started.manager.pid(UNIT)
    assert started.manager.show(UNIT, "SubState") == "running"
    assert started.manager.show(UNIT, "StatusText").startswith("watching, ")
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
    )
    assert int(status["CapEff"], 16) == 1 << 2 | 1 << 19 | 1 << 21  # DAC_READ_SEARCH, SYS_PTRACE, SYS_ADMIN
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert oct((started.folder / "replguard").stat().st_mode & 0o777) == "0o710"
    judges = Path(f"/proc/{started.manager.pid(JUDGES)}/status").read_text()
    assert all(f"{key}:\t{0:016x}\n" in judges for key in ("CapEff", "CapPrm", "CapBnd"))
    assert oct((started.folder / "log" / "replguard").stat().st_mode & 0o777) == "0o750"


def test_copies_are_named_wherever_they_are_made(started: Service, tmp_path: Path) -> None:
    """In the folders that a service is often kept from, on what is mounted later, in a namespace, on an overlay."""
    source = started.folder / "models" / "m" / "model.safetensors"
    name = f"replguard-test-{os.getpid()}"
    made: list[Path] = []
    before = len(started.copies())
    try:
        with filesystems.Mounts(tmp_path) as mounts:
            late = mounts.tmpfs(tmp_path / "late")
            merged = mounts.overlay(_made(tmp_path / "lower"), tmp_path / "merged")
            for folder in [path for path in PLACES.values() if path.is_dir()] + [late, merged]:
                made.append(folder / name)
                shutil.copyfile(source, made[-1])
            inside = tmp_path / "inside"
            inside.mkdir()
            script = f"mount -t tmpfs t {inside} && cp {source} {inside}/{name} && sleep {SECONDS}"
            with subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sh", "-c", script]) as apart:
                _until(lambda: len(started.copies()) >= before + len(made) + 1)
                apart.kill()
            told = started.copies()
    finally:
        for path in made:
            path.unlink(missing_ok=True)
    upper = [path for path in told if path.endswith(name) and path.startswith(str(tmp_path))]
    assert {str(path) for path in made if merged not in path.parents} <= set(told)
    assert len(upper) == 3, upper  # the late mount, the overlay by one of its paths, and the other namespace
    assert {told[str(path)] for path in made if str(path) in told} == {str(source)}


def test_it_can_change_nothing_but_its_own(started: Service) -> None:
    """The host's files are read-only to it, and so is a disk past its filesystem."""
    inside = f"/proc/{started.manager.pid(UNIT)}/root"
    assert started.folder.is_dir()
    with pytest.raises(OSError, match="Read-only file system"):
        (Path(inside) / "etc" / f"replguard-test-{os.getpid()}").touch()
    with pytest.raises(OSError, match="Read-only file system"):
        (Path(inside) / str(started.folder)[1:] / "models" / "m" / "more").touch()
    (Path(inside) / str(started.folder)[1:] / "replguard" / "more").touch()


def test_it_is_fed_and_comes_back(started: Service) -> None:
    """Longer than its watchdog waits it stays the same process; one that was killed is another a moment later."""
    started.runs("run", "--only", "collector", "-c", f"{started.folder}/replguard.yaml", WatchdogSec="5s")
    started.manager.ctl("restart", UNIT)
    first = started.manager.pid(UNIT)
    time.sleep(8)
    assert started.manager.pid(UNIT) == first
    for number in (signal.SIGKILL, signal.SIGSTOP):  # what is stopped feeds nobody
        first = started.manager.pid(UNIT)
        os.kill(first, number)
        _until(lambda first=first: started.manager.pid(UNIT) not in (0, first))
        started.manager.until(lambda: started.manager.show(UNIT, "SubState") == "running")
    assert "Fatal Python error: Aborted" in started.errors.read_text()
    assert "in watch_over" in started.errors.read_text()


@pytest.mark.parametrize("how", ["killed", "restarted"])
def test_what_is_done_until_it_runs_again_is_told(started: Service, tmp_path: Path, how: str) -> None:
    """A program that began and ended while nobody ran, and what it copied; it says that nothing was lost."""
    started.manager.until(lambda: started.kept() >= KEPT)
    before = started.manager.pid(UNIT)
    if how == "killed":
        os.kill(before, signal.SIGKILL)
    else:
        started.manager.ctl("restart", "--no-block", UNIT)
    started.manager.until(lambda: not Path(f"/proc/{before}").exists())
    source, copy = started.folder / "models" / "m" / "model.safetensors", tmp_path / "copy"
    subprocess.run(["cp", source, copy], check=True)
    started.manager.until(lambda: started.manager.pid(UNIT) not in (0, before))
    _until(lambda: str(copy) in started.copies())
    assert started.copies()[str(copy)] == str(source)
    command = f"cp {source} {copy}"
    acts = [one["event"]["action"] for one in started.raw() if one.get("process", {}).get("command_line") == command]
    assert [one for one in acts if one.startswith("process_")] == ["process_exec", "process_exit"]
    told = [one["health"] for one in started.raw() if "the run before" in one.get("health", {}).get("reason", "")]
    assert told[-1]["state"] == "recovered"
    assert "was stopped: " in told[-1]["reason"] or how == "killed"
    assert "nothing of it was lost" in told[-1]["reason"]


def test_stopped_it_leaves_nothing_running(started: Service) -> None:
    """What systemd kept for it is closed; the next start begins anew."""
    started.manager.until(lambda: started.kept() >= KEPT)
    started.manager.ctl("stop", UNIT)
    started.manager.until(lambda: started.kept() == 0)
    started.manager.ctl("start", UNIT)


def test_it_reads_again_when_systemd_says_so(started: Service) -> None:
    """`systemctl reload` needs no right of its own; without it nothing that did not change is read."""
    started.manager.ctl("reload", UNIT)
    for told in ("the manifest was read again", "rules were read again"):
        started.manager.until(lambda told=told: told in started.errors.read_text())


def test_ordinary_work_on_it_is_low_and_its_socket_is_where_the_unit_says(started: Service) -> None:
    """A restart, logrotate in its folder, and configuration management that writes the same manifest anew."""
    folder, manager = started.folder, started.manager
    before = {each["event"]["id"] for each in started.alerts()}  # of what other tests did to it
    log, manifest = folder / "log" / "replguard", folder / "manifest.yaml"
    script = f"echo >{manifest}.new; mv {manifest}.new {manifest}; echo >{log}/a; mv {log}/a {log}/a.1"
    (manager.units / "chore.service").write_text(f"[Service]\nType=oneshot\nExecStart=/bin/sh -c '{script}'\n")
    manager.ctl("daemon-reload")
    manager.ctl("start", "chore.service")
    _until(lambda: {"rename manifest", "rename log"} <= set(started.tampering()))
    words = (sys.executable, "-m", "replguard", "maintenance", "-c", f"{folder}/replguard.yaml")
    assert "no maintenance window" in manager.enter(*words).stdout
    manager.ctl("restart", UNIT)
    _until(lambda: "no maintenance window" in manager.enter(*words).stdout)
    alerts = [each for each in started.alerts() if each["rule"]["name"].startswith(("blinding", "watcher"))]
    alerts = [each for each in alerts if each["event"]["id"] not in before]
    assert {each["rule"]["level"] for each in alerts} == {"low"}, alerts
    assert "signal daemon" in started.tampering(), "by the service manager: informational, and so in the log only"


@pytest.mark.parametrize("which", [JUDGES, UNIT])
def test_one_that_is_killed_takes_nothing_with_it(started: Service, tmp_path: Path, which: str) -> None:
    """The other one stays; what was done meanwhile is told, and that nothing was lost."""
    started.manager.until(lambda: started.kept() >= KEPT)
    before = {name: started.manager.pid(name) for name in (UNIT, JUDGES)}
    os.kill(before[which], signal.SIGKILL)
    source, copy = started.folder / "models" / "m" / "model.safetensors", tmp_path / "copy"
    subprocess.run(["cp", source, copy], check=True)
    _until(lambda: str(copy) in started.copies())
    assert started.copies()[str(copy)] == str(source)
    after = {name: started.manager.pid(name) for name in (UNIT, JUDGES)}
    assert {name for name in before if before[name] != after[name]} == {which}
    words = f"cp {source} {copy}"
    acts = [one["event"]["action"] for one in started.raw() if one.get("process", {}).get("command_line") == words]
    assert [one for one in acts if one.startswith("process_")] == ["process_exec", "process_exit"]


def _program(*words: str) -> str:
    return " ".join([sys.executable, "-m", "replguard", *(("run", *words) if words[0] == "--only" else words)])


def _bounding_set() -> list[str]:
    lines = (ROOT / "systemd" / UNIT).read_text().splitlines()
    return next(line.partition("=")[2].split() for line in lines if line.startswith("CapabilityBoundingSet="))


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _until(true: Callable[[], object]) -> None:
    end = time.monotonic() + SECONDS
    while not true() and time.monotonic() < end:
        time.sleep(0.2)


def test_a_dead_mount_does_not_keep_it_from_starting(started: Service, tmp_path: Path) -> None:
    """Anybody can make one; the unit's view of the host is made by going over all mounts."""
    (tmp_path / "dead").mkdir()
    with deadmount.mounted(tmp_path / "dead"):
        started.manager.ctl("restart", UNIT)
        assert started.manager.show(UNIT, "SubState") == "running"


@pytest.mark.parametrize(("mode", "allowed"), [("rb", True), ("wb", False)])
def test_a_disk_can_be_read_and_not_written(service: Service, tmp_path: Path, mode: str, allowed: bool) -> None:
    """Whoever took the daemon over could else change the host's files past their filesystem."""
    (tmp_path / "disk").write_bytes(bytes(2**20))
    with filesystems.Mounts(tmp_path) as mounts:
        try:
            device = mounts.loop(tmp_path / "disk")
        except Lacking as lacking:
            pytest.skip(str(lacking))
        assert service.does("open('/dev/null', 'wb').close()")
        assert service.does(f"open('{device}', '{mode}').close()") is allowed
