"""Processes told by the kernel, on this kernel: nothing is missed, however short it lived."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from replguard.config import Config
from replguard.errors import Unavailable
from replguard.events.event import Event
from replguard.kernel import libbpf
from replguard.kernel.bpf import process as records
from replguard.sensors import exec as sensors
from replguard.sensors.describe import Describer
from replguard.sensors.exec import ExecSensor

pytestmark = pytest.mark.root
TRUE = "/bin/true"


@pytest.fixture
def sensor() -> Iterator[ExecSensor]:
    try:
        opened = sensors.open(Config())
    except Unavailable as error:
        pytest.skip(str(error))
    try:
        opened.start()
        yield opened
    finally:
        opened.stop()


def until(sensor: ExecSensor, enough: Callable[[list[Event]], bool]) -> list[Event]:
    """Read on until there is enough, at most ten seconds."""
    told: list[Event] = []
    end = time.monotonic() + 10
    while not enough(told) and time.monotonic() < end:
        told += sensor.tick()
        time.sleep(0.01)
    return told


def of(told: list[Event], pid: int, kind: str = "event") -> dict[str, Event]:
    """Return what was told of one process, by action."""
    return {
        e.action: e for e in told if e.process is not None and e.process.pid == pid and e.event.kind in (kind, "event")
    }


def ended(pid: int) -> Callable[[list[Event]], bool]:
    return lambda told: "process_exit" in of(told, pid)


def run(sensor: ExecSensor, *argv: str, **options: object) -> dict[str, Event]:
    """Run a program to its end and return what was told of it."""
    started = subprocess.Popen(argv, **options)  # type: ignore[call-overload]
    started.wait()
    return of(until(sensor, ended(started.pid)), started.pid)


def test_five_hundred_short_lives_are_all_told(sensor: ExecSensor) -> None:
    """Each with its own arguments and the right parent and code, and not one record lost."""
    list(sensor.tick())
    pids = {}
    for number in range(500):
        pid = os.posix_spawn(TRUE, [TRUE, f"number {number}"], {})
        pids[pid] = number
        os.waitpid(pid, 0)
    left = set(pids)
    told: list[Event] = []

    def enough(new: list[Event]) -> bool:
        left.difference_update(e.process.pid for e in new if e.action == "process_exit" and e.process)
        return not left

    told = until(sensor, enough)
    executed = {e.process.pid: e.process for e in told if e.action == "process_exec" and e.process}
    me = Describer().brief(os.getpid())
    assert me is not None
    for pid, number in pids.items():
        assert executed[pid].args == (TRUE, f"number {number}")
        assert executed[pid].parent is not None
        assert executed[pid].parent.entity_id == me.entity_id
    codes = {e.process.pid: e.process.exit_code for e in told if e.action == "process_exit" and e.process}
    assert {codes[pid] for pid in pids} == {0}
    assert [sensor._programs.number(sensor._losses_at, kind) for kind in records.KINDS] == [0, 0, 0]  # type: ignore[union-attr]
    assert not sensor.counters.dropped


def test_the_section_is_the_portable_one(sensor: ExecSensor, tmp_path: Path) -> None:
    """A process that lives is described alike by both tiers: the same id, image, folder, groups and user."""
    list(sensor.tick())
    sleeper = subprocess.Popen(["sleep", "60"], cwd=tmp_path)
    try:
        told = of(until(sensor, lambda told: "process_exec" in of(told, sleeper.pid)), sleeper.pid)["process_exec"]
        describer = Describer()
        seen = describer.describe(sleeper.pid)
        assert seen is not None
        assert told.process is not None
        for field in seen.__struct_fields__:
            if field not in ("start", "parent"):
                assert getattr(told.process, field) == getattr(seen, field), field
        assert told.process.start is not None
        assert seen.start is not None
        assert abs((told.process.start - seen.start).total_seconds()) < 0.01
        assert told.process.parent == seen.parent
        assert told.user == describer.user(sleeper.pid)
        assert told.replguard is not None
        assert (told.replguard.tier, told.replguard.attribution) == ("kernel", "kernel")
    finally:
        sleeper.kill()
        sleeper.wait()


@pytest.mark.parametrize(("script", "code"), [("exit 3", 3), ("kill -9 $$", 137), ("exit 0", 0)])
def test_exit_codes_are_told(sensor: ExecSensor, script: str, code: int) -> None:
    """A signal is 128 and its number, as in shells."""
    list(sensor.tick())
    told = run(sensor, "sh", "-c", script)["process_exit"]
    assert told.process is not None
    assert told.process.exit_code == code


def test_a_fork_that_executes_nothing_is_told(sensor: ExecSensor) -> None:
    """It is what its parent is, under its own id; and one of many threads ends no process."""
    list(sensor.tick())
    code = (
        "import os, threading\n"
        "t = threading.Thread(target=int); t.start(); t.join()\n"
        "pid = os.fork()\n"
        "pid or os._exit(7)\n"
        "os.waitpid(pid, 0); print(pid)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    out, _ = parent.communicate()
    told = until(sensor, ended(parent.pid))
    child, above = of(told, int(out)), of(told, parent.pid)
    assert set(child) == {"process_fork", "process_exit"}
    fork, exec_ = child["process_fork"].process, above["process_exec"].process
    assert fork is not None
    assert exec_ is not None
    assert (fork.executable, fork.args) == (exec_.executable, exec_.args)
    assert fork.parent is not None
    assert fork.parent.entity_id == exec_.entity_id
    assert child["process_exit"].process.exit_code == 7  # type: ignore[union-attr]
    assert sum(e.action == "process_exit" and e.process is not None and e.process.pid == parent.pid for e in told) == 1


def test_in_a_pid_namespace_the_pid_is_the_hosts(sensor: ExecSensor) -> None:
    """The process itself believes to be 1."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-pf", TRUE], check=False).returncode:
        pytest.skip("unshare is refused here")
    list(sensor.tick())
    outer = subprocess.Popen(["unshare", "-pf", TRUE, "inside"])
    outer.wait()
    told = until(sensor, ended(outer.pid))
    inside = [e.process for e in told if e.action == "process_exec" and e.process and e.process.args[1:] == ("inside",)]
    assert len(inside) == 1
    assert inside[0].pid not in (None, 1)
    assert inside[0].parent is not None
    assert inside[0].parent.pid == outer.pid


