"""Processes come, execute, fork and go; pids are used again."""

import os
import subprocess
import sys
from pathlib import Path

from support.host import FakeHost, one, python, running

from replguard.events.event import Event
from replguard.events.hint import Hint
from replguard.sensors import process as module
from replguard.sensors.process import ProcessSensor


def told(events: list[Event]) -> list[tuple[str, int | None, str | None]]:
    return [(e.action, e.process.pid, e.process.name) for e in events if e.process is not None]


def fake(tmp_path: Path) -> tuple[FakeHost, ProcessSensor]:
    host = FakeHost(tmp_path)
    host.process(1, b"init", ppid=0, start=1)
    sensor = ProcessSensor(host.root)
    sensor.start()
    return host, sensor


def test_what_runs_at_start_is_state(tmp_path: Path) -> None:
    """The first look tells everyone there, oldest first, as state."""
    host, sensor = fake(tmp_path)
    host.process(5, b"five", args=[b"five"])
    events = list(sensor.poll())
    assert [(e.action, e.event.kind, e.process and e.process.pid) for e in events] == [
        ("process_exec", "state", 1),
        ("process_exec", "state", 5),
    ]


def test_the_quick_look_needs_no_list(tmp_path: Path) -> None:
    """A new pid shows in the counter; its parent is bound with its entity id."""
    host, sensor = fake(tmp_path)
    list(sensor.poll())
    host.process(5, b"five", args=[b"five"])
    (event,) = list(sensor.poll())
    assert (event.action, event.event.kind) == ("process_exec", "event")
    assert event.process is not None
    assert event.process.parent is not None
    assert event.process.parent.entity_id is not None
    assert event.timestamp == event.process.start


def test_a_pid_that_is_used_again_is_another_process(tmp_path: Path) -> None:
    """An exit and an exec with another entity id."""
    host, sensor = fake(tmp_path)
    host.process(5, b"one")
    before = list(sensor.poll())[-1].process
    host.process(5, b"two", start=200)
    module_events = list(sensor._sweep(1e9))
    assert told(module_events) == [("process_exit", 5, "one"), ("process_exec", 5, "two")]
    after = module_events[-1].process
    assert before is not None
    assert after is not None
    assert before.entity_id != after.entity_id


def test_gone_is_exit(tmp_path: Path) -> None:
    """The next full list misses it."""
    host, sensor = fake(tmp_path)
    host.process(5, b"one")
    list(sensor.poll())
    host.end(5)
    assert told(list(sensor._sweep(1e9))) == [("process_exit", 5, "one")]


def test_kernel_threads_are_filtered(tmp_path: Path) -> None:
    """PF_KTHREAD in the flags: counted, not told."""
    host, sensor = fake(tmp_path)
    host.write("6/stat", b"6 (kworker/0:1) I 2 0 0 0 -1 69238880 0 0 0 0 0 0 0 0 20 0 1 0 30 0 0 0 0 0 0 0")
    assert [e.process.pid for e in sensor.poll() if e.process] == [1]
    assert sensor.counters.filtered == 1


def test_a_burst_is_listed_at_once(tmp_path: Path) -> None:
    """More new pids than are worth trying one by one, and a counter that began again, take the full list."""
    host, sensor = fake(tmp_path)
    list(sensor.poll())
    host.process(module.MOST_NEW + 100, b"far")
    assert told(list(sensor.poll())) == [("process_exec", module.MOST_NEW + 100, "far")]
    host.process(7, b"wrapped")
    assert told(list(sensor.poll())) == [("process_exec", 7, "wrapped")]


def test_a_real_fork_then_exec_then_exit() -> None:
    """A fork is no exec; an exec later is; the exit carries what it ran last."""
    code = (
        "import os,sys\nr,w=os.pipe()\npid=os.fork()\n"
        "if not pid:\n os.read(r,1)\n os.execlp('sleep','sleep','60')\n"
        "print(pid,flush=True)\nsys.stdin.readline()\nos.write(w,b'x')\nsys.stdin.readline()\n"
        "os.kill(pid,9)\nos.waitpid(pid,0)\nprint('done',flush=True)\nsys.stdin.read()"
    )
    with running(ProcessSensor()) as events, python(code) as parent:
        child = int(parent.stdout.readline())
        fork = one(events, "process_fork", lambda e: e.process.pid == child)
        parent.stdin.write("\n")
        parent.stdin.flush()
        executed = one(events, "process_exec", lambda e: e.process.pid == child)
        assert executed.process.args == ("sleep", "60")
        assert executed.process.entity_id == fork.process.entity_id
        assert executed.process.parent.pid == parent.pid
        assert executed.replguard.read_time
        parent.stdin.write("\n")
        parent.stdin.flush()
        assert parent.stdout.readline() == "done\n"
        exited = one(events, "process_exit", lambda e: e.process.pid == child)
        assert exited.process.args == ("sleep", "60")


def test_short_processes_are_seen() -> None:
    """Of twenty that live 100 ms none is missed, and each knows its parent."""
    with running(ProcessSensor()) as events:
        for number in range(20):
            subprocess.run([sys.executable, "-c", "import time; time.sleep(0.1)", f"short {number}"], check=True)
        seen = {
            e.process.args[-1]
            for e in list(events)
            if e.action == "process_exec"
            and e.process.parent
            and e.process.parent.pid == os.getpid()
            and e.process.args
        }
    assert {f"short {number}" for number in range(20)} <= seen


def test_hostile_arguments_become_valid_text() -> None:
    """Newlines, escapes, bytes that are no UTF-8 and 120 KiB of argument."""
    hostile = ["a\nreplguard: forged", b"\xff\x1b[2J".decode("utf-8", "surrogateescape"), "x" * 120_000]
    with (
        running(ProcessSensor()) as events,
        python("import sys; print(flush=True); sys.stdin.read()", *hostile) as child,
    ):
        child.stdout.readline()
        event = one(events, "process_exec", lambda e: e.process.pid == child.pid and len(e.process.args) > 3)
    assert event.process.args[-3:] == (hostile[0], "\\xff\x1b[2J", hostile[2])
    assert event.process.command_line.encode()


def test_children_that_only_the_accounts_saw(tmp_path: Path) -> None:
    """Faults of reaped children, without a child that was met, tell that one lived between two looks."""
    host, sensor = fake(tmp_path)
    host.process(5, b"agent")
    event = next(e for e in sensor.poll() if e.process.pid == 5)
    sensor.watch(Hint(kind="process", pid=5, entity_id=event.process.entity_id))
    list(sensor._sweep(1e9))
    data = Path(host.root, "5", "stat").read_bytes().replace(b" 0 1 2 3 4 ", b" 0 1 900 3 4 ")
    host.write("5/stat", data)
    assert told(list(sensor._sweep(1e9))) == [("process_children", 5, "agent")]
    assert told(list(sensor._sweep(1e9))) == []
