"""Whatever becomes of one part, it is started again, that is told, and nothing that was seen is lost."""

import os
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.parts import configure, end, gone, running

from replguard import supervisor
from replguard.supervisor import Part


def test_three_processes_begin_and_end_together(tmp_path: Path) -> None:
    """SIGTERM to the first ends all, the last word is in the log, and the exit code is 0."""
    with running(tmp_path) as daemon:
        parts = [daemon.part("collector"), daemon.part("analyser")]
        assert all(parts)
    assert daemon.process.returncode == 0
    assert all(map(gone, parts))
    assert daemon.health()[-1][:2] == ("daemon", "stopped")
    assert daemon.says("daemon", "ready")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_an_analyser_that_is_lost_loses_nothing(tmp_path: Path, number: int) -> None:
    """What happened while it was away is in the log once, and that it was away is told."""
    with running(tmp_path) as daemon:
        first = daemon.part("analyser")
        end(first, number)
        marks = []
        for _ in range(20):
            marks.append(os.posix_spawn("/bin/true", ["true", "mark"], os.environ))
            os.waitpid(marks[-1], 0)
            time.sleep(0.05)
        daemon.until(lambda: daemon.part("analyser") not in (0, first))
        daemon.until(lambda: len([s for c, s, _ in daemon.health() if (c, s) == ("daemon", "started")]) == 2)
        if os.geteuid() == 0:
            daemon.until(lambda: set(marks) <= {_pid(event) for event in daemon.events() if _began(event)})
            seen = [_pid(event) for event in daemon.events() if _began(event) and _pid(event) in marks]
            assert len(seen) == len(set(seen))
        assert "the analyser was ended by" in daemon.said()
        daemon.until(lambda: daemon.says("analyser", "degraded", "its process was lost"))


def _began(event: dict[str, object]) -> bool:
    return event["event"]["action"] == "process_exec"  # type: ignore[index]


def _pid(event: dict[str, object]) -> int:
    return event["process"]["pid"]  # type: ignore[index, no-any-return]


def test_a_collector_that_is_lost_is_replaced(tmp_path: Path) -> None:
    """The analyser goes on, and says that something may not have been seen."""
    with running(tmp_path) as daemon:
        first, analyser = daemon.part("collector"), daemon.part("analyser")
        end(first)
        daemon.until(lambda: daemon.says("collector", "degraded", "its process was lost"))
        daemon.until(lambda: [s for c, s, _ in daemon.health() if c == "daemon"].count("ready") == 2)
        assert daemon.part("collector") not in (0, first)
        assert daemon.part("analyser") == analyser
        assert gone(first)


def test_one_that_ends_again_and_again_waits_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few ends are no reason to be blind for longer; after a calm minute it is as at first."""
    now = [1000.0]
    monkeypatch.setattr(supervisor.clock, "monotonic", lambda: now[0])
    part, pauses = Part("analyser", {}), []
    for _ in range(12):
        part.pid = os.posix_spawn("/bin/true", ["true"], os.environ)
        part.pidfd = os.pidfd_open(part.pid)
        os.waitid(os.P_PID, part.pid, os.WEXITED | os.WNOWAIT)
        assert part.reap() == 0
        pauses.append(round(part.due - now[0], 3))
        now[0] += 60.0 if len(pauses) == 11 else 1.0
    assert pauses == [0.2] * 5 + [0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 0.2]


def test_no_part_outlives_the_one_that_keeps_them(tmp_path: Path) -> None:
    """Two that watch and are started by nobody would be in the way of the next."""
    with running(tmp_path) as daemon:
        parts = [daemon.part("collector"), daemon.part("analyser")]
        daemon.process.kill()
        daemon.process.wait()
        daemon.until(lambda: all(map(gone, parts)))


def test_a_part_that_stands_still_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """First so that it can say where; one that does not even do that is killed."""
    monkeypatch.setattr(supervisor, "WATCHDOG", 0.2)
    monkeypatch.setattr(supervisor, "ABORTS", 0.2)
    one = supervisor.Supervisor({"config": None})
    part = one.analyser
    part.pid = os.posix_spawn("/bin/sleep", ["sleep", "60"], os.environ)
    part.pidfd = os.pidfd_open(part.pid)
    one.collector.due = float("inf")
    part.ready = True
    sent: list[int] = []
    monkeypatch.setattr(part, "send", sent.append)
    part.fed = supervisor.clock.monotonic() - 0.3
    assert one._tend(part) is None
    part.fed -= 1
    one._tend(part)
    assert sent == [signal.SIGABRT, signal.SIGKILL]
    os.kill(part.pid, signal.SIGKILL)
    os.waitpid(part.pid, 0)
    one._notified.close()
    one._folder.cleanup()


def test_a_wrong_configuration_ends_it_with_2(tmp_path: Path) -> None:
    """With file and line, and nothing runs on."""
    path = configure(tmp_path)
    path.write_text("weigths: {}\n")
    command = [sys.executable, "-m", "replguard", "run", "-c", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert f"{path}:1" in done.stderr
    assert "weights" in done.stderr


def test_what_a_part_gives_away_is_kept_for_the_next(tmp_path: Path) -> None:
    """By name, in its order, up to a number; what is taken back is closed."""
    part = Part("collector", {})
    reads, writes = os.pipe()
    inode = os.fstat(reads).st_ino
    part.keep("ring", [reads, writes])
    assert [name for name, _ in part.kept] == ["ring", "ring"]
    assert os.fstat(part.kept[0][1]).st_ino == inode
    assert min(kept for _, kept in part.kept) >= 1024, "out of the way of those that are passed on"
    part.forget("other")
    assert len(part.kept) == 2
    part.forget("ring")
    assert part.kept == []


def test_a_stranger_is_not_heard(tmp_path: Path) -> None:
    """Who is no part cannot say that one is ready, nor have descriptors kept."""
    one = supervisor.Supervisor({"config": None})
    address = one._environment["NOTIFY_SOCKET"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", 0))]
        sender.sendmsg([b"READY=1\nFDSTORE=1\nFDNAME=x"], rights, 0, address)
    before = sum(1 for _ in Path("/proc/self/fd").iterdir())
    one._hear()
    assert sum(1 for _ in Path("/proc/self/fd").iterdir()) == before
    assert not one.collector.ready
    assert one.collector.kept == []
    one._notified.close()
    one._folder.cleanup()
