"""Who opens whose memory, from records of either kind."""

import errno
import os
import struct
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.host import python, until

from replguard.kernel import fanotify
from replguard.sensors.files import memory as module
from replguard.sensors.files.memory import Memory
from replguard.sensors.losses import Losses
from replguard.sensors.names import NamesSensor

pytestmark = pytest.mark.root
WAIT = "import sys\nprint(flush=True)\nsys.stdin.read()"


@pytest.mark.parametrize("named", [True, False])
def test_an_open_is_told_once(named: bool) -> None:
    """Of the folder of the process and of its first thread; what else is opened there is nobody's business."""
    watched = Memory(Losses(NamesSensor()))
    watched.start(named=named)
    if watched.why is not None:
        pytest.skip(watched.why)
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


def test_who_dies_while_it_is_told_costs_nothing_but_itself() -> None:
    """Before 6.6 the kernel opens the file for us, and a process that has ended by then cannot be opened."""
    watched = Memory(Losses(NamesSensor()))
    watched.start(named=False)
    if watched.why is not None:
        pytest.skip(watched.why)
    try:
        with python(WAIT) as gone, python(WAIT) as target:
            for one in (gone, target):
                one.stdout.readline()
                watched.watch(one.pid, "entity")
            code = f"open('/proc/{gone.pid}/mem','rb').close()"
            assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
            gone.kill()
            gone.wait()
            opener = subprocess.Popen([sys.executable, "-c", f"open('/proc/{target.pid}/mem','rb')"])
            assert opener.wait() == 0
            assert until(lambda: (target.pid, opener.pid) in {(a.target, a.pid) for a in watched.read()})
    finally:
        watched.stop()


def test_what_the_kernel_could_not_tell_is_counted() -> None:
    """Its queue was full, or whose memory was opened had ended."""
    sensor = NamesSensor()
    watched = Memory(Losses(sensor))
    full = struct.pack("=IBBHQii", 24, 3, 0, 24, fanotify.OVERFLOW, -1, 0)
    watched._group = SimpleNamespace(read=lambda: full, unreadable=2)  # type: ignore[assignment]
    assert not list(watched.read())
    assert sensor.counters.dropped == {
        ("kernel", "a process ended before the open of its memory was told"): 2,
        ("kernel", "memory: fanotify overflow"): 1,
    }


def test_readers_do_not_drive_out_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers give way to readers, a server that comes too late to nobody; each is counted."""
    monkeypatch.setattr(module, "MOST", 1)
    monkeypatch.setattr(module, "MOST_READERS", 2)
    sensor = NamesSensor()
    watched = Memory(Losses(sensor))
    with python(WAIT) as one, python(WAIT) as two, python(WAIT) as three:
        watched.watch(os.getpid(), "server")
        for reader in (one, two, three):
            watched.watch(reader.pid, "reader", reader=True)
        assert list(watched._held) == [os.getpid(), two.pid, three.pid]
        watched.watch(os.getpid(), "server", reader=True)
        assert not watched._held[os.getpid()].reader
        watched.watch(one.pid, "late server")
        assert list(watched._held) == [two.pid, three.pid, os.getpid()]
        assert sum(sensor.counters.dropped.values()) == 2
        two.kill()
        two.wait()
    watched.watch(os.getppid(), "reader", reader=True)  # those that have ended are let go first
    assert list(watched._held) == [os.getpid(), os.getppid()]
    assert sum(sensor.counters.dropped.values()) == 2


def test_a_restart_keeps_who_is_watched_and_nothing_stays_open() -> None:
    """And what is asked before the start is watched from it on."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    watched = Memory(Losses(NamesSensor()))
    watched.watch(os.getppid(), "parent")
    for _ in range(2):
        watched.start()
        assert watched.why or watched._held[os.getppid()].folders
        watched.stop()
    assert list(watched._held) == [os.getppid()]
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_without_a_group_it_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its sensor goes on without it."""

    def refused(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(module, "Group", refused)
    watched = Memory(Losses(NamesSensor()))
    watched.start()
    assert "max_user_groups" in (watched.why or "")
    assert watched.fileno() == -1
    watched.watch(os.getppid(), "parent")
    assert not list(watched.read())
    watched.stop()
