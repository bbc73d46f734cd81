"""`replguard doctor`: which sensors work here, in which mode, and why not better."""

import os
from pathlib import Path

import msgspec
import rich_click as click
from rich.console import Console
from rich.table import Table

from replguard import config as configuration
from replguard.errors import Unavailable
from replguard.sensors import registry
from replguard.sensors.base import Sensor


@click.command("doctor")
@click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path),
    help="The configuration file, if not /etc/replguard/replguard.yaml.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
def command(config: Path | None, *, as_json: bool) -> None:
    """Tell which sensors work here, in which mode, why not better, and what they cannot see.

    Each sensor is started for a moment and stopped again. Exit code 1 if one that should work does not.
    """
    found, absent = registry.open_all(configuration.load(config))
    rows = [_tried(sensor) for sensor in found]
    rows += [
        {"sensor": a.name, "area": a.area, "mode": "off", "why": a.reason, "blind": None, "works": True} for a in absent
    ]
    privilege = "root" if os.geteuid() == 0 else "an ordinary user: other users' processes are seen without their files"
    if as_json:
        click.echo(msgspec.json.encode({"running_as": privilege, "sensors": rows}).decode())
    else:
        _show(rows, privilege)
    if not all(row["works"] for row in rows):
        raise SystemExit(1)


def _tried(sensor: Sensor) -> dict[str, object]:
    row: dict[str, object] = {"sensor": sensor.name, "area": sensor.area, "mode": sensor.mode, "works": True}
    try:
        sensor.start()
    except (Unavailable, OSError) as error:
        row |= {"mode": "failed", "works": False, "why": str(error), "blind": None}
    else:
        row |= {"why": sensor.why, "blind": sensor.blind}
    finally:
        sensor.stop()
    return row


def _show(rows: list[dict[str, object]], privilege: str) -> None:
    table = Table(title=f"replguard on this host, as {privilege}", title_justify="left", box=None, pad_edge=False)
    for heading in ("sensor", "area", "mode", "why not better", "what it cannot see"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        style = None if row["works"] else "red"
        table.add_row(*(str(row[key] or "") for key in ("sensor", "area", "mode", "why", "blind")), style=style)
    Console(highlight=False).print(table)
