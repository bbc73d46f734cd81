"""Feeds one parser by atheris, which sees what of `replguard` an input reaches.

libFuzzer never gives its process back, and an input may end it: each parser has a process of its own, forked from one
that has imported everything.
"""

import json
import os
import re
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import atheris
from fuzz.breed import SPECIAL
from fuzz.target import LARGEST, LONGEST, Target, judged

SLOWER = 4
"""How much slower code that is looked at may be."""
GIVEN_UP = 120
"""Seconds after which an input is ended that hangs where no clock of ours is looked at."""
ROOM = 2 * 2**30
"""Bytes that feeding may take before libFuzzer ends it, and is begun anew: atheris itself takes some for each input."""
_LINE = re.compile(r"^#(\d+)\t\S+ +cov: (\d+)", re.MULTILINE)


def fed(name: str, target: Target, seconds: float, folder: Path) -> dict[str, Any]:
    """Feed a parser for so many CPU seconds, or until a finding; what was reached goes to ``folder/corpus``."""
    whole = {"seconds": 0.0, "inputs": 0, "reached": 0, "finding": ""}
    while not whole["finding"] and whole["seconds"] < seconds:
        (folder / "told").unlink(missing_ok=True)
        pid = os.fork()
        if not pid:
            _child(name, target.check, seconds - whole["seconds"], folder)
        _, status, used = os.wait4(pid, 0)
        lines = _LINE.findall((folder / "said").read_text(errors="replace"))
        count, reached = map(int, lines[-1]) if lines else (0, 0)
        if (folder / "told").exists():
            told = json.loads((folder / "told").read_text())
        else:
            finding = _ended(target.check, folder, os.waitstatus_to_exitcode(status))
            told = {"seconds": used.ru_utime + used.ru_stime, "inputs": count, "finding": finding}
        whole = {
            "seconds": whole["seconds"] + told["seconds"],
            "inputs": whole["inputs"] + told["inputs"],
            "reached": max(whole["reached"], reached),
            "finding": told["finding"],
        }
    return whole


def _child(name: str, check: Callable[[bytes], object], seconds: float, folder: Path) -> NoReturn:
    said = os.open(folder / "said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(said, 1)
    os.dup2(said, 2)
    began, count = time.process_time(), 0

    def once(data: bytes) -> None:
        nonlocal count
        finding = judged(check, data, LONGEST * SLOWER)
        count += 1
        spent = time.process_time() - began
        if finding:
            (folder / "finding").write_bytes(data)
        if finding or spent >= seconds:
            (folder / "told").write_text(json.dumps({"seconds": spent, "inputs": count, "finding": finding}))
            os._exit(0)

    (folder / "words").write_text("".join(f'"{"".join(map(_escaped, word))}"\n' for word in SPECIAL))
    options = (
        f"-max_len={LARGEST}",
        f"-timeout={GIVEN_UP}",
        f"-rss_limit_mb={ROOM >> 20}",
        "-detect_leaks=0",
        f"-dict={folder}/words",
    )
    atheris.Setup([name, *options, f"-artifact_prefix={folder}/", str(folder / "corpus")], once)
    atheris.Fuzz()
    os._exit(1)


def _escaped(byte: int) -> str:
    return f"\\x{byte:02x}"


def _ended(check: Callable[[bytes], object], folder: Path, code: int) -> str:
    """Return why the process ended before its time, if the input that it was given last does it again by itself."""
    for path in folder.glob("*-*"):
        path.replace(folder / "finding")
        pid = os.fork()
        if not pid:
            resource.setrlimit(resource.RLIMIT_AS, (2 * ROOM, 2 * ROOM))
            resource.setrlimit(resource.RLIMIT_CPU, (GIVEN_UP, GIVEN_UP))
            os._exit(bool(judged(check, (folder / "finding").read_bytes(), LONGEST * SLOWER)))
        again = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return f"it ended with {code}, and again with {again}" if again else ""
    return f"it ended with {code}"
