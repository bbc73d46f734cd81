"""`replguard install`: the service, put in place and started."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

import rich_click as click

from replguard import ownership
from replguard.errors import ReplguardError
from replguard.events.text import printable
from replguard.install.service import Service, Step

FAILED = 1
_MARKS = {"done": "+", "left": "=", "failed": "!"}


@click.command("install")
@click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("/"),
    help="Put the files below this folder, for a package: no owner is set, and systemd is not asked.",
)
@click.option("--dry-run", "dry", is_flag=True, help="Tell what would be done, and do nothing.")
def command(root: Path, *, dry: bool) -> None:
    """Put the service in place and start it: unit, group, folders, and a first configuration.

    The unit runs this very interpreter. Run it again after an upgrade: what is as it should be is left alone, and so
    is what was changed here, with the new text beside it (`.new`). A configuration that is there is never touched.

    Each line tells what was done (+), left alone (=) or could not be done (!), which makes the exit code 1.
    """
    if root == Path("/") and not dry:
        _may(Path(sys.prefix))
    tell(Service(root, dry=dry).install(sys.executable), dry=dry)


def tell(steps: Iterable[Step], *, dry: bool) -> None:
    """Print what became of each thing; ends with exit code 1 if one could not be done."""
    failed = False
    for step in steps:
        failed |= step.state == "failed"
        click.echo(printable(f"{_MARKS[step.state]} {step.text}"), err=step.state == "failed")
    if dry:
        click.echo("Nothing was changed: this is what would be done.")
    if failed:
        raise SystemExit(FAILED)


def _may(program: Path) -> None:
    """Raise ReplguardError where the service may not be installed: not by us, or not what others can change."""
    if os.geteuid() != 0:
        raise ReplguardError("installing a service needs root (sudo); --root DIR puts the files elsewhere")
    if (why := ownership.doubt(program)) is not None:
        raise ReplguardError(
            f"the service would run as root what others can change: {why}. Make the virtual environment elsewhere, as"
            " root (python3 -m venv /opt/replguard)"
        )
