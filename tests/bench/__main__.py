"""`make bench`: measures what the kernel tier promises, keeps the results, and writes the page that shows them.

Usage: make bench [ARGS="[--short] [PART…]"]; the parts are those of the list below. Needs root; each part says what it
lacks and the others go on. A short run is for development: its figures are marked, and the page is left as it is.
"""

import json
import sys
import time
from types import ModuleType
from typing import Any

from bench import cost, fingerprint, hotpath, latency, log, loss, memory, overhead, query, rules, sync
from bench.host import RESULTS, ROOT, Lacking, machine

PARTS: dict[str, tuple[str, ModuleType]] = {
    "hotpath": ("The way of an event", hotpath),
    "cost": ("Cost", cost),
    "loss": ("Loss", loss),
    "latency": ("Latency", latency),
    "overhead": ("Overhead", overhead),
    "memory": ("Memory", memory),
    "fingerprint": ("Fingerprint", fingerprint),
    "rules": ("Rules", rules),
    "log": ("The log", log),
    "sync": ("The log on the disk", sync),
    "query": ("Asking the log", query),
}
PAGE = ROOT / "docs" / "performance.md"


def main(arguments: list[str]) -> int:
    """Run the parts that are asked for, all without a name; return 1 if one failed, 2 for a name that is none."""
    short = "--short" in arguments
    names = [name for name in arguments if name not in ("--short", "--page")]
    if wrong := [name for name in names if name not in PARTS]:
        print(f"no such part: {', '.join(wrong)}; there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    failed = False
    if "--page" not in arguments:
        for name in names or PARTS:
            failed |= not _measure(name, short=short)
    if not short:
        PAGE.write_text("\n".join(_page()) + "\n")
        print(f"written: {PAGE.relative_to(ROOT)}")
    return int(failed)


def _measure(name: str, *, short: bool) -> bool:
    title, part = PARTS[name]
    print(f"{title} …", flush=True)
    began = time.monotonic()
    try:
        found: dict[str, Any] = part.run(lambda line: print(f"  {line}", flush=True), short=short)
    except Lacking as lack:
        print(f"  left out: {lack}")
        return True
    except Exception as error:  # noqa: BLE001 - the other parts go on
        print(f"  failed: {type(error).__name__}: {error}", file=sys.stderr)
        return False
    RESULTS.mkdir(parents=True, exist_ok=True)
    kept = {"machine": machine(), "short": short, "took": time.monotonic() - began, "found": found}
    file = RESULTS / f"{name}{'.short' if short else ''}.json"
    file.write_text(json.dumps(kept, indent=1) + "\n")
    print(f"  {file.relative_to(ROOT)}")
    return True


def _page() -> list[str]:
    """Return the page from the results of full runs; what was not measured here stays as it is."""
    before = _sections()
    lines = [
        "# Performance",
        "",
        (
            "What watching costs and how fast it is, measured by `make bench` (root, about two hours; `ARGS=--short`"
            ' for a quick look, `ARGS="cost loss"` for some parts). The page is written by the bench from its results.'
            " A ratio is of two runs on the same machine in turn; absolute figures hold for the machine they come from."
        ),
    ]
    for name, (title, part) in PARTS.items():
        file = RESULTS / f"{name}.json"
        if not file.exists():
            lines += before.get(title, [])
            continue
        kept = json.loads(file.read_text())
        host = kept["machine"]
        lines += ["", f"## {title}", "", *part.page(kept["found"]), ""]
        lines.append(
            f"Machine: {host['cores']} × {host['cpu']}, {host['memory_gib']} GiB, Linux {host['kernel']},"
            f" Python {host['python']}."
        )
    return lines


def _sections() -> dict[str, list[str]]:
    """Return the sections of the page as it is, by their titles, each from the line before it on."""
    found: dict[str, list[str]] = {}
    for part in PAGE.read_text().split("\n## ")[1:] if PAGE.exists() else []:
        lines = part.rstrip("\n").split("\n")
        found[lines[0]] = ["", f"## {lines[0]}", *lines[1:]]
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
