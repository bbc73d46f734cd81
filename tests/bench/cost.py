"""What it costs to watch: the machine's busy time less the load's own, beside raw auditd under the same load."""

import contextlib
from pathlib import Path
from typing import Any

from bench.host import Load, Say, busy, folder, spread
from bench.watching import audit, guard, nobody

RATES = (10, 33, 100, 333, 1000)
WHO = ("nobody", "replguard", "auditd")


def run(say: Say, *, short: bool) -> dict[str, Any]:
    """Measure each rate with each watcher in turn, several times over.

    ``cpu`` counts what can be told apart: the watcher's processes (kauditd included) and what the load itself became
    dearer. ``busy`` is the whole machine, and what else runs on it. Both in microseconds for each program.
    """
    rates, seconds, repeats = ((100, 1000), 8.0, 2) if short else (RATES, 30.0, 5)
    found: dict[tuple[int, str], list[dict[str, float]]] = {}
    with folder() as place:
        load = Load(place)
        for repeat in range(repeats):
            for rate in rates:
                for who in WHO:
                    one = _one(load, place / f"{repeat}-{rate}-{who}", who, rate, seconds)
                    found.setdefault((rate, who), []).append(one)
                    say(f"{rate}/s {who}: busy {one['busy'] * 1e6 / one['started']:.0f} µs a program")
    return {"seconds": seconds, "rates": [_row(rate, found) for rate in rates]}


def _one(load: Load, place: Path, who: str, rate: int, seconds: float) -> dict[str, float]:
    place.mkdir()
    watcher: Any = {"nobody": nobody, "replguard": guard, "auditd": lambda: audit(place)}[who]
    with contextlib.ExitStack() as stack:
        running = stack.enter_context(watcher())
        before = running.cpu() if running is not None else 0.0
        with busy() as took:
            done = load.run(rate, seconds, "cost")
        own = running.cpu() - before if running is not None else 0.0
    return {"busy": took[0], "load": done.cpu, "own": own, "started": done.started, "rate": done.rate}


def _row(rate: int, found: dict[tuple[int, str], list[dict[str, float]]]) -> dict[str, Any]:
    """Return the costs at one rate: each run less the run without a watcher of the same round."""
    row: dict[str, Any] = {"rate": rate}
    bare = found[rate, "nobody"]
    row["load"] = spread([one["load"] * 1e6 / one["started"] for one in bare])
    for who in WHO[1:]:
        pairs = list(zip(found[rate, who], bare, strict=True))
        row[who] = {
            "achieved": spread([one["rate"] for one, _ in pairs]),
            "busy": spread([(one["busy"] - none["busy"]) * 1e6 / one["started"] for one, none in pairs]),
            "cpu": spread([(one["own"] + one["load"] - none["load"]) * 1e6 / one["started"] for one, none in pairs]),
            "own": spread([one["own"] * 1e6 / one["started"] for one, _ in pairs]),
        }
    return row


def page(found: dict[str, Any]) -> list[str]:
    """Return the lines for the page."""
    lines = [
        "| programs/s | replguard, machine | auditd, machine | replguard, counted | auditd, counted |",
        "|---:|---:|---:|---:|---:|",
    ]
    for row in found["rates"]:
        cells = [
            f"{row[who][kind]['median']:.0f} ({row[who][kind]['least']:.0f} to {row[who][kind]['most']:.0f})"
            for kind in ("busy", "cpu")
            for who in WHO[1:]
        ]
        lines.append(f"| {row['rate']} | {' | '.join(cells)} |")
    return [
        (
            "Microseconds of CPU for each program that is started, median (least to most), beyond what the load takes"
            " by itself. *machine* is the busy time of all cores; *counted* is the CPU time of the watcher and its"
            " threads, and what the load itself became dearer: other work on the machine blurs that less."
        ),
        "",
        *lines,
    ]
