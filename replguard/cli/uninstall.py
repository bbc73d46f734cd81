"""`replguard uninstall`: the service, stopped and taken away."""

import os
from pathlib import Path

import rich_click as click

from replguard.cli.install import tell
from replguard.errors import ReplguardError
from replguard.install.service import Service


@click.command("uninstall")
@click.option("--purge", is_flag=True, help="Remove configuration, state and log too, and what was changed here.")
@click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("/"),
    help="Where the files are, if `install` was given a folder.",
)
@click.option("--dry-run", "dry", is_flag=True, help="Tell what would be done, and do nothing.")
def command(root: Path, *, purge: bool, dry: bool) -> None:
    """Stop the service and remove what `install` put in place.

    Configuration, state and log stay, and so does what was changed here. The log is evidence: --purge removes it for
    good. The group stays, since files elsewhere may be its; so does the program (`pip uninstall replguard`).

    Each line tells what was done (+), left alone (=) or could not be done (!), which makes the exit code 1.
    """
    if root == Path("/") and not dry and os.geteuid() != 0:
        raise ReplguardError("removing a service needs root (sudo)")
    tell(Service(root, dry=dry).uninstall(purge=purge), dry=dry)
