"""The C library is told to be frugal, and a process that did so works on."""

import subprocess
import sys

SCRIPT = """
import threading
from replguard.kernel import memory
told = memory.frugal()
def work():
    pieces = [bytes(300_000) for _ in range(50)]
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(told)
"""


def test_it_is_told_where_the_library_listens() -> None:
    """With glibc it is; elsewhere the answer is no, and nothing else changes."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], check=True, capture_output=True, text=True)
    assert done.stdout.strip() in {"True", "False"}
    libc = subprocess.run(["getconf", "GNU_LIBC_VERSION"], check=False, capture_output=True, text=True)
    assert done.stdout.strip() == str(libc.stdout.startswith("glibc"))


TRIMMED = """
from replguard.kernel import memory
def used():
    lines = open("/proc/self/smaps_rollup").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
pieces = [bytes(4000) for _ in range(20_000)]
kept = pieces[::100]
full = used()
del pieces
print(memory.trim(), full - used())
"""


def test_free_memory_between_what_is_kept_is_given_back() -> None:
    """Whole pages of it; elsewhere than with glibc the answer is no."""
    done = subprocess.run([sys.executable, "-c", TRIMMED], check=True, capture_output=True, text=True)
    told, kib = done.stdout.split()
    libc = subprocess.run(["getconf", "GNU_LIBC_VERSION"], check=False, capture_output=True, text=True)
    if libc.stdout.startswith("glibc"):
        assert told == "True"
        assert int(kib) > 40_000
    else:
        assert told == "False"
