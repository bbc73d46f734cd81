"""Processes told by the kernel, on this kernel: nothing is missed, however short it lived."""

import contextlib
import ctypes
import os
import pty
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support import keeping
from support.credentials import PLAIN
from support.keeping import Between

from replguard.config import Config, Sensors
from replguard.errors import Unavailable
from replguard.events import clock
from replguard.events.event import Event
from replguard.events.hint import Hint
from replguard.events.process import Process
from replguard.kernel import libbpf, machine
from replguard.kernel.bpf import process as records
from replguard.kernel.carried import CARRIED
from replguard.provenance import entry
from replguard.provenance.processes import ProcessTable
from replguard.sensors import exec as sensors
from replguard.sensors import probed
from replguard.sensors.exec import ExecSensor
from replguard.sensors.processes.describe import Describer

pytestmark = pytest.mark.root
TRUE = "/bin/true"


@contextlib.contextmanager
def opened(**keys: Any) -> Iterator[ExecSensor]:
    """Open and start a sensor, with keys of its configuration."""
    try:
        made = sensors.open(msgspec.structs.replace(Config(), sensors=Sensors(**keys)))
    except Unavailable as error:
        pytest.skip(str(error))
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def sensor() -> Iterator[ExecSensor]:
    with opened() as made:
        yield made


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


def test_who_is_joined_by_pipes_and_socket_pairs(sensor: ExecSensor) -> None:
    """Both ends name the same pipe, however short the programs lived; what an exec closes is not told."""
    list(sensor.tick())
    near, far = socket.socketpair()
    reading, writing = os.pipe()
    # Only some pipes of the first 64 descriptors are told, and those of this process are many: a program with few.
    becomes = f"import os; os.dup({writing}); os.close({writing}); os.execv({TRUE!r}, [{TRUE!r}])"
    with near, far:
        first = subprocess.Popen([sys.executable, "-Sc", becomes], stdin=reading, stdout=near, pass_fds=[writing])
        second = subprocess.Popen([TRUE], stdin=far, stdout=writing)
        told = until(sensor, lambda told: ended(first.pid)(told) and ended(second.pid)(told))
    pipe = os.fstat(reading).st_ino
    os.close(reading)
    os.close(writing)
    one, two = (of(told, child.pid)["process_exec"].process for child in (first, second))
    assert first.wait() == second.wait() == 0
    assert one is not None
    assert two is not None
    there, here = (set(a.pipes_out or ()) & set(b.pipes_in or ()) for a, b in ((one, two), (two, one)))
    assert len(there) == 1
    assert pipe in here
    assert len(here) == 2
    assert not there & set(one.pipes_in or ())
    assert pipe not in (one.pipes_out or ())
    assert pipe in (two.pipes_out or ())


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
    assert [sensor._programs.number(sensor._losses_at, kind) for kind in records.KINDS] == [0] * 5  # type: ignore[union-attr]
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
            if field not in ("start", "parent", "namespaces", "namespace_pid"):
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


