"""Signals to all processes of a daemon: what a kernel out of memory, or `kill -9` of its control group, does to it."""

import os
import signal
import subprocess

import psutil


def parts(pid: int) -> list[int]:
    """Return the processes of a daemon: who keeps the others going, and these."""
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


def part(pid: int, name: str) -> int:
    """Return the process of the part ``name`` of a daemon."""
    marked = (each for each in psutil.Process(pid).children() if f'"{name}.main"' in " ".join(each.cmdline()))
    return next(marked).pid


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
