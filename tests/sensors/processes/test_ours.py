"""The daemon and its examiner are left out; any other child is not."""

import os
from pathlib import Path

import pytest
from support.host import FakeHost

from replguard.sensors.processes import ours as room
from replguard.sensors.processes.ours import Ours


def test_only_the_daemon_and_its_examiner_are_ours(tmp_path: Path) -> None:
    """A process that merely calls itself the examiner is not, nor is another child."""
    host, me = FakeHost(tmp_path), os.getpid()
    examiner = [b"python", b"-c", b"from replguard.weights.worker import main"]
    host.process(me + 1, ppid=me, args=examiner)
    host.process(me + 2, ppid=1, args=examiner)
    host.process(me + 3, ppid=me)
    ours = Ours(host.root)
    assert [ours(pid) for pid in (me, me + 1, me + 2, me + 3, me + 4)] == [True, True, False, False, False]
    host.end(me + 1)
    assert ours(me + 1)


def test_the_processes_of_the_run_before_are_ours_until_somebody_has_their_pids(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the kernel kept tells of their last acts, after they are gone."""
    host, state = FakeHost(tmp_path / "host"), tmp_path / "state"
    state.mkdir()
    room.Roll(state).note(6)
    boot, *pids = (state / room.FILE).read_bytes().split()
    assert pids == sorted([b"6", b"%d" % os.getpid()], key=int)
    (state / room.FILE).write_bytes(boot + b" 5 6\n")
    room.Roll(state)
    try:
        host.process(6, ppid=1)
        ours = Ours(host.root)
        assert [ours(pid) for pid in (5, 6, 7)] == [True, False, False]
        for text, known in ((boot + b" \xff 9 -4 x", True), (b"another-boot 9", False), (b"", False)):
            (state / room.FILE).write_bytes(text)
            room.Roll(state)
            assert [Ours(host.root)(pid) for pid in (5, 9)] == [False, known]
        (state / room.FILE).write_bytes(boot + b" 9")
        room.Roll(state)
        later = room.clock.monotonic() + 61
        monkeypatch.setattr(room.clock, "monotonic", lambda: later)
        assert not Ours(host.root)(9), "by then somebody else may have had it"
        monkeypatch.undo()
        room.Roll(tmp_path / "gone")
        assert not Ours(host.root)(9)
    finally:
        room.Roll(tmp_path / "gone")
