"""`make chaos`: lets something go wrong five hundred times under an attack, keeps the results, writes docs/chaos.md.

Usage: make chaos [ARGS="[ROUNDS] [FAULT…]"]. Needs root. A run that was cut off goes on where it was; the fault of a
round and all that is left to chance in it follow from its number.
"""

import json
import random
import sys
import time
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from bench.host import ROOT, machine
from chaos.faults import FAULTS, lacking
from chaos.scene import Round, Scene

RESULTS = ROOT / "var" / "chaos.jsonl"
PAGE = ROOT / "docs" / "chaos.md"
ROUNDS = 500
STRETCH = 20
"""Rounds that one daemon lives through."""
SOON = 5.0
"""Seconds in which it has to be as before."""


def main(arguments: list[str]) -> int:
    """Play the rounds that are left; return 1 if a step was missed, or it was not as before soon."""
    rounds = next((int(word) for word in arguments if word.isdecimal()), ROUNDS)
    wanted = [word for word in arguments if not word.isdecimal()]
    if unknown := set(wanted) - FAULTS.keys():
        print(f"no such fault: {', '.join(sorted(unknown))}; there are {', '.join(FAULTS)}", file=sys.stderr)
        return 2
    RESULTS.parent.mkdir(exist_ok=True)
    done = _results()
    left = [number for number in range(rounds) if number not in {one["number"] for one in done}]
    while left:
        with Scene() as scene:
            for number in left[:STRETCH]:
                chance = random.Random(f"chaos {number}")
                able = [name for name in wanted or FAULTS if lacking(name, scene) is None]
                found = scene.round(number, chance.choice(able), chance)
                _keep(found)
                print(f"{number + 1} of {rounds}: {_line(found)}", flush=True)
        left = left[STRETCH:]
        _write()
    bad = [one for one in _results() if one["missed"] or one["recovery"] is None or one["recovery"] > SOON]
    return 1 if bad else 0


def _line(found: Round) -> str:
    soon = "never" if found.recovery is None else f"{found.recovery:.1f} s"
    missed = f", MISSED {', '.join(found.missed)}" if found.missed else ""
    return f"{found.fault}: {found.acts} steps{missed}, as before after {soon}, {found.memory:.0f} MiB"


def _keep(found: Round) -> None:
    with RESULTS.open("a") as file:
        file.write(json.dumps(asdict(found) | {"day": time.strftime("%Y-%m-%d"), "machine": machine()}) + "\n")


def _results() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []


def _write() -> None:
    """Write the table of the page anew."""
    done = _results()
    host = done[-1]
    lines = PAGE.read_text().split("\n| fault |")[0].rstrip().splitlines()
    lines += ["", "| fault | rounds | steps | accounted for | missed | as before after s: half, all |"]
    lines += ["|---|---:|---:|---:|---:|---|", *(row for name in FAULTS if (row := _row(name, done)) is not None)]
    most = {key: max(one[key] for one in done) for key in ("memory", "descriptors", "threads")}
    where = f"{host['day']}, {host['machine']['cores']} cores, Linux {host['machine']['kernel'].split('-')[0]}"
    lines += ["", f"{len(done)} rounds, the last on {where}. All processes together at the end of a round:"]
    lines += [f"{most['memory']:.0f} MiB, {most['descriptors']} descriptors and {most['threads']} threads at most;"]
    lines += [_grown(done)]
    PAGE.write_text("\n".join(lines) + "\n")


def _row(name: str, done: list[dict[str, Any]]) -> str | None:
    these = [one for one in done if one["fault"] == name]
    if not these:
        return None
    times = [one["recovery"] for one in these]
    known = [each for each in times if each is not None]
    most = "never" if None in times else f"{max(known):.1f}"
    counts = f"{sum(one['acts'] for one in these)} | {sum(bool(one['accounted']) for one in these)}"
    missed = sum(len(one["missed"]) for one in these)
    return f"| {name} | {len(these)} | {counts} | {missed} | {median(known or [0]):.1f}, {most} |"


def _grown(done: list[dict[str, Any]]) -> str:
    """Return how much more a daemon had after the last of its rounds than after the second."""
    stretches = [done[at : at + STRETCH] for at in range(0, len(done), STRETCH)]
    grown = [each[-1]["memory"] - each[1]["memory"] for each in stretches if len(each) == STRETCH]
    if not grown:
        return "no daemon has lived through all its rounds yet."
    return f"over {STRETCH} rounds {median(grown):+.0f} MiB in half of the daemons, {max(grown):+.0f} at most."


if __name__ == "__main__":
    assert Path(ROOT, "docs").is_dir()
    sys.exit(main(sys.argv[1:]))
