"""The examiner's process from without."""

import os
import select
import signal
from pathlib import Path

import pytest

from replguard.channel import Broken
from replguard.weights.child import Child
from replguard.weights.messages import Examination, Examine, Request, Settings


def answers(child: Child) -> list[object]:
    select.select([child.channel], [], [], 10)
    return list(child.receive())


def test_it_starts_answers_and_ends_with_us(tmp_path: Path) -> None:
    """Closing our end of the socket is the word to end."""
    child = Child()
    try:
        child.send(Settings(str(tmp_path)))
        child.send(Examine(Request("/nowhere")))
        (answer,) = answers(child)
        assert isinstance(answer, Examination)
        assert os.getpriority(os.PRIO_PROCESS, child.pid) >= 10
        assert os.getpgid(child.pid) != os.getpgid(0)
    finally:
        child.close()
    assert child.process.returncode == 0


def test_it_is_one_thread_however_many_cores_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that a library would start beside it take more address space than it is allowed."""
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "64")
    child = Child()
    try:
        child.send(Settings(None))
        child.send(Examine(Request("/nowhere")))
        assert len(answers(child)) == 1
        assert len(list(Path(f"/proc/{child.pid}/task").iterdir())) == 1
    finally:
        child.close()


def test_it_needs_neither_our_folder_nor_our_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module in the working folder or in PYTHONPATH must not slip into it."""
    (tmp_path / "msgspec.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    child = Child()
    try:
        child.send(Settings(None))
        child.send(Examine(Request("/nowhere")))
        assert len(answers(child)) == 1
    finally:
        child.close()


def test_how_it_ended_is_told() -> None:
    """By a signal, by an error with its last words, or not at all."""
    child = Child()
    child.process.kill()
    assert child.ended() == "was ended by SIGKILL"
    with pytest.raises(Broken):
        answers(child)
    child.close()
    child = Child()
    child.send(Examine(Request("/x")))
    child.process.wait(10)
    assert child.ended() == "ended with code 0: it said nothing"
    child.close()


def test_a_start_that_fails_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither sockets nor memory."""
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(FileNotFoundError):
        Child()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_one_that_hangs_is_killed() -> None:
    """It cannot keep the daemon from stopping."""
    child = Child()
    os.kill(child.pid, signal.SIGSTOP)
    child.close(kill=True)
    assert child.process.returncode == -signal.SIGKILL
