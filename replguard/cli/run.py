"""`replguard run`: the daemon, in the foreground."""

import _thread
import faulthandler
import logging
import signal
import sys
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

import rich_click as click
import structlog
from rich.console import Console
from rich.table import Table
from rich.text import Text

from replguard import standing
from replguard.daemon import Daemon
from replguard.events.text import printable
from replguard.kernel import memory
from replguard.kernel.carried import CARRIED
from replguard.kernel.keep import KEPT
from replguard.masking.mask import also, mask
from replguard.policy import Policy
from replguard.sensors import registry
from replguard.sensors.base import LIMITED


@click.command("run")
@click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path),
    help="The configuration file, if not /etc/replguard/replguard.yaml.",
)
@click.option("--json", "as_json", is_flag=True, help="Alerts on standard output as JSON Lines.")
def command(config: Path | None, *, as_json: bool) -> None:
    """Watch this host, in the foreground, until told to stop.

    Prints the sensors and then `ready`. SIGHUP reads manifest and rules again; SIGTERM and Ctrl-C end it.
    """
    KEPT.receive()
    CARRIED.begin()
    memory.frugal()
    _diagnostics()
    faulthandler.enable(file=2)  # the watchdog's SIGABRT tells where each thread stands
    # A person at a terminal can mend a broken file at once. A service must go on watching with the last good one.
    opening = registry.Opening()
    policy = Policy(config, opening.makes, strict=sys.stderr.isatty())
    for problem in policy.problems:
        click.echo(f"replguard: {policy.in_force}: {printable(mask(str(problem)))}", err=True)
    also(policy.config.log.mask)
    standing.alone(Path(policy.config.state_dir))
    daemon = Daemon(policy, opening, json=as_json)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: _apart(daemon.stop))
    at_terminal = sys.stderr.isatty()

    def hung_up(*_: object) -> None:
        # To a service it means "read again"; a terminal that was closed sends the same, and is one no more.
        if at_terminal and not sys.stderr.isatty():
            _apart(daemon.stop)
        else:
            _apart(daemon.reload)

    signal.signal(signal.SIGHUP, hung_up)
    daemon.run(lambda ready: _announce(ready, as_json=as_json))


def _apart(step: Callable[[], None]) -> None:
    """Take a step that waits for locks outside of a signal's handler, which runs while its thread may hold them.

    A thread is started without the locks of `threading` either.
    """
    _thread.start_new_thread(step, ())


def _announce(daemon: Daemon, *, as_json: bool) -> None:
    out = Console(stderr=as_json, highlight=False)
    table = Table(title="replguard watches with", title_justify="left", box=None, pad_edge=False)
    for heading in ("sensor", "area", "mode", "why not better, and what it cannot see"):
        table.add_column(heading, overflow="fold")
    for line in daemon.sensors():
        why, blind = _briefly(line.why), f"Blind spot: {line.blind}" if line.blind else None
        table.add_row(*map(Text, (line.name, line.area, line.mode, "\n".join(filter(None, (why, blind))))))
    out.print(table)
    if any(LIMITED in (line.why or "") for line in daemon.sensors()):
        out.print(Text(f"portable: {LIMITED}"), soft_wrap=True)
    policy = daemon.policy
    alerts = standing.alerting(policy.config.sinks, console=as_json)
    for told in (
        f"configuration: {standing.configured(policy.path)}",
        f"protected: {daemon.protecting()}",
        f"rules: {standing.judging(policy.ruleset)}",
        f"alerts: {alerts}",
    ):
        out.print(Text(printable(told)), soft_wrap=True)
    click.echo("ready", err=as_json)
    sys.stdout.flush()


def _briefly(why: str | None) -> str | None:
    """Leave out what would stand in every line of the table; one line below it says so."""
    return (why or "").replace(LIMITED, "").strip() or None


def _masked(_: Any, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Leave credentials out of a diagnostic: errors quote what they were given."""
    return {key: mask(value) if isinstance(value, str) else value for key, value in entry.items()}


def _diagnostics() -> None:
    """Send diagnostics to standard error, apart from alerts and as JSON unless a person reads them."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            _masked,
            structlog.dev.ConsoleRenderer(colors=False) if sys.stderr.isatty() else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