def test_long_arguments_are_cut_and_marked(sensor: ExecSensor) -> None:
    """16 KiB of them are there."""
    list(sensor.tick())
    told = run(sensor, TRUE, "x" * 30_000, "end")["process_exec"].process
    assert told is not None
    assert told.args_truncated
    assert told.args == (TRUE, "x" * (records.ARGS - len(TRUE) - 1))


def test_scripts_relative_paths_and_odd_bytes(sensor: ExecSensor, tmp_path: Path) -> None:
    """The image is the interpreter's; a relative path leads from the folder; bytes are escaped."""
    list(sensor.tick())
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\nexit 0\n")
    script.chmod(0o755)
    told = run(sensor, "./script", b"\xff".decode("utf-8", "surrogateescape"), cwd=tmp_path)["process_exec"].process
    assert told is not None
    assert told.args == ("/bin/sh", "./script", "\\xff")
    assert told.invoked == "/bin/sh"
    assert told.executable == os.path.realpath("/bin/sh")
    shutil.copy(TRUE, tmp_path / "copy")
    told = run(sensor, "./copy", cwd=tmp_path)["process_exec"].process
    assert told is not None
    assert told.invoked == told.executable == str(tmp_path / "copy")


def test_a_memfd_has_its_name(sensor: ExecSensor) -> None:
    """As the portable tier reads it; no path was asked for."""
    list(sensor.tick())
    memory = os.memfd_create("hidden", 0)
    try:
        os.write(memory, Path(TRUE).read_bytes())
        pid = os.fork()
        if pid == 0:
            try:
                os.execve(memory, [TRUE], {})
            finally:
                os._exit(1)
        os.waitpid(pid, 0)
    finally:
        os.close(memory)
    told = of(until(sensor, ended(pid)), pid)["process_exec"].process
    assert told is not None
    assert (told.executable, told.invoked) == ("/memfd:hidden", None)


