"""What is given up is gone for good, and what is kept works."""

import subprocess
import sys

import pytest

TRY = """
import os, sys
sys.path.insert(0, {root!r})
from replguard.kernel import rights
{keep}
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status") if ":\\t" in line)
held = [int(status[key], 16) for key in ("CapEff", "CapPrm", "CapInh")]
print(*held, status["NoNewPrivs"].strip(), flush=True)
if os.fork() == 0:
    os.execv("/bin/sh", ["sh", "-c", "grep CapEff /proc/self/status"])
os.wait()
"""


def tried(keep: str, **options: object) -> list[str]:
    """Run a process that gives up its rights, and return what it says then."""
    code = TRY.format(root=str(__import__("pathlib").Path(__file__).parents[2]), keep=keep)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, **options)  # type: ignore[call-overload]
    return done.stdout.split()


@pytest.mark.root
def test_only_what_is_named_is_kept() -> None:
    """A process that is started has no more either, though it runs as root."""
    bits = 1 << 2 | 1 << 19 | 1 << 21
    said = tried("rights.keep(rights.DAC_READ_SEARCH, rights.SYS_PTRACE, rights.SYS_ADMIN)")
    assert said[:4] == [str(bits), str(bits), "0", "1"]
    assert int(said[5], 16) & ~bits == 0
    assert tried("rights.keep()")[:4] == ["0", "0", "0", "1"]


@pytest.mark.root
def test_who_has_none_has_none_afterwards() -> None:
    """Nothing fails for a user without rights."""
    assert tried("os.setuid(65534); rights.keep(rights.SYS_ADMIN)")[:4] == ["0", "0", "0", "1"]


@pytest.mark.root
def test_memory_is_for_nobody() -> None:
    """Not even for a process of the same user."""
    code = "rights.undumpable(); import ctypes; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    assert tried(code)[0] == "0"
