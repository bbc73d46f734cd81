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
