"""`make fuzz`: feed every parser of hostile bytes for so much CPU time, and write down what came of it."""

import argparse
import json
import os
import platform
import random
import time
from datetime import UTC, datetime
from pathlib import Path

from fuzz.breed import bred
from fuzz.targets import TARGETS

ROOT = Path(__file__).resolve().parents[2]
STATE = ROOT / "var" / "fuzz.json"
PAGE = ROOT / "docs" / "fuzzing.md"
HEAD = """\
# Fuzzing

Each parser that reads bytes which an attacker may choose is fed inputs bred from valid ones: replaced, cut out,
repeated, spliced. It may refuse an input only as its documentation says; anything else is a finding, and so are two
seconds of CPU for one input (64 KiB at the most). `make fuzz` (ten CPU minutes each; `ARGS="--seconds 60 log rules"`
for less) goes on where it was cut off and writes this page; the tests feed each a hundred and fifty inputs. The
breeding sees no coverage.

| parser | CPU seconds | inputs | findings | day, machine |
|---|---:|---:|---|---|
"""


def fed(name: str, seconds: float, seed: int) -> tuple[float, int, str]:
    """Return the CPU seconds and the number of inputs that a parser was fed, and the first finding."""
    began, count, told = time.thread_time(), 0, time.monotonic()
    for data in bred(TARGETS[name], random.Random(seed)):
        at = time.thread_time()
        try:
            TARGETS[name].check(data)
        except Exception as error:  # noqa: BLE001 - that is what is looked for
            kept = STATE.parent / f"finding-{name.replace(' ', '-')}"
            kept.write_bytes(data)
            return time.thread_time() - began, count, f"{type(error).__name__}: {error} ({kept.name})"
        count += 1
        now = time.thread_time()
        if now - at > 2.0:
            return now - began, count, f"an input took {now - at:.1f} s"
        if time.monotonic() - told > 1:
            told = time.monotonic()
            print(f"\r{name}: {now - began:.0f} of {seconds:.0f} s, {count} inputs ", end="", flush=True)
        if now - began >= seconds:
            break
    return time.thread_time() - began, count, ""


def main() -> None:
    """Feed those asked for, add to what was done, write the page; exit with 1 if there is a finding."""
    asked = argparse.ArgumentParser()
    asked.add_argument("names", nargs="*", choices=[[], *TARGETS])
    asked.add_argument("--seconds", type=float, default=600)
    given = asked.parse_args()
    STATE.parent.mkdir(exist_ok=True)
    done = json.loads(STATE.read_text()) if STATE.exists() else {}
    where = f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, Linux {platform.release()}"
    for name in given.names or TARGETS:
        before = done.get(name, {"seconds": 0.0, "inputs": 0})
        if (rest := given.seconds - before["seconds"]) < 1:
            continue
        spent, count, finding = fed(name, rest, seed=before["inputs"] + 1)
        told = {"seconds": before["seconds"] + spent, "inputs": before["inputs"] + count}
        done[name] = told | {"finding": finding, "where": where}
        STATE.write_text(json.dumps(done))
        print(f"\r{name}: {told['inputs']} inputs in {told['seconds']:.0f} s{' ' * 20}{finding}", flush=True)
    rows = (
        f"| {name} | {one['seconds']:.0f} | {one['inputs']:,} | {one['finding'] or 'none'} | {one['where']} |\n"
        for name, one in done.items()
    )
    PAGE.write_text(HEAD + "".join(rows))
    raise SystemExit(any(one["finding"] for one in done.values()))


main()
