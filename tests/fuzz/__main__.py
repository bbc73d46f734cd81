"""`make fuzz`: feed every parser of hostile bytes for so much CPU time, and write down what came of it."""

import argparse
import contextlib
import hashlib
import io
import itertools
import json
import os
import platform
import random
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fuzz.breed import bred
from fuzz.target import judged

try:
    import atheris
except ImportError:
    atheris = None
watched = contextlib.nullcontext() if atheris is None else atheris.instrument_imports(include=["replguard"])
with contextlib.redirect_stderr(io.StringIO()), watched:  # it names each module
    from fuzz.targets import TARGETS

ROOT = Path(__file__).resolve().parents[2]
VAR = ROOT / "var" / "fuzz"
STATE = VAR / "state.json"
PAGE = ROOT / "docs" / "fuzzing.md"
ROUNDS = (0.05, 0.2, 1.0)
"""The shares of its time that each parser gets before one gets more: a run that is cut off leaves none out."""
HEAD = """\
# Fuzzing

Each parser that reads bytes which an attacker may choose is fed inputs bred from valid ones. It may refuse an input
only as its documentation says; anything else is a finding, and so are two seconds of CPU for one input (64 KiB at the
most). `make fuzz` feeds each for ten CPU minutes (`ARGS="--seconds 60 log rules"` for less) by
[atheris](https://github.com/google/atheris), which breeds on what reaches code of replguard that no input reached
before; where atheris cannot be had, inputs are bred without that. It goes on where it was cut off and writes this page.
What it found stays among the inputs that others are bred from; the tests feed each parser up to a hundred and fifty.

*Reached* counts the branches of replguard that inputs reached.

| parser | CPU seconds | inputs | reached | findings | day, machine |
|---|---:|---:|---:|---|---|
"""


def fed(name: str, seconds: float, seed: int) -> dict[str, Any]:
    """Return the CPU seconds and the number of inputs that a parser was fed, and the first finding."""
    folder = VAR / re.sub("[^a-z]+", "-", name)
    (folder / "corpus").mkdir(parents=True, exist_ok=True)
    if atheris is None:
        return unguided(name, seconds, folder, seed)
    from fuzz import guided

    for data in TARGETS[name].seeds:
        (folder / "corpus" / hashlib.sha1(data).hexdigest()).write_bytes(data)
    return guided.fed(name, TARGETS[name], seconds, folder)


def unguided(name: str, seconds: float, folder: Path, seed: int) -> dict[str, Any]:
    """Feed a parser in this process, without seeing what inputs reach."""
    began, told, finding = time.thread_time(), time.monotonic(), ""
    for count, data in enumerate(bred(TARGETS[name], random.Random(seed)), 1):
        finding = judged(TARGETS[name].check, data)
        if finding:
            (folder / "finding").write_bytes(data)
        spent = time.thread_time() - began
        if finding or spent >= seconds:
            return {"seconds": spent, "inputs": count, "finding": finding}
        if time.monotonic() - told > 1:
            told = time.monotonic()
            print(f"\r{name}: {spent:.0f} of {seconds:.0f} s, {count} inputs ", end="", flush=True)
    raise AssertionError


def added(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """Return what is known of a parser after it was fed once more."""
    return {
        "seconds": before.get("seconds", 0) + now["seconds"],
        "inputs": before.get("inputs", 0) + now["inputs"],
        "reached": max(before.get("reached", 0), now.get("reached", 0)),
        "found": before.get("found", 0) + bool(now["finding"]),
        "finding": now["finding"],
        "where": f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, Linux {platform.release()}",
    }


def row(name: str, one: dict[str, Any]) -> str:
    """Return a parser's line of the page."""
    mended = one["found"] - bool(one["finding"])
    findings = ", ".join(filter(None, (f"{mended}, mended" if mended else "", one["finding"]))) or "none"
    reached = f"{one['reached']:,}" if one["reached"] else ""
    return f"| {name} | {one['seconds']:.0f} | {one['inputs']:,} | {reached} | {findings} | {one['where']} |\n"


def main() -> None:
    """Feed those asked for, add to what was done, write the page; exit with 1 if there is a finding."""
    asked = argparse.ArgumentParser()
    asked.add_argument("names", nargs="*", choices=[[], *TARGETS])
    asked.add_argument("--seconds", type=float, default=600)
    given = asked.parse_args()
    VAR.mkdir(parents=True, exist_ok=True)
    done: dict[str, Any] = json.loads(STATE.read_text()) if STATE.exists() else {}
    for goal, name in itertools.product(ROUNDS, given.names or TARGETS):
        before = done.get(name, {})
        if (rest := goal * given.seconds - before.get("seconds", 0)) < 1:
            continue
        done[name] = told = added(before, fed(name, rest, seed=before.get("inputs", 0) + 1))
        STATE.write_text(json.dumps(done))
        print(f"\r{name}: {told['inputs']:,} inputs in {told['seconds']:.0f} s{' ' * 20}{told['finding']}", flush=True)
        PAGE.write_text(HEAD + "".join(row(name, done[name]) for name in TARGETS if name in done))
    raise SystemExit(any(one["finding"] for one in done.values()))


main()
