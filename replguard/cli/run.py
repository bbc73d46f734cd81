"""`replguard run`: the daemon, in the foreground."""

import os
import sys
from pathlib import Path

import rich_click as click

from replguard import supervisor
from replguard.config import DEFAULT_PATH
from replguard.lastgood import state_dir_of


@click.command("run")
@click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path),
    help="The configuration file, if not /etc/replguard/replguard.yaml.",
)
@click.option("--json", "as_json", is_flag=True, help="Alerts on standard output as JSON Lines.")
@click.option(
    "--only",
    type=click.Choice(["collector", "analyser"]),
    help="One part alone, for a service manager that runs both.",
)
@click.option(
    "--socket",
    type=click.Path(path_type=Path, readable=False),
    default=Path("/run/replguard-analyser.sock"),
    show_default=True,
    help="What joins the two, with --only. The analyser is given it by the service manager.",
)
def command(config: Path | None, socket: Path, only: str | None, *, as_json: bool) -> None:
    """Watch this host, in the foreground, until told to stop.

    Prints the sensors and then `ready`. SIGHUP reads manifest and rules again; SIGTERM and Ctrl-C end it. Two processes
    of it see and judge; a third keeps them going.
    """
    # A person at a terminal can mend a broken file at once. A service must go on watching with the last good one.
    if sys.stderr.isatty() and only != "analyser":
        _check(config)
    given = {"config": None if config is None else str(config), "json": as_json}
    if only is not None:
        given["socket"] = str(socket)
    else:
        given["state_dir"] = str(state_dir_of(config or DEFAULT_PATH).absolute())
    # In the place of this process, which has read more than the ones that stay will need.
    sys.stdout.flush()
    os.execv(sys.executable, supervisor.argv(f"{only}.main" if only else "supervisor", given))  # noqa: S606 - no shell


def _check(config: Path | None) -> None:
    """Raise ConfigError with every fault of configuration, manifest, rules and sinks."""
    from replguard.analyser.rulebook import faults
    from replguard.policy import Policy

    Policy(config, strict=True, more=lambda read: faults(read, None if config is None else str(config)))
