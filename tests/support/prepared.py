"""Environments that are no part of the project's own: made from a lock file once, below ``var``."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from bench.host import ROOT, Lacking

PLACE = ROOT / "var" / "prove" / "env"


SPARED = {"CMAKE_ARGS": "-DLLAVA_BUILD=OFF -DMTMD_BUILD=OFF -DLLAMA_BUILD_TOOLS=OFF -DLLAMA_CURL=OFF"}
"""What of llama.cpp need not be compiled to serve a text model."""


def python(name: str) -> Path:
    """Return the interpreter of the environment that ``requirements/prove-NAME.lock`` describes. Raises Lacking.

    It is made anew when the lock has changed. What compiles takes minutes, and only as much of the machine as nobody
    else wants.
    """
    folder, lock = PLACE / name, ROOT / "requirements" / f"prove-{name}.lock"
    note, known = folder / "made-from", hashlib.sha256(lock.read_bytes()).hexdigest()
    if not note.exists() or note.read_text() != known:
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        _run([sys.executable, "-m", "venv", str(folder)], name)
        install = ["pip", "install", "-qq", "--disable-pip-version-check", "--require-hashes", "-r", str(lock)]
        _run(["nice", "-n", "5", str(folder / "bin/python"), "-m", *install], name)
        note.write_text(known)
    return folder / "bin" / "python"


def _run(words: list[str], name: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=os.environ | SPARED)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise Lacking(f"the environment '{name}' cannot be made: {last}")
