"""Signals to all processes of a daemon: what a kernel out of memory, or `kill -9` of its control group, does to it."""

import contextlib
import os
import signal
import subprocess
from pathlib import Path

from bench.host import below as parts


def part(pid: int, name: str) -> int:
    """Return the process of the part ``name`` of a daemon, 0 while there is none."""
    for each in parts(pid)[1:]:
        with contextlib.suppress(OSError):
            if f'"{name}.main"'.encode() in Path(f"/proc/{each}/cmdline").read_bytes():
                return each
    return 0


def send(pid: int, number: int) -> None:
    """Send a signal to all of them; first to who would start the others again."""
    for each in parts(pid):
        os.kill(each, number)


def kill(process: "subprocess.Popen[bytes]") -> None:
    """End a daemon at once: nothing of it has a last word."""
    os.kill(process.pid, signal.SIGSTOP)
    for each in reversed(parts(process.pid)):
        os.kill(each, signal.SIGKILL)
    process.wait(10)
