"""What is said when the daemon is ready, to the person who started it."""

import sys

from rich.console import Console
from rich.table import Table
from rich.text import Text

from replguard import standing
from replguard.analyser.analyser import Analyser
from replguard.events.standing import LIMITED
from replguard.events.text import printable
from replguard.frames import Standing


def announce(analyser: Analyser, stands: Standing, *, as_json: bool) -> None:
    """Print how each sensor works, what is protected and where alerts go, and then `ready`."""
    out = Console(stderr=as_json, highlight=False)
    table = Table(title="replguard watches with", title_justify="left", box=None, pad_edge=False)
    for heading in ("sensor", "area", "mode", "why not better, and what it cannot see"):
        table.add_column(heading, overflow="fold")
    for line in stands.sensors:
        why, blind = _briefly(line.why), f"Blind spot: {line.blind}" if line.blind else None
        last = "\n".join(printable(text) for text in (why, blind) if text)
        table.add_row(*map(Text, (printable(line.name), line.area, line.mode, last)))
    out.print(table)
    if any(LIMITED in (line.why or "") for line in stands.sensors):
        out.print(Text(f"portable: {LIMITED}"), soft_wrap=True)
    alerts = standing.alerting(analyser.config.sinks, console=as_json)
    for told in (
        f"configuration: {standing.configured(analyser.hello.path)}",
        f"protected: {stands.protecting}",
        f"rules: {analyser.rulebook.judging}",
        f"alerts: {alerts}",
    ):
        out.print(Text(printable(told)), soft_wrap=True)
    stream = sys.stderr if as_json else sys.stdout
    stream.write("ready\n")
    stream.flush()


def _briefly(why: str | None) -> str | None:
    """Leave out what would stand in every line of the table; one line below it says so."""
    return (why or "").replace(LIMITED, "").strip() or None
