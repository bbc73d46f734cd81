"""Processes to look at: each runs code that brings itself into a state, says `ready`, and ends when its input does."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from replguard.evidence.snapshot import Look, take
from replguard.kernel import procfs

_WAIT = "\nprint('ready', flush=True); sys.stdin.readline()"

MAPPED_OVER = """
import ctypes
fields = open("/proc/self/stat").read().rpartition(")")[2].split()
first = -(-int(fields[47]) // 4096) * 4096
mmap = ctypes.CDLL(None).mmap
mmap.restype = ctypes.c_void_p
f = open(sys.argv[1], "rb")
assert mmap(ctypes.c_void_p(first), ctypes.c_size_t(4096), 1, 0x12, f.fileno(), ctypes.c_long(0)) == first
f.close()
"""
"""Maps a file where the environment was; leaves the rest of it."""
LONG = {b"LONG": b"x" * 20_000, b"LAST": b""}


@contextlib.contextmanager
def target(
    code: str = "",
    *args: str | bytes,
    env: dict[bytes, bytes] | None = None,
    by: tuple[str, ...] = (),
    **given: Any,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run Python code as a process, by a program that executes it, which is ready when the block begins."""
    process = subprocess.Popen(
        [*by, sys.executable, "-c", "import sys\n" + code + _WAIT, *args],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, **given,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"ready\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


@contextlib.contextmanager
def held(process: int | Path) -> Iterator[int]:
    """Hold the folder of a process, or one that stands for it."""
    descriptor = os.open(process if isinstance(process, Path) else f"/proc/{process}", os.O_PATH | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def start(pid: int) -> int:
    """Return when a process started, in ticks."""
    stat = procfs.stat(pid)
    assert stat is not None
    return stat.start_ticks


def looked(pid: int) -> Look:
    """Look at a process."""
    return take(pid, start(pid))
