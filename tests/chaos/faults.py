"""What goes wrong, and how it is over: each begins when it is entered and ends with its block."""

import contextlib
import os
import random
import resource
import signal
import socketserver
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Protocol

from support import filesystems, whole

GROUP = Path("/sys/fs/cgroup/memory")


class Host(Protocol):
    """What a fault befalls."""

    disk: Path
    device: str
    rules: Path
    hook: "Hook"
    clock: Path | None

    def part(self, name: str) -> int:
        """Return the pid of a part."""

    @property
    def pid(self) -> int:
        """The pid of who keeps the parts going."""


Fault = Callable[[Host, random.Random], contextlib.AbstractContextManager[None]]


class Hook(socketserver.ThreadingTCPServer):
    """A receiver of alerts that does as ``mode`` says."""

    daemon_threads, allow_reuse_address, block_on_close = True, True, False

    def __init__(self) -> None:
        self.mode = "well"
        super().__init__(("127.0.0.1", 0), Answer)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}/"

    def handle_error(self, *_: object) -> None:
        """Stay silent: whoever is cut off is so on purpose."""


class Answer(BaseHTTPRequestHandler):
    """One connection to a `Hook`."""

    def do_POST(self) -> None:
        """Take an alert, or what the mode has instead."""
        mode = self.server.mode  # type: ignore[attr-defined]
        if mode == "down":
            return
        if mode == "slow":
            time.sleep(20)
        if mode == "rubbish":
            self.wfile.write(os.urandom(4096))
            return
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _killed(name: str) -> Fault:
    @contextlib.contextmanager
    def fault(host: Host, _: random.Random) -> Iterator[None]:
        os.kill(host.part(name), signal.SIGKILL)
        yield

    return fault


def _stopped(name: str) -> Fault:
    @contextlib.contextmanager
    def fault(host: Host, chance: random.Random) -> Iterator[None]:
        pid = host.part(name)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
            time.sleep(chance.uniform(0, 6))
        finally:
            os.kill(pid, signal.SIGCONT)

    return fault


@contextlib.contextmanager
def _all_killed_but_the_first(host: Host, _: random.Random) -> Iterator[None]:
    os.kill(host.pid, signal.SIGSTOP)
    for pid in reversed(whole.parts(host.pid)[1:]):
        os.kill(pid, signal.SIGKILL)
    try:
        yield
    finally:
        os.kill(host.pid, signal.SIGCONT)


@contextlib.contextmanager
def _full(host: Host, _: random.Random) -> Iterator[None]:
    filler = filesystems.fill(host.disk)
    try:
        yield
    finally:
        filler.unlink()


@contextlib.contextmanager
def _errors(host: Host, _: random.Random) -> Iterator[None]:
    filesystems.die(host.disk)
    try:
        yield
    finally:
        filesystems.mount_again(host.disk, host.device)


def _hook(mode: str) -> Fault:
    @contextlib.contextmanager
    def fault(host: Host, _: random.Random) -> Iterator[None]:
        host.hook.mode = mode
        try:
            yield
        finally:
            host.hook.mode = "well"

    return fault


@contextlib.contextmanager
def _broken_rule(host: Host, chance: random.Random) -> Iterator[None]:
    text = host.rules.read_text()
    host.rules.write_text(chance.choice(["title: [", "\0\1\2", "title: x\ndetection: 7\n", "a: &a [*a]\n"]))
    os.kill(host.pid, signal.SIGHUP)
    try:
        yield
    finally:
        host.rules.write_text(text)
        os.kill(host.pid, signal.SIGHUP)


@contextlib.contextmanager
def _network_gone(host: Host, chance: random.Random) -> Iterator[None]:
    name = f"chaos{os.getpid()}"
    serve = "import socket,time; s=socket.create_server(('127.0.0.1',8080)); time.sleep(60)"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        with subprocess.Popen(["ip", "netns", "exec", name, "python3", "-c", serve]) as inside:
            yield
            inside.kill()
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


@contextlib.contextmanager
def _no_memory(host: Host, _: random.Random) -> Iterator[None]:
    """The kernel ends the analyser for want of memory, in a group of its own which has none to give."""
    group = GROUP / f"replguard-chaos-{os.getpid()}"
    group.mkdir()
    pid = host.part("analyser")
    try:
        (group / "memory.limit_in_bytes").write_text(str(2**20))
        (group / "cgroup.procs").write_text(str(pid))
        yield
        end = time.monotonic() + 10
        while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
            time.sleep(0.1)
    finally:
        for left in (group / "cgroup.procs").read_text().split():
            (GROUP / "cgroup.procs").write_text(left)
        group.rmdir()


def _no_descriptor(name: str) -> Fault:
    @contextlib.contextmanager
    def fault(host: Host, _: random.Random) -> Iterator[None]:
        pid = host.part(name)
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, before[1]))
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_NOFILE, before)

    return fault


@contextlib.contextmanager
def _clock_set(host: Host, chance: random.Random) -> Iterator[None]:
    assert host.clock is not None
    host.clock.write_text(f"{chance.choice([-7200, -30, 45, 5400]):+d}\n")
    try:
        yield
        time.sleep(2)
    finally:
        host.clock.write_text("+0\n")


FAULTS: dict[str, Fault] = {
    "collector killed": _killed("collector"),
    "analyser killed": _killed("analyser"),
    "all killed": _all_killed_but_the_first,
    "collector stopped": _stopped("collector"),
    "analyser stopped": _stopped("analyser"),
    "disk full": _full,
    "disk errors": _errors,
    "sink down": _hook("down"),
    "sink slow": _hook("slow"),
    "sink answers rubbish": _hook("rubbish"),
    "rule broken": _broken_rule,
    "network removed": _network_gone,
    "analyser out of memory": _no_memory,
    "collector out of descriptors": _no_descriptor("collector"),
    "analyser out of descriptors": _no_descriptor("analyser"),
    "clock set": _clock_set,
}


def lacking(name: str, host: Host) -> str | None:
    """Return why a fault cannot be made here, None if it can."""
    if name == "clock set" and host.clock is None:
        return "needs libfaketime (Debian: apt-get install faketime)"
    if name == "analyser out of memory" and not (GROUP / "cgroup.procs").exists():
        return "needs the memory controller of cgroup v1"
    return None
