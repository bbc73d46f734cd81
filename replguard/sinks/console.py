"""Alerts for the person in front of a terminal, as plain lines in a pipe, or as JSON Lines for a program.

Nothing that an attacker chose is interpreted: no markup, no emoji names, no terminal escapes.
"""

import sys
from collections.abc import Sequence
from typing import IO

from rich.console import Console as Terminal
from rich.text import Text

from replguard.events import wire
from replguard.events.alert import Alert, Level
from replguard.events.text import printable, show
from replguard.sinks.base import Common, Sink

_STYLES: dict[Level, str] = {
    "informational": "dim",
    "low": "cyan",
    "medium": "yellow",
    "high": "bold red",
    "critical": "bold white on red",
}


class Settings(Common, frozen=True, kw_only=True):
    """``json``: one JSON object a line, whatever the output is."""

    json: bool = False


def open(settings: Settings) -> Sequence[Sink]:  # noqa: A001 - the name that the registry asks for
    """Return the sink, on standard output."""
    return (Console(sys.stdout, as_json=settings.json),)


class Console(Sink):
    """Writes to one stream."""

    longest = 5.0

    def __init__(self, stream: IO[str], *, as_json: bool) -> None:
        self._stream, self._as_json = stream, as_json
        self._terminal = Terminal(file=stream, markup=False, emoji=False, highlight=False, soft_wrap=True)

    def send(self, alert: Alert) -> None:
        if self._as_json:
            self._stream.write(wire.encode(alert).decode() + "\n")
        elif self._terminal.is_terminal:
            self._terminal.print(shown(alert))
        else:
            self._stream.write(line(alert) + "\n")
        self._stream.flush()


def line(alert: Alert) -> str:
    """Return an alert as one plain line."""
    about = alert.replguard
    count = f" ×{about.count}" if about.count > 1 else ""
    state = "RESOLVED " if about.state == "resolved" else ""
    when = alert.timestamp.strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"{when} {state}{alert.rule.level.upper()}{count} {printable(alert.message)} [{show(alert.rule.name)}]"


def shown(alert: Alert) -> Text:
    """Return an alert for a terminal: the level, the sentence, and what to do."""
    about = alert.replguard
    resolved = about.state == "resolved"
    text = Text()
    text.append(f"{alert.timestamp.astimezone():%H:%M:%S} ", "dim")
    text.append(f" {'resolved' if resolved else alert.rule.level} ", "green" if resolved else _STYLES[alert.rule.level])
    text.append(f" ×{about.count}" if about.count > 1 else "")
    text.append(f" {printable(alert.message)}\n")
    text.append(f"  {show(alert.rule.name)} · alert {alert.event.id} · incident {about.incident}", "dim")
    if about.contain and not resolved:
        text.append(f"\n  contain: {show(about.contain[0], 200)}", "dim")
    return text
