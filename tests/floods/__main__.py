"""`make floods`: floods a host in full while another user replicates, keeps the results, writes docs/floods.md.

Usage: make floods [ARGS="[--again] [NAME[=COUNT]…]"]. Needs root. Each flood has a daemon of its own; what was measured
already is left out unless asked for again, so that a run that was cut off goes on.
"""

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.host import ROOT, machine
from floods import acts
from floods.scene import Found, Scene

RESULTS = ROOT / "var" / "floods"
PAGE = ROOT / "docs" / "floods.md"
FULL = {
    "execs": 20_000,
    "forks": 100_000,
    "sparse": 1_000_000,
    "listeners": 100_000,
    "connects": 300_000,
    "unix": 100_000,
    "renames": 500_000,
    "names": 100_000,
    "opens": 500_000,
    "copies": 500,
    "page": 20_000,
    "watches": 100_000,
}


def main(arguments: list[str]) -> int:
    """Run the floods that are asked for; return 1 if one hid what it should not."""
    again = "--again" in arguments
    asked = dict(word.partition("=")[::2] for word in arguments if not word.startswith("--"))
    if unknown := asked.keys() - FULL.keys():
        print(f"no such flood: {', '.join(unknown)}; there are {', '.join(FULL)}", file=sys.stderr)
        return 2
    RESULTS.mkdir(parents=True, exist_ok=True)
    good = True
    for name in asked or FULL:
        file = RESULTS / f"{name}.json"
        if again or asked or not file.exists():
            file.write_text(json.dumps(_measured(name, int(asked.get(name) or FULL[name])), indent=1) + "\n")
        kept = json.loads(file.read_text())
        good &= not kept["missed"]
        print(f"{name}: {_row(kept)}", flush=True)
    PAGE.write_text("\n".join(_page()) + "\n")
    return 0 if good else 1


def _measured(name: str, count: int) -> dict[str, Any]:
    """Return what became of a flood, beside what was told in peace."""
    with Scene(["calm", name]) as scene:
        calm = Found("calm", 0)
        scene.replicate("calm", calm)
        found = scene.flood(name, count, name)
        missed = sorted(rule for rule, _ in scene.expected - found.alerts.items())
    day = time.strftime("%Y-%m-%d")
    return {"day": day, "machine": machine(), "calm": asdict(calm), "found": asdict(found), "missed": missed}


def _row(kept: dict[str, Any]) -> str:
    found = kept["found"]
    times = [f"{value:.1f}" if value is not None else "never" for value in (found["copy"], found["live"])]
    memory = f"{found['before']:.0f} to {found['memory']:.0f}"
    lost = f"{found['lost']:,.0f} | {found['told']:,.0f}"
    missed = ", ".join(kept["missed"]) or "nothing"
    return f"{found['done']:,} | {found['seconds']:.0f} | {times[0]} | {times[1]} | {memory} | {lost} | {missed}"


def _page() -> list[str]:
    lines = PAGE.read_text().split("\n| flood |")[0].rstrip().splitlines()
    lines += [
        "",
        "| flood | done | s | copy after s | server after s | MiB | lost | told as lost | not told | day, machine |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---|---|",
    ]
    for name in FULL:
        file = RESULTS / f"{name}.json"
        if file.exists():
            kept = json.loads(file.read_text())
            host = f"{kept['day']}, {kept['machine']['cores']} cores, Linux {kept['machine']['kernel'].split('-')[0]}"
            what = next(act.__doc__ for act in acts.ACTS if act.__name__ == name) or name
            lines.append(f"| `{name}`: {what.rstrip('.')} | {_row(kept)} | {host} |")
    return lines


if __name__ == "__main__":
    assert Path(ROOT, "docs").is_dir()
    sys.exit(main(sys.argv[1:]))
