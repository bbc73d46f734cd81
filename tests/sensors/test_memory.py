"""Who opens whose memory, from records of either kind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.host import python

from replguard.sensors import memory as module
from replguard.sensors.memory import Memory

pytestmark = pytest.mark.root
WAIT = "import sys\nprint(flush=True)\nsys.stdin.read()"


@pytest.mark.parametrize("named", [True, False])
def test_an_open_is_told_once(named: bool) -> None:
    """Of the folder of the process and of its first thread; what else is opened there is nobody's business."""
    watched = Memory()
    try:
        watched.start(named=named)
    except OSError as error:
        pytest.skip(f"fanotify does not work here: {error}")
    try:
        with python(WAIT) as target:
            target.stdout.readline()
            watched.watch(target.pid, "entity")
            place = f"/proc/{target.pid}"
            code = f"for p in ('{place}/mem','{place}/status','{place}/task/{target.pid}/mem'): open(p,'rb')"
            opener = subprocess.Popen([sys.executable, "-c", code])
            assert opener.wait() == 0
            assert [(a.target, a.entity, a.pid) for a in watched.read()] == [(target.pid, "entity", opener.pid)]
            assert list(watched.read()) == []
        watched.tidy()
        assert not watched._held
    finally:
        watched.stop()


def test_the_oldest_are_let_go_and_nothing_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are, and over a restart."""
    monkeypatch.setattr(module, "MOST", 1)
    before = len(list(Path("/proc/self/fd").iterdir()))
    watched = Memory()
    try:
        watched.start()
    except OSError as error:
        pytest.skip(f"fanotify does not work here: {error}")
    watched.watch(os.getpid(), "me")
    watched.watch(os.getppid(), "parent")
    assert list(watched._held) == [os.getppid()]
    watched.stop()
    watched.start()
    assert list(watched._held) == [os.getppid()]
    watched.stop()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
