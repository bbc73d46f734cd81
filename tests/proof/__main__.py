"""`make prove`: proves the mission with real model servers, keeps what came of each trial, and writes docs/proof.md.

Usage: make prove [ARGS="[--trials N] [--again] [PART | ATTACK | ATTACK/N]…"]. Needs root. What was played already is
left out unless asked for again, so that a run that was cut off goes on; the results are committed. Exit code 1 if a
figure is worse than the results said before.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from bench.host import ROOT, Lacking, need
from proof import claims, compare, compared, composed, days, days_report, published, report
from rich.progress import Progress
from support import prepared

from replguard.drill.stage import ended_gently

PARTS: dict[str, tuple[ModuleType, ModuleType]] = {
    "attacks": (published, report),
    "composed": (composed, composed),
    "days": (days, days_report),
    "compare": (compare, compared),
    "gpu": (claims, claims),
}
"""By name: what plays one (TITLE, TRIALS, planned, run, line, figures, maybe close), and what writes of it (page)."""
RESULTS = Path(__file__).parent / "results"
PAGE = ROOT / "docs" / "proof.md"
HEAD = """\
# The proof

What becomes of replications that were published, played against real model servers. `make prove` (root, some hours; it
goes on where it was cut off, `ARGS="--trials 2 fudan"` for less) plays what is not played yet, adds a line for each
trial to `tests/proof/results`, and writes this page from those lines.
"""
Rows = dict[str, dict[str, Any]]


def main() -> int:
    """Play what is asked for and not there yet; return 1 for a figure that became worse, 2 for a wrong name."""
    asked = argparse.ArgumentParser(prog="make prove")
    asked.add_argument("names", nargs="*")
    asked.add_argument("--trials", type=int)
    asked.add_argument("--again", action="store_true", help="what was played already as well")
    asked.add_argument("--page", action="store_true", help="write the page alone")
    given = asked.parse_args()
    try:
        need()
        with ended_gently():
            worse = [] if given.page else [one for name in PARTS for one in _played(name, given)]
    except Lacking as lacking:
        print(f"left out: {lacking}")
        return 2
    _write()
    for one in worse:
        print(f"worse than before: {one}")
    return int(bool(worse))


def _played(name: str, given: argparse.Namespace) -> list[str]:
    """Play the trials of a part that are asked for, and return which of its figures became worse."""
    (part, _), rows = PARTS[name], _read(name)
    before = part.figures(rows)
    keys = [key for key in part.planned(given.trials or part.TRIALS) if _wanted(name, key, given.names)]
    todo = [key for key in keys if given.again or key not in rows or rows[key].get("failed")]
    try:
        with Progress() as progress:
            bar = progress.add_task(part.TITLE, total=len(todo))
            for key in todo:
                progress.update(bar, description=key)
                rows[key] = part.run(key)
                _keep(name, rows)
                progress.console.print(f"{key}: {part.line(rows[key])}", markup=False, highlight=False, soft_wrap=True)
                progress.advance(bar)
    finally:
        getattr(part, "close", lambda: None)()
    after = part.figures(rows)
    return [
        f"{what}: {after.get(what, 0):.2f}, was {was:.2f}" for what, was in before.items() if after.get(what, 0) < was
    ]


def _wanted(part: str, key: str, names: list[str]) -> bool:
    return not names or bool({part, key, key.partition("/")[0]} & set(names))


def _read(name: str) -> Rows:
    file = RESULTS / f"{name}.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    return {row.pop("key"): row for row in map(json.loads, lines)}


def _keep(name: str, rows: Rows) -> None:
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{name}.jsonl"
    text = "".join(json.dumps({"key": key} | row) + "\n" for key, row in sorted(rows.items()))
    file.with_suffix(".new").write_text(text)
    file.with_suffix(".new").rename(file)


def _write() -> None:
    lines = [HEAD]
    for name, (part, text) in PARTS.items():
        if rows := _read(name):
            lines += [f"## {part.TITLE}", "", *text.page(rows), ""]
            if name == "attacks":
                words = [prepared.python("page"), Path(__file__).parent / "pictures.py", RESULTS / f"{name}.jsonl"]
                subprocess.run([*map(str, words), str(ROOT / "docs" / "_static")], check=True)
    PAGE.write_text("\n".join(lines).rstrip() + "\n")
    print(f"written: {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    sys.exit(main())
