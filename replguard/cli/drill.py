"""``replguard drill``: play harmless replications and tell what the daemon made of them, and how fast."""

import difflib
import sys
from pathlib import Path

import msgspec
import rich_click as click
from rich import box
from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from replguard import config as configuration
from replguard.config import Config, Sensors
from replguard.drill import run, stage
from replguard.drill.scenario import SCENARIOS, Scenario
from replguard.drill.verdict import Result
from replguard.events.text import printable

_STYLES = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "cyan"}


@click.command("drill")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--all", "everything", is_flag=True, help="Play every scenario.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as one JSON array.")
@click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path),
    help="Let the drill's daemon watch with this file's `sensors`; with --live the file that the daemon runs with.",
)
@click.option("--live", is_flag=True, help="Have the running daemon watch, and tell every sink: a test of the pager.")
@click.option("--keep", is_flag=True, help="Keep the folders with the daemon's log, and say where they are.")
def command(
    names: tuple[str, ...], config: Path | None, *, everything: bool, as_json: bool, live: bool, keep: bool
) -> None:
    """Play live replications on dummy weights, each beside a daemon of its own, and show what fired.

    Nothing of the host is touched: each scenario plays in a temporary folder and on loopback, and removes both its
    files and its processes at the end. Exit code 1 means that a scenario was missed.

    With --live the running daemon watches. Root announces the drill to it; its alerts are marked, and go to every sink
    whatever its `min_level`.
    """
    chosen = choose(names, everything=everything)
    sensors = None if config is None else configuration.load(config).sensors
    running = configuration.load(config) if live else None
    with stage.ended_gently():
        results = [_play(scenario, sensors, quiet=as_json, keep=keep, live=running) for scenario in chosen]
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(results), indent=2))
    else:
        show(results, Console(), keep=keep or live)
        if running is not None:
            click.echo(f"Told to: {printable(', '.join(running.sinks) or 'nobody, `sinks` is empty')}. See it arrive.")
    if not all(result.detected for result in results):
        sys.exit(1)


def choose(names: tuple[str, ...], *, everything: bool) -> list[Scenario]:
    """Return the scenarios asked for. Raises UsageError for a name that is none, with the nearest that is."""
    if everything and not names:
        return list(SCENARIOS.values())
    if everything or not names:
        raise click.UsageError("name scenarios, or give --all; there are: " + ", ".join(SCENARIOS))
    for name in names:
        if name not in SCENARIOS:
            near = difflib.get_close_matches(name, SCENARIOS, n=1)
            hint = f"did you mean '{near[0]}'?" if near else "there are: " + ", ".join(SCENARIOS)
            raise click.UsageError(f"no scenario '{printable(name)}', {hint}")
    return [SCENARIOS[name] for name in dict.fromkeys(names)]


def _play(
    scenario: Scenario, sensors: Sensors | None, *, quiet: bool, keep: bool, live: Config | None = None
) -> Result:
    console = Console(stderr=True, quiet=quiet)
    if not console.is_terminal:
        return run.play(scenario, lambda _: None, sensors, keep=keep, live=live)
    with console.status("") as status:
        result = run.play(scenario, _teller(console, status, scenario), sensors, keep=keep, live=live)
    console.print(Text.assemble(("✓ " if result.detected else "✗ "), scenario.name, f": {scenario.title}"))
    return result


def _teller(console: Console, status: Status, scenario: Scenario) -> run.Say:
    def say(line: str) -> None:
        status.update(Text(f"{scenario.name}: {printable(line)}"))
        if ":" in line:  # an alert; the steps of the story only pass by
            console.print(Text(f"  {printable(line)}", style="dim"))

    return say


def show(results: list[Result], console: Console, *, keep: bool) -> None:
    """Print the table of results, and below it what was seen instead of each missed alert."""
    caption = "Seconds run from the act that an alert answers to its line on disk."
    table = Table(box=box.SIMPLE_HEAD, caption=caption, caption_justify="left")
    for name in ("Scenario", "Alert", "Level", "Actor", "Seconds"):
        table.add_column(
            name, no_wrap=name != "Alert", overflow="fold", justify="right" if name == "Seconds" else "left"
        )
    for result in results:
        table.add_row(*_row(result))
    console.print(table)
    for result in results:
        if not result.detected:
            console.print(Text(f"{result.scenario} was missed: {printable(result.reason or 'no reason known')}", "red"))
        if result.kept:
            console.print(
                Text(f"{result.scenario}: the daemon's log and alerts lie in {result.kept}/daemon"), soft_wrap=True
            )
    if not keep and not all(result.detected for result in results):
        console.print("Run it again with --keep to keep the daemon's log.")


def _row(result: Result) -> tuple[Text, ...]:
    if not result.detected:
        return Text(result.scenario), Text("missed", "bold red"), *[Text("–")] * 3
    level = result.level or ""
    return (
        Text(result.scenario),
        Text(printable(result.alert or "")),
        Text(level, _STYLES.get(level, "")),
        Text(f"pid {result.actor_pid}"),
        Text("" if result.seconds is None else f"{result.seconds:.2f}"),
    )
