"""`replguard top`: a live view of the running daemon, in a terminal of any size."""

import contextlib
import os
import re
import select
import shutil
import sys
import termios
import tty
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from pathlib import Path

import rich_click as click
from rich.console import Console
from rich.live import Live

from replguard import config as configuration
from replguard.cli._frame import View, frame, wrong
from replguard.cli.status import GONE, NOT_RUNNING, read
from replguard.events import clock
from replguard.events.text import printable
from replguard.standing import Status

EACH = 1.0
HEED = 0.1
"""Seconds after which a key or another size of the terminal is heeded at the latest."""
KEPT = 120
"""Rates that are kept of each sensor, one for each time that the daemon told them."""
_KEY = re.compile(r"\x1b[\[O][A-Z]|.", re.DOTALL)
_KEYS = {"\x1b[A": "up", "\x1bOA": "up", "k": "up", "\x1b[B": "down", "\x1bOB": "down", "j": "down"}
_KEYS |= {"\r": "open", "\n": "open", "c": "open", "p": "pause", " ": "pause", "q": "quit", "\x04": "quit"}


@click.command("top")
@click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path),
    help="The configuration file, if not /etc/replguard/replguard.yaml.",
)
@click.option("--once", is_flag=True, help="Print one picture and end; so it does where there is no terminal.")
def command(config: Path | None, *, once: bool) -> None:
    """Watch the running daemon: sensors, what serves against what may, open incidents, the latest alerts.

    Keys: q ends it, p holds it, the arrows choose an incident, Enter shows the commands that contain it; they are
    printed once more at the end, to be copied. It goes on by itself when the daemon is started again.

    Exit code of `--once`: 1 if the daemon does not run, has told nothing for 30 s, or a sensor has failed.
    """
    with contextlib.suppress(AttributeError):
        sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr] # no bars where there are no letters for them
    watch = _Watch(config)
    watch.look()
    console = Console(highlight=False)
    if once or not (sys.stdin.isatty() and console.is_terminal) or console.is_dumb_terminal:
        size = shutil.get_terminal_size((80, 24))
        console.print(frame(watch.view, size.columns, size.lines), width=size.columns, height=size.lines)
        raise SystemExit(NOT_RUNNING if watch.wrong else 0)
    _live(watch, console)


class _Watch:
    """What is known of the daemon, and what the person at the terminal wants to see of it."""

    def __init__(self, config: Path | None) -> None:
        self._config, self._settings = config, configuration.load(config)
        self._rates: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=KEPT))
        self.view = View(clock.now(), rates=self._rates)
        self.wrong = False

    def look(self) -> None:
        """Ask the daemon."""
        view, before = self.view, self.view.status
        view.now = clock.now()
        told = read(self._config, self._settings)
        self.wrong = wrong(told, view.now)
        if isinstance(told, Status):
            view.status, view.trouble = told, None
            if told.overview is not None and (before is None or before.written != told.written):
                for name, flow in told.overview.sensors.items():
                    self._rates[name].append(flow.rate or 0.0)
        else:
            since = f" since {before.written.astimezone():%H:%M:%S}" if before is not None else ""
            view.trouble = told.replace(GONE, GONE + since, 1)
        view.chosen = min(view.chosen, len(view.cases) - 1) if view.chosen is not None and view.cases else None

    def press(self, key: str) -> None:
        """Choose an incident, show its commands, or hold everything."""
        view, last = self.view, len(self.view.cases) - 1
        if key in ("up", "down") and last >= 0:
            step = -1 if key == "up" else 1
            view.chosen = 0 if view.chosen is None else max(0, min(last, view.chosen + step))
        elif key == "pause":
            view.paused = not view.paused
        elif key == "open":
            view.opened = not view.opened and last >= 0
            view.chosen = view.chosen or 0 if view.opened else view.chosen


def _live(watch: _Watch, console: Console) -> None:
    """Draw each second, and at once after a key or where the terminal has another size, until told to end."""
    view, due, drawn = watch.view, clock.monotonic(), None
    with contextlib.suppress(KeyboardInterrupt), _keys() as pressed, _screen(console) as live:
        while "quit" not in (keys := pressed()):
            for key in keys:
                watch.press(key)
            is_due = not view.paused and clock.monotonic() >= due
            if is_due:
                due = clock.monotonic() + EACH
                watch.look()
            size = console.size
            if keys or is_due or size != drawn:
                view.keys = "q quit  p go on" if view.paused else "q quit  p pause  ↑↓ incident  Enter commands"
                drawn = size
                live.update(frame(view, size.width, size.height), refresh=True)
    if view.opened and view.chosen is not None:
        for each in view.cases[view.chosen].contain:
            click.echo(printable(each))


def _screen(console: Console) -> Live:
    return Live(console=console, screen=True, auto_refresh=False)


@contextlib.contextmanager
def _keys() -> Iterator[Callable[[], list[str]]]:
    """Read single keys, unseen, until the end; the terminal is as before then, whatever happens."""
    source = sys.stdin.fileno()
    before = termios.tcgetattr(source)
    try:
        tty.setcbreak(source)
        yield lambda: _pressed(source)
    finally:
        termios.tcsetattr(source, termios.TCSADRAIN, before)


def _pressed(source: int) -> list[str]:
    """Return what was pressed within a moment; a terminal that is gone is one that we leave."""
    if not select.select([source], [], [], HEED)[0]:
        return []
    read = os.read(source, 1024).decode(errors="replace")
    return [_KEYS.get(key, "") for key in _KEY.findall(read)] if read else ["quit"]
