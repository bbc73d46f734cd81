"""The parsers of /proc/PID take whatever a process can put there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.host import FakeHost, python

from replguard.kernel import procfs

PARENT = "import sys; print('ready', flush=True); sys.stdin.read()"


def test_a_command_may_hold_parentheses_blanks_and_newlines(tmp_path: Path) -> None:
    """The last parenthesis ends the command, whatever it holds."""
    host = FakeHost(tmp_path)
    host.process(7, b"a) S 1 (\n\xff", ppid=3, start=55)
    stat = procfs.stat(7, host.root)
    assert stat is not None
    assert (stat.comm, stat.ppid, stat.start_ticks, stat.state) == ("a) S 1 (\n\\xff", 3, 55, "S")


@given(st.binary(max_size=300))
def test_any_stat_line_gives_a_value(data: bytes) -> None:
    """Garbage is None or a parsed line, never an exception."""
    parsed = procfs.parse_stat(data)
    assert parsed is None or isinstance(parsed.comm, str)


def test_the_image_changes_with_exec_and_not_with_fork() -> None:
    """The addresses of stack and arguments tell a fork from an exec."""
    code = "import os,sys\npid=os.fork()\nif pid: print(pid, flush=True)\nsys.stdin.read()\nif pid: os.waitpid(pid, 0)"
    with python(code) as parent:
        child = int(parent.stdout.readline())
        mine, its, ours = procfs.stat(parent.pid), procfs.stat(child), procfs.stat(os.getpid())
        assert mine is not None
        assert its is not None
        assert ours is not None
        assert mine.image is not None
        assert mine.image == its.image != ours.image


def test_uid_thread_group_and_namespace_pids(tmp_path: Path) -> None:
    """Real and effective user, and the pid inside the container, come from status."""
    host = FakeHost(tmp_path)
    host.process(9)
    assert procfs.status(9, host.root) == procfs.Status(9, 1000, 1001, (9, 1))
    host.write("9/status", b"Tgid: x\nUid:\n")
    assert procfs.status(9, host.root) is None
    assert procfs.status(10, host.root) is None


def test_arguments_may_be_hostile_and_huge() -> None:
    """Newlines, bytes that are no UTF-8 and an argument of 120 KiB arrive whole, as valid text."""
    hostile = [b"a\nb\x1b[2J", b"\xff\xfe", b"x" * 120_000]
    command = [sys.executable, "-c", PARENT, *hostile]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        found = procfs.cmdline(process.pid)
        process.stdin.close()
    assert found is not None
    assert found[0][-3:] == ("a\nb\x1b[2J", "\\xff\\xfe", "x" * 120_000)
    assert not found[1]


def test_arguments_beyond_the_limit_are_cut_and_say_so(tmp_path: Path) -> None:
    """What is cut is marked; what is empty is no argument at all."""
    host = FakeHost(tmp_path)
    host.process(5, args=[b"y" * (procfs.ARGV_LIMIT + 10)])
    found = procfs.cmdline(5, host.root)
    assert found is not None
    assert found[1]
    assert len(found[0][0]) == procfs.ARGV_LIMIT
    host.write("5/cmdline", b"")
    assert procfs.cmdline(5, host.root) == ((), False)
    host.write("5/cmdline", b"\0")
    assert procfs.cmdline(5, host.root) == (("",), False)


def test_a_deleted_image_is_named_without_the_mark(tmp_path: Path) -> None:
    """The kernel appends the mark to the name; it is no part of it."""
    host = FakeHost(tmp_path)
    host.process(5)
    (tmp_path / "5" / "exe").symlink_to("/opt/x (deleted)")
    (tmp_path / "5" / "cwd").symlink_to(b"/tmp/\xff".decode("utf-8", "surrogateescape"))
    assert procfs.exe(5, host.root) == ("/opt/x", True)
    assert procfs.cwd(5, host.root) == "/tmp/\\xff"
    assert procfs.exe(6, host.root) is None


@pytest.mark.parametrize(
    ("lines", "path"),
    [
        (b"0::/system.slice/a.service\n", "/system.slice/a.service"),
        (b"5:devices:/docker/abc\n1:name=systemd:/docker/abc/x\n0::/\n", "/docker/abc/x"),
        (b"4:cpu,cpuacct:/\n2:pids:/long/one\n", "/long/one"),
        (b"0::/\n", "/"),
        (b"garbage\n\xff\n", None),
    ],
)
def test_the_control_group_that_says_most(tmp_path: Path, lines: bytes, path: str | None) -> None:
    """Unified first, then systemd's own, then the longest."""
    host = FakeHost(tmp_path)
    host.write("5/cgroup", lines)
    assert procfs.cgroup(5, host.root) == path


def test_login_and_session_are_none_when_unset(tmp_path: Path) -> None:
    """The kernel's 4294967295 is no user."""
    host = FakeHost(tmp_path)
    host.write("5/loginuid", b"4294967295")
    host.write("5/sessionid", b"3")
    assert procfs.loginuid(5, host.root) is None
    assert procfs.sessionid(5, host.root) == 3
    host.write("5/loginuid", b"0")
    assert procfs.loginuid(5, host.root) == 0
    host.write("5/loginuid", b"root")
    assert procfs.loginuid(5, host.root) is None


def test_a_units_run_comes_from_the_environment(tmp_path: Path) -> None:
    """Only the variables of that very name count."""
    host = FakeHost(tmp_path)
    host.write("5/environ", b"A=\xff\0MY_INVOCATION_ID=no\0INVOCATION_ID=abc\0")
    host.write("7/environ", b"INVOCATION_ID=\0TRIGGER_UNIT=job.timer\0")
    assert procfs.unit_run(5, host.root) == ("abc", None)
    assert procfs.unit_run(6, host.root) == (None, None)
    assert procfs.unit_run(7, host.root) == (None, "job.timer")


def test_byte_counters(tmp_path: Path) -> None:
    """All four counters, or none."""
    host = FakeHost(tmp_path)
    host.write("5/io", b"rchar: 1\nwchar: 2\nsyscr: 9\nread_bytes: 3\nwrite_bytes: 4\n")
    assert procfs.io(5, host.root) == procfs.Io(1, 2, 3, 4)
    host.write("5/io", b"rchar: 1\n")
    assert procfs.io(5, host.root) is None


def test_the_pipes_of_a_process_by_their_direction() -> None:
    """What it reads from and what it writes to; nobody's are None."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        found = procfs.pipes(process.pid)
        reads, writes = (os.fstat(end.fileno()).st_ino for end in (process.stdin, process.stdout))
    assert found is not None
    assert reads in found[0]
    assert writes in found[1]
    assert reads not in found[1]
    assert procfs.pipes(process.pid) is None


def test_a_held_process_is_read_below_its_folder() -> None:
    """It tells nothing once it is gone, whoever has its pid then."""
    with python("input()") as process:
        held = os.open(f"/proc/{process.pid}", os.O_PATH | os.O_DIRECTORY)
        found, plain = procfs.stat(held, procfs.HELD), procfs.stat(process.pid)
        assert found is not None
        assert plain is not None
        assert (found.ppid, found.start_ticks) == (plain.ppid, plain.start_ticks)
        process.kill()
        process.wait()
    assert procfs.stat(held, procfs.HELD) is None
    os.close(held)
