"""Where a drill plays: one temporary folder, and processes that are all found and ended again, orphans included."""

import contextlib
import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import IO, Self

import psutil

import replguard

MARK = "REPLGUARD_DRILL"
"""The environment variable that every process of a drill inherits; its value tells one drill from another."""
LOOPBACK = "127.0.0.1"
_PR_SET_CHILD_SUBREAPER, _PR_GET_CHILD_SUBREAPER = 36, 37  # linux/prctl.h
_PORTS = range(20000, 32000)
_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_ROUNDS = 50
"""Sweeps over the process table before a process that will not die is given up."""


class Stage:
    """One drill's folder and processes. Use it as a context manager: leaving it ends and removes them all."""

    def __init__(self) -> None:
        self.token = secrets.token_hex(8)
        self.folder = Path()
        self.started: dict[int, subprocess.Popen[bytes]] = {}
        self.keep = False
        self._before: set[int] = set()
        self._met: set[int] = set()
        self._reaper = ctypes.c_int(0)

    def __enter__(self) -> Self:
        self._before = {child.pid for child in psutil.Process().children()}
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(self._reaper), 0, 0, 0)
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self.folder = Path(tempfile.mkdtemp(prefix="replguard-drill-"))
        return self

    def __exit__(self, *_: object) -> None:
        with undisturbed():
            self.end_all()
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, self._reaper.value, 0, 0, 0)
            if not self.keep:
                shutil.rmtree(self.folder, ignore_errors=True)

    def environment(self) -> dict[str, str]:
        """Return the environment of a drill's processes: ours, the mark, and where this package lies."""
        home = str(Path(replguard.__file__).resolve().parent.parent)
        paths = [home, *filter(None, [os.environ.get("PYTHONPATH")])]
        return os.environ | {MARK: self.token, "PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}

    def start(self, command: list[str], *, folder: Path, output: Path) -> subprocess.Popen[bytes]:
        """Start a process in a session of its own, its output kept in a file. Raises OSError."""
        with output.open("ab") as out:
            process = self._start(command, folder, out)
        self.started[process.pid] = process
        return process

    def _start(self, command: list[str], folder: Path, out: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def module(self, name: str, *arguments: object, folder: Path, output: Path) -> subprocess.Popen[bytes]:
        """Start one of our modules as a process."""
        return self.start([sys.executable, "-m", name, *map(str, arguments)], folder=folder, output=output)

    def processes(self) -> list[psutil.Process]:
        """Return the drill's living processes: those that carry its mark."""
        return [p for p in psutil.process_iter() if p.pid != os.getpid() and _marked(p, self.token)]

    def end(self, process: subprocess.Popen[bytes], seconds: float) -> int:
        """Ask a process to end, wait so long, then make it; return its exit code."""
        process.terminate()
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def end_all(self) -> None:
        """Kill every process of the drill. Agents get no chance to act on it: that would be another replication."""
        for _ in range(_ROUNDS):
            found = self.processes()
            for process in found:
                with contextlib.suppress(psutil.Error):
                    process.kill()  # psutil compares the start time, so a reused pid is safe
            self._reap(found)
            if not found and not any(self._ours(child) for child in psutil.Process().children()):
                return
            time.sleep(0.02)

    def _reap(self, found: list[psutil.Process]) -> None:
        for started in self.started.values():
            started.poll()
        self._met |= {p.pid for p in found}
        adopted = self._met | {p.pid for p in psutil.Process().children() if self._ours(p)}
        for pid in adopted - set(self.started):
            with contextlib.suppress(OSError):
                os.waitpid(pid, os.WNOHANG)

    def _ours(self, child: psutil.Process) -> bool:
        # A zombie has no environment any more. One that is our child and was not when the stage opened was adopted.
        try:
            return child.status() == psutil.STATUS_ZOMBIE and child.pid not in self._before
        except (OSError, psutil.Error):
            return False


def _marked(process: psutil.Process, token: str) -> bool:
    try:
        return process.environ().get(MARK) == token
    except (psutil.Error, OSError):
        return False


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Hold Ctrl-C and SIGTERM back until the block is done: cleaning up is bounded and must be whole."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {number: signal.signal(number, lambda got, _: came.append(got)) for number in _ENDINGS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


@contextlib.contextmanager
def ended_gently() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into SystemExit inside the block, so that what it started is cleaned up."""

    def leave(number: int, _: FrameType | None) -> None:
        sys.exit(128 + number)

    before = {number: signal.signal(number, leave) for number in _ENDINGS if number is not signal.SIGINT}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def free_ports(count: int) -> list[int]:
    """Return ports of loopback that nobody listens on now, below those that the kernel hands to clients."""
    found: set[int] = set()
    while len(found) < count:
        port = _PORTS.start + secrets.randbelow(len(_PORTS))
        with contextlib.suppress(OSError), socket.socket() as one:
            one.bind((LOOPBACK, port))
            found.add(port)
    return list(found)


def listening(port: int) -> bool:
    """Tell whether someone listens on a TCP port of IPv4, by looking only: nobody is connected to."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            if state == "0A" and int(local.rsplit(":", 1)[1], 16) == port:
                return True
    return False
