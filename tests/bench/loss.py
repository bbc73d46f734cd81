"""Loss: every program that was started is in the log with its arguments, and what is not was counted."""

import re
from typing import Any

from bench.host import Load, Loaded, Say, folder
from bench.watching import Guard, guard


def run(say: Say, *, short: bool) -> dict[str, Any]:
    """Run the load at two rates and as fast as the machine can; count what the raw log holds."""
    seconds, flood = (8.0, 5.0) if short else (60.0, 20.0)
    rows = []
    with folder() as place:
        load = Load(place)
        for rate, length in ((1000, seconds), (2000, seconds), (0, flood)):
            with guard() as daemon:
                before = daemon.dropped()
                done = load.run(rate, length, "loss")
                daemon.settled()
                row = _row(rate, done, daemon, before)
            rows.append(row)
            say(
                f"{row['name']}: {row['logged']} of {row['started']} in the log, {sum(row['dropped'].values())} dropped"
            )
    return {"rows": rows}


def _row(rate: int, done: Loaded, daemon: Guard, before: dict[str, float]) -> dict[str, Any]:
    logged: set[int] = set()
    told = 0
    for line in daemon.records():
        if b'"process_exec"' in line and (found := re.search(rb'"args":\["/bin/true","loss-(\d+)"\]', line)):
            logged.add(int(found[1]))
        elif b'"state":"loss"' in line and (found := re.search(rb'"lost":(\d+)', line)):
            told += int(found[1])
    dropped = {name: count - before.get(name, 0) for name, count in daemon.dropped().items()}
    missing = done.started - len(logged)
    return {
        "name": f"{rate}/s" if rate else "as fast as it can",
        "started": done.started,
        "rate": done.rate,
        "logged": len(logged),
        "missing": missing,
        "dropped": dropped,
        "told": told,
        "accounted": missing <= sum(dropped.values()) == told or missing == 0,
    }


def page(found: dict[str, Any]) -> list[str]:
    """Return the lines for the page."""
    lines = [
        "| load | achieved | started | in the log | records dropped | told as loss |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for row in found["rows"]:
        rate, dropped = f"{row['rate']:.0f}/s", sum(row["dropped"].values())
        lines.append(f"| {row['name']} | {rate} | {row['started']} | {row['logged']} | {dropped:.0f} | {row['told']} |")
    return [
        "`/bin/true` with an argument of its own each time. A dropped record is one exec, fork or exit.",
        "",
        *lines,
    ]
