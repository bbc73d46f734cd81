"""A person at a terminal: types the lines of a file at an interactive shell, one after another, and reads what comes.

Usage: typist.py FILE; the shell's pid goes to the file `who` beside it.
"""

import os
import pty
import sys
import time
from pathlib import Path

PAUSE = 0.3
"""Seconds between a line and the next: a person sees what came of it."""


def main(lines: str) -> None:
    pid, terminal = pty.fork()
    if not pid:
        os.execlp("bash", "bash", "--norc", "--noprofile", "-i")
    Path(lines).with_name("who").write_text(f"{os.getpid()} {pid}\n")
    for line in (*Path(lines).read_text().splitlines(), "exit"):
        time.sleep(PAUSE)
        os.write(terminal, f"{line}\n".encode())
    try:
        while os.read(terminal, 65536):
            pass
    except OSError:
        pass  # the terminal hangs up when its shell ends
    os.waitpid(pid, 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
