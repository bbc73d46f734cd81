"""`replguard maintenance`: a span in which work on replguard itself raises no alert, and is recorded all the same."""

from pathlib import Path

import rich_click as click

from replguard import config as configuration
from replguard.events.text import printable

REFUSED = 1


@click.command("maintenance")
@click.argument("length", required=False, metavar="[DURATION|end]")
@click.option("--reason", default="", help="Why; it stands in the log and in the alert.")
@click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path),
    help="The configuration file, if not /etc/replguard/replguard.yaml.",
)
def command(length: str | None, reason: str, config: Path | None) -> None:
    """Begin a maintenance window of the running daemon, end it, or show it.

    In it, alerts about work on replguard itself (an upgrade, another configuration, a restart) stay away; what agents
    and containers do is told as ever, and so is all that befalls weights. It lasts 24 hours at the most, outlives a
    restart of the daemon, and is written to the log with who began it. Only root may; who is driven by a language
    model may not.

    Exit code 1 if it was refused.
    """
    from replguard.control.client import connected
    from replguard.control.messages import Maintenance

    question = Maintenance(_seconds(length), reason)
    with connected(configuration.load(config)) as daemon:
        answer = daemon.ask(question)
    click.echo(printable(answer.text), err=not answer.ok)
    if not answer.ok:
        raise SystemExit(REFUSED)


def _seconds(length: str | None) -> float | None:
    """Return the length in seconds, 0 for an end and None to show. Raises UsageError."""
    if length is None:
        return None
    if length == "end":
        return 0.0
    try:
        seconds = float(configuration.Seconds.parse(length))
    except ValueError:
        seconds = 0.0
    if seconds <= 0:
        raise click.UsageError(f"'{printable(length)}' is no length of time: give 30m, 2h or 'end'")
    return seconds