def test_a_child_that_forks_before_it_executes_is_the_parent(sensor: ExecSensor) -> None:
    """What it starts is its own, though it was told as its exec alone."""
    list(sensor.tick())
    code = (
        "import os\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        f"    if os.fork() == 0: os.execv({TRUE!r}, [{TRUE!r}, 'grandchild'])\n"
        "    os.wait()\n"
        f"    os.execv({TRUE!r}, [{TRUE!r}, 'child'])\n"
        "os.waitpid(pid, 0); print(pid)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    out, _ = parent.communicate()
    told = until(sensor, ended(parent.pid))
    grown = {
        e.process.args[1]: e.process for e in told if e.action == "process_exec" and e.process and e.process.args[1:]
    }
    child, grandchild = grown["child"].parent, grown["grandchild"].parent
    assert child is not None
    assert grandchild is not None
    assert (child.pid, grandchild.pid) == (parent.pid, int(out))
    assert grandchild.entity_id == grown["child"].entity_id
    assert (grandchild.command_line or "").startswith(sys.executable)


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
    assert inside[0].namespace_pid == 1
    assert inside[0].namespaces is not None
    assert inside[0].namespaces.pid not in (None, records.FIRST_PIDS)
    assert inside[0].namespaces.mount == Path("/proc/self/ns/mnt").stat().st_ino
    assert inside[0].namespaces.network == Path("/proc/self/ns/net").stat().st_ino
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


def test_parents_are_told_before_their_children_whatever_their_numbers(
    sensor: ExecSensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers begin again: a child may have a smaller one, and its parent has to be known before it."""
    sleeper = subprocess.Popen(["sleep", "60"])
    try:
        numbers = machine.pids()
        monkeypatch.setattr(machine, "pids", lambda root="/proc": [*reversed(numbers)])
        monkeypatch.setattr(machine, "last_pid", lambda root="/proc": min(numbers))
        first = [e.process for e in sensor.tick() if e.event.kind == "state" and e.process is not None]
    finally:
        sleeper.kill()
        sleeper.wait()
    places = {process.entity_id: place for place, process in enumerate(first)}
    pairs = [(p.parent.entity_id, p.entity_id) for p in first if p.parent and p.parent.entity_id in places]
    assert len(pairs) > 1
    assert all(places[parent] < places[child] for parent, child in pairs)


def test_after_a_loss_the_list_of_processes_is_read(sensor: ExecSensor) -> None:
    """The loss is counted and told with its number; what was missed is found."""
    list(sensor.tick())
    sleeper = subprocess.Popen(["sleep", "60"])
    try:
        assert sensor._ring is not None
        list(sensor._ring.read())
        sensor._known[2**22 + 1] = sensor._known[os.getpid()]
        sensor._lost = [-2] + [0] * (2 * len(records.KINDS) - 1)
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


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Iterator[Between]:
    """Descriptors are kept from one sensor to the next."""
    with keeping.between(monkeypatch) as one:
        yield one


def test_what_was_done_while_nobody_read_is_told_with_its_times(between: Between) -> None:
    """One that began and ended, one that began and still runs, and the end of one that ran before."""
    before = subprocess.Popen(["sleep", "600"])
    with opened() as first:
        list(first.tick())
    began = clock.now()
    before.kill()
    before.wait()
    with subprocess.Popen(["true", "meanwhile"]) as short:
        pass
    with subprocess.Popen(["sleep", "601"]) as still, opened() as second:
        ended = clock.now()
        assert second.went_on is not None
        told = list(second.tick())
        still.kill()
    events = {
        (event.process.pid, event.action): event for event in told if event.process and event.event.kind != "state"
    }
    run = events[short.pid, "process_exec"]
    assert run.process is not None
    assert run.process.args == ("true", "meanwhile")
    assert run.process.parent is not None
    assert run.process.parent.pid == os.getpid()
    times = [run.timestamp, events[short.pid, "process_exit"].timestamp, events[still.pid, "process_exec"].timestamp]
    assert [began, *times, ended] == sorted([began, *times, ended])
    gone = events[before.pid, "process_exit"]
    assert gone.process is not None
    assert gone.process.entity_id is not None
    assert gone.process.exit_code == 128 + signal.SIGKILL
    kinds = {event.event.kind for event in told if event.process is not None and event.process.pid == still.pid}
    assert kinds == {"event"}
    assert not [event for event in told if event.health is not None]


def test_what_was_counted_as_lost_before_is_not_told_again(between: Between) -> None:
    """But what was lost meanwhile is."""
    with opened() as first:
        list(first.tick())
        first._lost[0] = 0
        place = first.programs.map("lost")
        first.programs.put(place, (0).to_bytes(4, "little"), (5).to_bytes(8, "little"))
        first._checked = 0.0
        assert [event.health.lost for event in first.tick() if event.health is not None] == [5]
    for expected in ([], [2]):
        with opened() as again:
            place = again.programs.map("lost")
            count = 5 + sum(expected)
            again.programs.put(place, (0).to_bytes(4, "little"), count.to_bytes(8, "little"))
            assert [event.health.lost for event in again.tick() if event.health is not None] == expected


def test_whom_the_run_before_watched_is_watched_until_it_is_known_who_is(between: Between) -> None:
    """Somebody may have sent them a signal meanwhile."""
    with opened() as first:
        list(first.tick())
        key = records.watch_key(records.FIRST_PIDS, os.getpid())
        first.programs.put(first.programs.map("watched"), key, os.getpid().to_bytes(4, "little"))
    with opened() as second:
        watched = second.programs.map("watched")
        list(second.tick())
        assert key in dict(second.programs.entries(watched, 8, 4))
        second._reconciles = second._checked = 0.0
        list(second.tick())
        assert dict(second.programs.entries(watched, 8, 4)) == {}


def test_what_was_taken_and_not_written_is_read_again(between: Between, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the times: what is in the log of the run before is not told twice. Without such a time nothing is."""
    monkeypatch.setattr(probed, "WRITTEN", 0.0)
    with opened() as first:
        list(first.tick())
        first._checked = 0.0
        list(first.tick())
        run(first, TRUE, "written")
        until_now = clock.now()
        lost = run(first, TRUE, "lost")
    pid = lost["process_exec"].process.pid
    monkeypatch.setattr(probed, "WRITTEN", 60.0)
    for before, told in ((None, []), (clock.now(), []), (until_now, ["process_exec", "process_exit"])):
        monkeypatch.setattr(CARRIED, "before", before)
        with opened() as second:
            again = [event for event in second.tick() if event.event.kind != "state" and event.process is not None]
        assert [event.action for event in again if event.process.pid == pid] == told
        assert not [event for event in again if event.process.args == (TRUE, "written")]


@pytest.mark.parametrize("part", ["process_exec", "told"])
def test_what_is_not_what_its_name_says_is_given_up(between: Between, part: str) -> None:
    """It begins anew, and says why; nothing that was handed in is left open."""
    with opened() as first:
        list(first.tick())
    counter = os.eventfd(0)
    between.replace("exec", part, counter)
    with opened() as second:
        assert second.went_on is None
        assert "exec" in between.unfit
        list(second.tick())
    os.close(counter)
    with opened() as third:  # what was begun anew was kept
        assert third.went_on is not None


def test_a_record_that_is_none_is_counted(sensor: ExecSensor) -> None:
    """It costs no other."""
    assert list(sensor.decoded([b"short"])) == []
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


@contextlib.contextmanager
def watched(sensor: ExecSensor, *argv: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run a program that is watched, or the one that it starts in a pid namespace of its own; yield it and the pid."""
    list(sensor.tick())
    started = subprocess.Popen(argv, start_new_session=True)
    try:
        found: list[int] = []

        def sleeping(told: list[Event]) -> bool:
            found[:] = [
                e.process.pid
                for e in told
                if e.process and e.process.pid and e.process.args[:1] == ("sleep",) and e.action == "process_exec"
            ]
            return bool(found)

        until(sensor, sleeping)
        sensor.watch(Hint(kind="process", pid=found[0], entity_id=sensor._entity(found[0])))
        list(sensor.tick())
        yield started, found[0]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
        started.wait()


def acts(told: list[Event], action: str) -> list[Event]:
    return [e for e in told if e.action == action]


def send(how: str, pid: int, number: int) -> None:
    """Send a signal to a process, to its group, to its thread or through a descriptor of it."""
    if how == "kill":
        os.kill(pid, number)
    elif how == "killpg":
        os.killpg(pid, number)
    elif how == "tgkill":
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.tgkill(pid, pid, number) == 0
    else:
        descriptor = os.pidfd_open(pid)
        signal.pidfd_send_signal(descriptor, number)  # type: ignore[attr-defined,unused-ignore]
        os.close(descriptor)


@pytest.mark.parametrize("how", ["kill", "killpg", "tgkill", "pidfd"])
@pytest.mark.parametrize("name", ["TERM", "STOP", "INT", "KILL", "HUP"])
def test_a_signal_to_a_watched_process_has_its_sender(sensor: ExecSensor, how: str, name: str) -> None:
    """However it is sent, it is told once, with who sent it to whom."""
    with watched(sensor, "sleep", "60") as (_, pid):
        if how == "tgkill" and not hasattr(ctypes.CDLL(None), "tgkill"):
            pytest.skip("this libc has no tgkill")
        send(how, pid, getattr(signal, f"SIG{name}"))
        told = acts(until(sensor, lambda told: bool(acts(told, "process_signal"))), "process_signal")
        assert len(told) == 1
        sender, target, about = told[0].process, told[0].target, told[0].replguard
        assert sender is not None
        assert target is not None
        assert about is not None
        assert (sender.pid, target.pid, target.args) == (os.getpid(), pid, ("sleep", "60"))
        assert sender.entity_id == Describer().brief(os.getpid()).entity_id  # type: ignore[union-attr]
        assert (about.status, about.signal) == (name, getattr(signal, f"SIG{name}"))
        assert (about.tier, about.attribution) == ("kernel", "kernel")


def test_signals_that_end_nobody_and_of_nobody_watched_are_not_told(sensor: ExecSensor) -> None:
    """A child's end, a window's size, and a process that no hint named, or that one dropped."""
    with watched(sensor, "sleep", "60") as (_, pid):
        bystander = subprocess.Popen(["sleep", "60"])
        os.kill(pid, signal.SIGWINCH)
        os.kill(bystander.pid, signal.SIGTERM)
        bystander.wait()
        told = until(sensor, ended(bystander.pid))
        sensor.watch(Hint(kind="process", pid=pid, drop=True))
        list(sensor.tick())
        os.kill(pid, signal.SIGTERM)
        told += until(sensor, ended(pid))
        assert not acts(told, "process_signal")


def test_a_signal_that_the_kernel_sends_has_no_sender(sensor: ExecSensor) -> None:
    """Control and C at a terminal: whoever happened to run then is not who sent it."""
    list(sensor.tick())
    pid, terminal = pty.fork()
    if pid == 0:
        try:
            os.execvp("sleep", ["sleep", "60"])
        finally:
            os._exit(1)
    try:
        until(sensor, lambda told: "process_exec" in of(told, pid))
        sensor.watch(Hint(kind="process", pid=pid))
        list(sensor.tick())
        os.write(terminal, b"\x03")
        told = acts(until(sensor, ended(pid)), "process_signal")
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)
    assert len(told) == 1
    assert told[0].process is None
    assert told[0].replguard is not None
    assert (told[0].replguard.status, told[0].replguard.attribution) == ("INT", "unknown")


def test_in_a_pid_namespace_signals_and_targets_are_the_hosts(sensor: ExecSensor) -> None:
    """Who sends and who is sent to, both by numbers that only mean something inside."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-pf", TRUE], check=False).returncode:
        pytest.skip("unshare is refused here")
    script = "sleep 60 & read line; kill -TERM $!; wait"
    list(sensor.tick())
    outer = subprocess.Popen(["unshare", "-pf", "sh", "-c", script], stdin=subprocess.PIPE, start_new_session=True)
    try:
        told: list[Event] = []

        def slept(new: list[Event]) -> list[Process]:
            return [e.process for e in new if e.process is not None and e.process.args == ("sleep", "60")]

        told = until(sensor, lambda new: bool(slept(new)))
        inside = slept(told)[0]
        assert inside.pid is not None
        sensor.watch(Hint(kind="process", pid=inside.pid, entity_id=inside.entity_id))
        list(sensor.tick())
        outer.communicate(b"go\n")
        sent = acts(until(sensor, ended(inside.pid)), "process_signal")
        assert len(sent) == 1
        assert sent[0].target is not None
        assert sent[0].process is not None
        assert sent[0].target.pid == inside.pid
        assert (sent[0].process.args[:2], sent[0].process.namespace_pid) == (("sh", "-c"), 1)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(outer.pid, signal.SIGKILL)
        outer.wait()


class Vec(ctypes.Structure):
    """struct iovec."""

    _fields_ = (("base", ctypes.c_void_p), ("len", ctypes.c_size_t))


def read_memory(pid: int, address: int, size: int) -> int:
    """Read memory of another process with process_vm_readv; return how much."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.process_vm_readv.restype = ctypes.c_ssize_t
    buffer = ctypes.create_string_buffer(size)
    mine, its = Vec(ctypes.addressof(buffer), size), Vec(address, size)
    return int(libc.process_vm_readv(pid, ctypes.byref(mine), 1, ctypes.byref(its), 1, 0))


def stack(pid: int) -> int:
    """Return an address that a process can read."""
    line = next(line for line in Path(f"/proc/{pid}/maps").read_text().splitlines() if "[stack]" in line)
    return int(line.split("-")[1].split()[0], 16) - 4096


def test_who_reads_the_memory_of_a_watched_process_is_told() -> None:
    """Once, with the bytes; a read that is refused is none, and neither is one of somebody else."""
    with opened(memory_access=True) as sensor, watched(sensor, "sleep", "60") as (_, pid):
        assert "process_access" in sensor.makes
        assert read_memory(pid, 1, 8) < 0
        assert read_memory(os.getpid(), stack(os.getpid()), 64) == 64
        assert read_memory(pid, stack(pid), 1024) == 1024
        told = acts(until(sensor, lambda told: bool(acts(told, "process_access"))), "process_access")
        assert len(told) == 1
        assert told[0].process is not None
        assert told[0].target is not None
        assert told[0].replguard is not None
        assert (told[0].process.pid, told[0].target.pid) == (os.getpid(), pid)
        about = told[0].replguard
        assert (about.mode, about.technique, about.bytes) == ("memory", "process_vm_readv", 1024)


def test_who_begins_to_trace_a_watched_process_is_told() -> None:
    """A debugger begins with ptrace."""
    with opened(memory_access=True) as sensor, watched(sensor, "sleep", "60") as (_, pid):
        code = f"import ctypes; c = ctypes.CDLL(None); assert c.ptrace(0x4206, {pid}, 0, 0) == 0"
        tracer = subprocess.Popen([sys.executable, "-c", code])
        assert tracer.wait() == 0
        told = acts(until(sensor, lambda told: bool(acts(told, "process_access"))), "process_access")
        assert len(told) == 1
        assert told[0].process is not None
        assert told[0].replguard is not None
        assert told[0].process.pid == tracer.pid
        assert told[0].replguard.technique == "ptrace"


def test_memory_access_is_off_unless_asked_for(sensor: ExecSensor) -> None:
    """The sentence names the key and what it costs."""
    assert "process_access" not in sensor.makes
    assert "process_signal" in sensor.makes
    assert "sensors.memory_access" in (sensor.why or "")


def test_with_the_hooks_of_5_15_the_same_is_told(tmp_path: Path) -> None:
    """Another program walks the paths; what it cannot walk is cut, and not told wrong."""
    with opened(hooks="5.15") as sensor:
        assert "process_exec" in sensor.programs.missing
        assert "process_exec_bounded" not in sensor.programs.missing
        assert "5.15" in sensor.programs.missing["process_exec"]
        folder = tmp_path.joinpath(*"abcdefgh")
        folder.mkdir(parents=True)
        list(sensor.tick())
        told = run(sensor, TRUE, "one", cwd=folder)
        process = told["process_exec"].process
        assert process is not None
        assert (process.executable, process.working_directory) == (os.path.realpath(TRUE), str(folder))
        assert process.args == (TRUE, "one")
        assert told["process_exit"].process.exit_code == 0  # type: ignore[union-attr]
        deep = tmp_path.joinpath(*["d"] * 60)
        deep.mkdir(parents=True)
        told = run(sensor, TRUE, "deep", cwd=deep)
        assert told["process_exec"].process is not None
        assert told["process_exec"].process.working_directory is None
        assert told["process_exec"].process.args == (TRUE, "deep")


@pytest.fixture
def container() -> Iterator[Path]:
    """Make a control group named as container engines name them, and remove it."""
    mounts = (line.split() for line in Path("/proc/mounts").read_text().splitlines())
    root = next((Path(words[1]) for words in mounts if words[2] == "cgroup2"), None)
    if root is None:
        pytest.skip("no unified control groups are mounted here")
    folder = root / f"docker-{os.getpid():064x}.scope"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        yield folder
    finally:
        end = time.monotonic() + 5
        while folder.exists() and time.monotonic() < end:
            with contextlib.suppress(OSError):
                folder.rmdir()
            time.sleep(0.01)


def test_what_lived_a_millisecond_in_a_container_has_its_id(sensor: ExecSensor, container: Path) -> None:
    """From its control group, though it is gone when that is asked for."""
    list(sensor.tick())
    script = f"echo $$ > {container}/cgroup.procs; {TRUE} inside; exit 0"
    started = subprocess.Popen(["sh", "-c", script])
    if started.wait():
        pytest.skip("no process may be moved here")
    told = until(sensor, ended(started.pid))
    (inside,) = [e.process for e in told if e.action == "process_exec" and e.process and "inside" in e.process.args]
    assert (inside.cgroup or "").endswith(container.name)
    proc = ProcessTable().exec(next(e for e in told if e.process is inside))
    assert proc is not None
    assert entry.container_id(proc) == f"{os.getpid():064x}"


def test_credentials_are_masked_before_anybody_knows_them(sensor: ExecSensor) -> None:
    """In what is told of the program and of its end, and of whom it starts; also behind where a line is cut."""
    code = "/bin/true; exit 0"
    started = subprocess.Popen(["/bin/sh", "-c", code, "x" * 1000, "--password", PLAIN, "y" * 3000])
    started.wait()
    told = until(sensor, ended(started.pid))
    mine = of(told, started.pid)
    assert mine["process_exec"].process.args[4:6] == ("--password", "***")
    assert all(PLAIN not in msgspec.json.encode(event).decode() for event in told)
    assert any(event.process.parent is not None and event.process.parent.pid == started.pid for event in told)
