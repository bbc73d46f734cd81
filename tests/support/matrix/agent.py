"""An agent: asks a model twice and runs a command after each reply, then runs a script; stays until told to end.

Usage: agent.py URL FOLDER SCRIPT
"""

import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

SECONDS = 120.0


def main(url: str, folder: str, script: str) -> None:
    (Path(folder) / "who").write_text(f"{os.getpid()}\n")
    for _ in range(2):
        with urllib.request.urlopen(url, timeout=30) as answer:
            answer.read()
            time.sleep(0.3)
        subprocess.run(["true"], check=True)
        time.sleep(0.3)
    started = subprocess.Popen(["sh", script])
    deadline = time.monotonic() + SECONDS
    while not (Path(folder) / "stop").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    started.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
