"""Draws the picture of `replguard top` for the documentation: an invented host, the same bytes each time.

Run by ``make reference``; a test fails when it is stale.
"""

import io
import math
import os
import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console

from replguard.cli._frame import View, frame
from replguard.events.alert import Level
from replguard.events.overview import Case, Flow, Overview, Part, Served, Stream, Told, Way
from replguard.standing import SensorLine, Status

PICTURE = Path(__file__).resolve().parent.parent / "docs/_static/top.svg"
WIDTH, HEIGHT = 100, 26
NOW = datetime(2026, 3, 1, 3, 14, 15, tzinfo=UTC)
SENSORS = {
    "exec": ("process", "kernel", 212.0, 0.011),
    "mappings": ("file", "kernel", 3.0, 0.001),
    "mounting": ("host", "kernel", 0.0, 0.0),
    "names": ("file", "kernel", 388.0, 0.016),
    "tcp": ("network", "kernel", 41.0, 0.002),
    "volume": ("file", "kernel", 1204.0, 0.008),
    "network": ("network", "portable", 2.0, 0.001),
    "nvml": ("gpu", "portable", 1.0, 0.001),
    "drm": ("gpu", "off", 0.0, 0.0),
}
COPIED = "Agent python3 (pid 4711, uid 1000) copied chat-70b to /tmp/.cache/y: 100 % of its content."
SERVES = "Agent python3 (pid 4711, uid 1000) started a server of chat-70b on 0.0.0.0:8001 that nothing allows."


def drawn() -> str:
    """Return the picture as SVG. It asks nobody for a font, and its clock is UTC."""
    os.environ["TZ"] = "UTC"
    time.tzset()
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(frame(view(), WIDTH, HEIGHT), width=WIDTH, height=HEIGHT)
    picture = console.export_svg(title="replguard top", unique_id="top")
    without = re.sub(r"@font-face {.*?}", "", picture, flags=re.DOTALL)
    return "\n".join(line.rstrip() for line in without.splitlines() if line.strip()) + "\n"


def view() -> View:
    """Return what is drawn."""
    rates = {
        name: [rate * (1 + math.sin(n * (1 + rate % 7) / 5)) for n in range(60)]
        for name, (_, _, rate, _) in SENSORS.items()
    }
    return View(NOW, status(), rates=rates, chosen=0, keys="q quit  p pause  ↑↓ incident  Enter commands")


def status() -> Status:
    """Return what the daemon of the picture says."""
    return Status(
        version="0.1.0",
        pid=812,
        started=NOW - timedelta(days=6, hours=2),
        written=NOW,
        sensors=[SensorLine(name, area, mode, None, None) for name, (area, mode, _, _) in SENSORS.items()],
        protecting="38 files of 3 models, 261.40 GiB",
        judging="109 in force, 0 not evaluable here",
        problems=[],
        metrics="127.0.0.1:10947",
        overview=overview(),
    )


def overview() -> Overview:
    """Return how things stand on that host: a copy was made, and a second server of it runs."""
    opened = NOW - timedelta(minutes=2, seconds=9)
    return Overview(
        sensors={name: Flow(10**6, 0, rate, cpu) for name, (_, mode, rate, cpu) in SENSORS.items() if mode != "off"},
        instances=(Served("chat-70b", 2, 2, 0), Served("embed-8b", 1, 1, 0), Served("chat-70b copy", None, 1, 1)),
        firing={"high": 1, "critical": 1},
        incidents=2,
        cases=(
            Case(id="5f0c1a9be2", level="critical", sentence=SERVES, actor="python3", opened=opened, last=NOW, count=3),
            Case(
                id="91d2c07a44",
                level="low",
                sentence="cp (pid 9120, uid 0) of unit backup.service read embed-8b.",
                actor="backup.service",
                opened=NOW - timedelta(minutes=51),
                last=NOW,
                count=1,
            ),
        ),
        alerts=(
            _told(NOW - timedelta(seconds=4), "critical", SERVES),
            _told(opened, "high", COPIED),
        ),
        sinks={"jsonl": Way(14, 0, 0), "webhook": Way(14, 0, 0)},
        log={"evidence": Stream(41 * 2**20, 0), "raw": Stream(1843 * 2**20, 0)},
        parts={"daemon": Part(92 * 2**20, 0.031), "examiner": Part(31 * 2**20, 0.002)},
        waiting=0,
        examining=0,
        evicted={},
        checkpoint=NOW - timedelta(minutes=1),
    )


def _told(at: datetime, level: Level, sentence: str) -> Told:
    return Told(at=at, level=level, state="firing", incident="5f0c1a9be2", sentence=sentence)


if __name__ == "__main__":
    PICTURE.write_text(drawn())
