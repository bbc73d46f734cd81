"""The part of the ordinary days: which are played, one of them lived through, and what is claimed of all."""

import time
from typing import Any

from bench.host import Lacking, commit, machine
from proof import diary, workday
from support import programs

TITLE = "Ordinary days"
TRIALS = 3
HIGH = 1
"""Alerts at high that a day without a manifest may have."""
Row = dict[str, Any]


def planned(trials: int) -> list[str]:
    """Return the keys of so many days; the number is the seed."""
    return [f"day/{number}" for number in range(1, trials + 1)]


def run(key: str) -> Row:
    """Live through one day. Raises Lacking."""
    about = {"day": time.strftime("%Y-%m-%d"), "commit": commit(), "machine": machine()}
    try:
        return about | workday.lived(diary.drawn(int(key.partition("/")[2])))
    except programs.Lacking as lacking:
        raise Lacking(str(lacking)) from lacking


def most(row: Row, which: str, level: str) -> int:
    """Return the alerts of a level on a day: the more of those as played and those with its times drawn out."""
    return max(row[which][how][level] for how in ("played", "drawn_out"))


CLAIMS = {
    "nothing at critical without a manifest": lambda row: most(row, "alone", "critical") == 0,
    "at most one at high without a manifest": lambda row: most(row, "alone", "high") <= HIGH,
    "nothing at medium or above with one": lambda row: (
        not any(most(row, "told", level) for level in ("critical", "high", "medium"))
    ),
}


def figures(rows: dict[str, Row]) -> dict[str, float]:
    """Return the figures of which none may become less: the share of days on which each claim holds."""
    played = [row for row in rows.values() if not row.get("failed")]
    return {claim: sum(map(held, played)) / len(played) for claim, held in CLAIMS.items() if played}


def line(row: Row) -> str:
    """Return what is printed of a day."""
    if row.get("failed"):
        return f"not played: {row['failed']}"
    told = [
        f"{'with' if which == 'told' else 'without'} a manifest: "
        + (
            ", ".join(f"{count} {level}" for level in row[which]["drawn_out"] if (count := most(row, which, level)))
            or "0"
        )
        for which in ("alone", "told")
    ]
    left = [f"{len(row['unplayed'])} not played"] if row["unplayed"] else []
    return "; ".join([f"{sum(row['acts'].values())} acts in {row['seconds']} s", *told, *left])
