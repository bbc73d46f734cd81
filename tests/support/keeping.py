"""A service manager for tests, as far as it keeps descriptors: stores what it is sent, hands it to what it starts.

It speaks systemd's protocol, of its own writing: sd_notify(3) with FDSTORE, FDSTOREREMOVE and FDNAME, sd_listen_fds(3).
"""

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import pytest

from replguard.kernel.keep import Kept, build

_START = """
import os, sys
given = [int(number) for number in sys.argv[1].split(",") if number]
clear = [os.dup2(number, 500 + place) for place, number in enumerate(given)]
for place, number in enumerate(clear):
    os.dup2(number, 3 + place)
os.closerange(3 + len(given), 1000)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Puts descriptors in their places, and becomes the program that is started."""


class Keeper:
    """Keeps at most ``limit`` descriptors; what is more is closed, as systemd does."""

    def __init__(self, folder: Path, limit: int = 64) -> None:
        self.limit = limit
        self.stored: list[tuple[str, int]] = []
        self.said: list[str] = []
        self._address = str(folder / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.bind(self._address)
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
        self._thread.start()

    @property
    def names(self) -> list[str]:
        """The names of what is kept."""
        return [name for name, _ in self.stored]

    def start(self, command: list[str], *, folder: Path, output: Path, **given: str) -> subprocess.Popen[bytes]:
        """Start a program with all that is kept, in a session of its own."""
        environment = {**os.environ, **given, "NOTIFY_SOCKET": self._address}
        stored = list(self.stored)
        if stored:
            environment |= {"LISTEN_FDS": str(len(stored)), "LISTEN_FDNAMES": ":".join(name for name, _ in stored)}
        numbers = [number for _, number in stored]
        words = [sys.executable, "-S", "-c", _START, ",".join(map(str, numbers)), *command]
        with output.open("ab") as out:
            return subprocess.Popen(
                words,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=numbers,
            )

    def forget(self) -> None:
        """Close all that is kept, as for a service that is stopped."""
        while self.stored:
            os.close(self.stored.pop()[1])

    def drop(self, names: Collection[str]) -> None:
        """Close what has these names."""
        for name, number in self.stored:
            if name in names:
                os.close(number)
        self.stored = [(name, number) for name, number in self.stored if name not in names]

    def close(self) -> None:
        """End, with all that is kept."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last, contextlib.suppress(OSError):
            last.sendto(b"", self._address)
        self._thread.join(5)
        self._socket.close()
        self.forget()

    def _run(self) -> None:
        while True:
            try:
                data, descriptors, _, _ = socket.recv_fds(self._socket, 4096, 16)
            except OSError:
                return
            if not data:
                return
            keys = dict(line.split("=", 1) for line in data.decode().split("\n") if "=" in line)
            self.said.append(data.decode())
            self._told(keys, descriptors)

    def _told(self, keys: Mapping[str, str], descriptors: list[int]) -> None:
        name = keys.get("FDNAME", "stored")
        if keys.get("FDSTOREREMOVE") == "1":
            gone = [number for known, number in self.stored if known == name]
            self.stored = [(known, number) for known, number in self.stored if known != name]
            for number in gone:
                os.close(number)
        for number in descriptors:
            if keys.get("FDSTORE") == "1" and len(self.stored) < self.limit:
                self.stored.append((name, number))
            else:
                os.close(number)


class Between(Kept):
    """In one process: what a sensor has kept is handed to the next of its name."""

    MODULES = ("probed", "files.queues", "mounting", "runner")

    def use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have the sensors use it."""
        for module in self.MODULES:
            monkeypatch.setattr(f"replguard.sensors.{module}.KEPT", self)

    def keep(self, owner: str, form: str, parts: Mapping[str, int]) -> None:
        self.drop(owner)
        for part, descriptor in parts.items():
            name = f"{owner}.{build(form, parts)}.{part}"
            self._held[name] = os.dup(descriptor)
            self._stored.add(name)

    def replace(self, owner: str, part: str, descriptor: int) -> None:
        """Put another descriptor in the place of a part."""
        name = next(name for name in self._held if name.startswith(f"{owner}.") and name.endswith(f".{part}"))
        os.dup2(descriptor, self._held[name])


@contextlib.contextmanager
def between(monkeypatch: pytest.MonkeyPatch) -> Iterator[Between]:
    """Keep descriptors from one sensor to the next until the block ends."""
    one = Between()
    one.use(monkeypatch)
    try:
        yield one
    finally:
        one.release()


@contextlib.contextmanager
def keeper(folder: Path, limit: int = 64) -> Iterator[Keeper]:
    """Give a manager that ends with the block."""
    one = Keeper(folder, limit)
    try:
        yield one
    finally:
        one.close()