def test_who_handed_a_child_to_init_stays_its_parent(sensor: ExecSensor) -> None:
    """A process that was orphaned before its exec is told with the one that forked it."""
    list(sensor.tick())
    code = (
        "import os, time\n"
        "me = os.getpid()\n"
        "if os.fork() == 0:\n"
        "    while os.getppid() == me: time.sleep(0.01)\n"
        f"    os.execv({TRUE!r}, [{TRUE!r}, 'orphan'])\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    parent.wait()

    def orphan(told: list[Event]) -> list[Event]:
        return [e for e in told if e.action == "process_exec" and e.process and e.process.args[1:] == ("orphan",)]

    found = orphan(until(sensor, lambda told: bool(orphan(told))))
    assert len(found) == 1
    assert found[0].process is not None
    assert found[0].process.parent is not None
    assert found[0].process.parent.pid == parent.pid


def test_what_runs_already_is_state_and_its_end_is_told(sensor: ExecSensor) -> None:
    """The first look tells each process once, as the portable sensor does."""
    sleeper = subprocess.Popen(["sleep", "60"])
    first = list(sensor.tick())
    states = of(first, sleeper.pid, "state")
    sleeper.kill()
    sleeper.wait()
    told = of(until(sensor, ended(sleeper.pid)), sleeper.pid)
    assert states["process_exec"].process is not None
    assert any(e.event.kind == "state" and e.process and e.process.pid == os.getpid() for e in first)
    assert told["process_exit"].process is not None
    assert told["process_exit"].process.exit_code == 137


def test_after_a_loss_the_list_of_processes_is_read(sensor: ExecSensor) -> None:
    """The loss is counted and told with its number; what was missed is found."""
    list(sensor.tick())
    sleeper = subprocess.Popen(["sleep", "60"])
    try:
        assert sensor._ring is not None
        list(sensor._ring.read())
        sensor._known[2**22 + 1] = sensor._known[os.getpid()]
        sensor._lost = [-2, 0, 0]
        sensor._checked = 0.0
        told = list(sensor.tick())
        health = [e.health for e in told if e.health is not None]
        assert [(h.state, h.stage, h.lost) for h in health] == [("loss", "kernel", 2)]
        assert sensor.counters.dropped["kernel", "ring full"] == 2
        assert "process_exec" in of(told, sleeper.pid)
        assert any(e.action == "process_exit" for e in told)
    finally:
        sleeper.kill()
        sleeper.wait()


def test_a_record_that_is_none_is_counted(sensor: ExecSensor) -> None:
    """It costs no other."""
    assert sensor._decoded(b"short") is None
    assert sensor.counters.dropped["decode", "malformed"] == 1


def test_it_goes_when_it_stops(sensor: ExecSensor) -> None:
    """Also when told twice, and it can begin again."""
    list(sensor.tick())
    sensor.stop()
    sensor.stop()
    sensor.start()
    assert not [e for e in sensor.tick() if e.event.kind == "state"]
    assert sensor.fileno() >= 0


def test_without_the_library_it_cannot_be_opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The reason is a sentence with what to do."""
    monkeypatch.setattr(libbpf.find, "__defaults__", ((str(tmp_path),),))
    monkeypatch.setattr(libbpf.Library.__init__, "__defaults__", ((str(tmp_path),),))
    with pytest.raises(Unavailable, match=r"libbpf1|root|BTF|container|locked"):
        sensors.open(Config())
