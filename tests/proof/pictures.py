"""Draws the pictures of the page: ``pictures.py RESULTS FOLDER``. Its environment has matplotlib."""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt

mpl.rcParams |= {
    "svg.hashsalt": "replguard",  # the same rows give the same bytes
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
COLOURS = {"critical": "#b3261e", "high": "#e07a1f", "medium": "#c9a400", "low": "#7a8aa0", "informational": "#b8c0cc"}
ANSWER, ACT = "#1f6feb", "#333333"
Row = dict[str, Any]


def delays(rows: list[Row], file: Path) -> None:
    """Draw for each trial when the critical alert came after the act, and when the replica answered."""
    names = list(dict.fromkeys(row["key"].partition("/")[0] for row in rows))
    figure, axes = plt.subplots(figsize=(8, 0.5 * len(names) + 1.4))
    for row in rows:
        at = len(names) - names.index(row["key"].partition("/")[0])
        if row["delay"] is not None:
            axes.plot(row["delay"], at + 0.1, "o", color=COLOURS["critical"], alpha=0.7, markersize=6)
        if row["answer"] is not None:
            axes.plot(row["answer"], at - 0.15, "|", color=ANSWER, markersize=10, markeredgewidth=2)
    axes.axvline(0, color=ACT, linewidth=1)
    axes.set_xscale("symlog", linthresh=1.0)
    axes.set_yticks(range(len(names), 0, -1), names)
    axes.set_ylim(0.4, len(names) + 0.6)
    axes.set_xlabel("seconds after the act (replica listens, bytes sent or written)")
    axes.grid(axis="x", alpha=0.3)
    critical, answer = (plt.Line2D([], [], linestyle="", **how) for how in _LEGEND)
    axes.legend(
        [critical, answer], ["first critical alert", "the replica's first answer"],
        loc="upper center", bbox_to_anchor=(0.5, 1.0 + 0.9 / len(names)), ncols=2, frameon=False,
    )  # fmt: skip
    _save(figure, file)


_LEGEND: tuple[dict[str, Any], ...] = (
    {"marker": "o", "color": COLOURS["critical"]},
    {"marker": "|", "color": ANSWER, "markersize": 10, "markeredgewidth": 2},
)


def story(row: Row, file: Path) -> None:
    """Draw one trial: the agent's steps above, what was told of them below."""
    figure, axes = plt.subplots(figsize=(8, 4.2))
    for began, ended, _, act in row["steps"]:
        axes.plot([began, max(ended, began + 0.15)], [1, 1], color=ACT, linewidth=8, solid_capstyle="butt", alpha=0.5)
        if act:
            axes.annotate(act, (ended, 1.04), (ended, 1.2), rotation=60, fontsize=9, color=ACT)
    live = row["acts"].get("live")
    if live is not None:
        axes.axvline(live, color=ANSWER, linewidth=1, linestyle="--")
        axes.annotate("the replica listens", (live, -1.05), ha="right", color=ANSWER, fontsize=9)
    for number, (when, level, rule, _) in enumerate(row["alerts"]):
        at = 0.8 - number * 1.7 / max(8, len(row["alerts"]))
        axes.plot(when, at, "o", color=COLOURS[level], markersize=6)
        axes.annotate(f"{rule} ({level})", (when, at), (7, -3), textcoords="offset points", fontsize=8)
    longest = max(step[1] for step in row["steps"])
    axes.set_xlim(-0.5, longest * 1.25)
    axes.set_ylim(-1.1, 1.7)
    axes.set_yticks([1], ["steps"])
    axes.set_xlabel("seconds as played")
    axes.set_title(f"{row['key']}, model server: {row['server']}", fontsize=10, loc="left")
    _save(figure, file)


def _save(figure: Any, file: Path) -> None:
    figure.savefig(file, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)


def main(results: Path, folder: Path) -> None:
    rows = [row for row in map(json.loads, results.read_text().splitlines()) if not row.get("failed")]
    delays(rows, folder / "proof-delays.svg")
    published = [row for row in rows if row["key"].startswith("fudan/")]
    if published:
        story(published[0], folder / "proof-fudan.svg")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
