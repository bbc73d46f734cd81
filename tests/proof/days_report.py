"""What the page says of the ordinary days."""

from collections import Counter
from collections.abc import Iterable
from statistics import median

from proof.days import CLAIMS, HIGH, Row

from replguard.events.alert import LEVELS

WHICH = {"alone": "no", "told": "yes"}
HEAD = """\
An inference host of six models, four of them served and two that people work with, lives through {hours} hours before
two daemons at once: one without a manifest, one with the manifest that the operator of this host would have written.
A seed draws which models there are, how large and how served; when each server is restarted, and how many more run at
the peak; and when, how often, by whom and with which tools the rest is done: deploys, backups, checksums, rotated logs,
health checks, CI, packages, images, downloads that break off and are resumed, certificates, notebooks, experiments,
people at a shell, and assistants that drive a model and do as they should. Acts overlap. Every command is a real one;
models have 4 to 68 MiB, and `egress.limit` is as much smaller.

**The time between acts is compressed {factor:.0f} times**, an act itself is not: a day takes about {minutes:.0f}
minutes. Alerts are counted twice: *as played*, where more falls within one window of a rule, but repeats fold into
one alert; and *drawn out*, where the daemon's log is replayed with its times {factor:.0f} times as far apart, and
nothing folds that would not on such a day. What is said of the daemons themselves, and of what else runs on the
machine, is left out. The target without a manifest is nothing at critical and at most {high} alert at high a day,
with one nothing at medium or above.
"""


def page(rows: dict[str, Row]) -> list[str]:
    """Return the lines for the page."""
    days = {key: row for key, row in rows.items() if not row.get("failed")}
    if not days:
        return ["No day was played."]
    last = list(days.values())[-1]
    minutes = last["hours"] * 60 / last["factor"]
    levels = [level for level in reversed(LEVELS) if level != "informational"]  # those are for the log alone
    return [
        HEAD.format(hours=last["hours"], factor=last["factor"], minutes=minutes, high=HIGH),
        f"| seed | acts | not played | manifest | {' | '.join(levels)} |",
        f"|---:|---:|---:|---|{'---:|' * len(levels)}",
        *(_line(row, which, levels) for row in days.values() for which in WHICH), "",
        " ".join(["Each figure is as played, then drawn out.", *_claims([*days.values()])]),
        "", "### What the daemons held", "", *_cost(days), "", "### What was done", "", *_acts(days.values()), "",
        "### By rule", "", "Alerts of a day, on average, drawn out.", "", "| alert | without a manifest | with one |",
        "|---|---:|---:|", *_rules([*days.values()]), "",
        "### What was raised at medium or above", "", *(_raised(days.values()) or ["Nothing."]),
    ]  # fmt: skip


def _claims(days: list[Row]) -> list[str]:
    return [
        f"{what[:1].upper()}{what[1:]}: {sum(map(held, days))} of {len(days)} days." for what, held in CLAIMS.items()
    ]


def _line(row: Row, which: str, levels: list[str]) -> str:
    counts = (f"{row[which]['played'][level]}, {row[which]['drawn_out'][level]}" for level in levels)
    acts, left = sum(row["acts"].values()), len(row["unplayed"])
    return f"| {row['seed']} | {acts} | {left} | {WHICH[which]} | {' | '.join(counts)} |"


def _cost(days: dict[str, Row]) -> list[str]:
    """Return a line for each day and daemon: memory, descriptors and threads through the day."""
    weighed = {key: row["cost"] for key, row in days.items() if row.get("cost")}
    if not weighed:
        return ["Not noted on these days."]
    return [
        "Of all processes of a daemon, noted once an hour: median of each third of the day, and most.",
        "", "| day | manifest | MiB (PSS) | descriptors | threads |", "|---|---|---:|---:|---:|",
        *(_weighed(f"| {key} | {WHICH[which]} ", cost[which]) for key, cost in weighed.items() for which in WHICH),
    ]  # fmt: skip


def _weighed(head: str, cost: list[list[float]]) -> str:
    return f"{head}| {' | '.join(_thirds([each[at] for each in cost]) for at in (1, 2, 3))} |"


def _thirds(values: list[float]) -> str:
    third = max(1, len(values) // 3)
    parts = (values[:third], values[third : 2 * third], values[2 * third :])
    return " → ".join(f"{median(part):.0f}" for part in parts if part) + f" (most {max(values):.0f})"


def _acts(rows: Iterable[Row]) -> list[str]:
    found: Counter[str] = Counter()
    for row in rows:
        found.update(row["acts"])
    return ["On all days together: " + ", ".join(f"{kind} {count}" for kind, count in found.most_common()) + "."]


def _rules(days: list[Row]) -> list[str]:
    """Return a line for each level and rule, with how often on a day."""
    found = {which: Counter[str]() for which in WHICH}
    for which, counts in found.items():
        for row in days:
            counts.update(row[which]["rules"])
    names = sorted({name for counts in found.values() for name in counts})
    means = ((name, [counts[name] / len(days) for counts in found.values()]) for name in names)
    return [f"| {name} | {alone:.1f} | {told:.1f} |" for name, (alone, told) in means]


def _raised(rows: Iterable[Row]) -> list[str]:
    """Return a line for each rule and act, with how often: the sentences are in the results."""
    return [
        f"- seed {row['seed']}, {'with' if which == 'told' else 'without'} a manifest: {level} `{rule}`, {act}"
        for row in rows
        for which in WHICH
        for (level, rule, act) in sorted(
            {(level, rule, act) for level, rule, act, _ in row[which]["raised"]}, key=_order
        )
    ]


def _order(raised: tuple[str, str, str]) -> tuple[int, str, str]:
    level, rule, act = raised
    return -[*LEVELS].index(level), rule, act  # type: ignore[arg-type]
