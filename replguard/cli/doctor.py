"""`replguard doctor`: which sensors work here, in which mode, why not better, and which hooks they use."""

import os
from pathlib import Path

import msgspec
import rich_click as click
from rich.console import Console
from rich.table import Table

from replguard import config as configuration
from replguard.errors import Unavailable
from replguard.kernel import bpf
from replguard.kernel.hooks import spell
from replguard.sensors import registry
from replguard.sensors.base import Sensor
from replguard.sensors.probed import Probed


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

    Below, which hooks of the kernel are used, and what is lost for each that is not. Each sensor is started for a
    moment and stopped again. Exit code 1 if one that should work does not.
    """
    found, absent = registry.open_all(configuration.load(config))
    unused: dict[str, dict[str, str]] = {}
    rows = [_tried(sensor, unused) for sensor in found]
    rows += [
        {"sensor": a.name, "area": a.area, "mode": "off", "why": a.reason, "blind": None, "works": True} for a in absent
    ]
    hooks = _hooks(unused)
    privilege = "root" if os.geteuid() == 0 else "an ordinary user: other users' processes are seen without their files"
    if as_json:
        click.echo(msgspec.json.encode({"running_as": privilege, "sensors": rows, "hooks": hooks}).decode())
    else:
        _show(rows, privilege)
        _show_hooks(hooks)
    if not all(row["works"] for row in rows):
        raise SystemExit(1)


def _tried(sensor: Sensor, unused: dict[str, dict[str, str]]) -> dict[str, object]:
    row: dict[str, object] = {"sensor": sensor.name, "area": sensor.area, "mode": sensor.mode, "works": True}
    try:
        sensor.start()
    except (Unavailable, OSError) as error:
        row |= {"mode": "failed", "works": False, "why": str(error), "blind": None}
    else:
        row |= {"why": sensor.why, "blind": sensor.blind}
        if isinstance(sensor, Probed):
            unused[sensor.records.OBJECT] = sensor.unused()
    finally:
        sensor.stop()
    return row


def _hooks(unused: dict[str, dict[str, str]]) -> list[dict[str, object]]:
    """Return a row for each hook of each probe; ``unused`` are those of the probes that run, by their object."""
    rows: list[dict[str, object]] = []
    for decoder in bpf.decoders().values():
        missing = unused.get(decoder.OBJECT)
        for hook in decoder.HOOKS:
            why = "its sensor does not run" if missing is None else missing.get(hook.program)
            rows.append(
                {
                    "program": hook.program,
                    "point": hook.point,
                    "since": spell(hook.since),
                    "used": why is None,
                    "why": None if why is None else why or "not needed on this kernel",
                    "instead": hook.instead,
                    "lost": None if why in (None, "") else hook.lost,
                }
            )
    return rows


def _show_hooks(rows: list[dict[str, object]]) -> None:
    table = Table(title="\nHooks in the kernel", title_justify="left", box=None, pad_edge=False)
    for heading in ("program", "stands at", "since", "used", "why not", "what is lost"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        cells = (str(row[key] or "") for key in ("why", "lost"))
        table.add_row(str(row["program"]), str(row["point"]), str(row["since"]), "yes" if row["used"] else "no", *cells)
    Console(highlight=False).print(table)


def _show(rows: list[dict[str, object]], privilege: str) -> None:
    table = Table(title=f"replguard on this host, as {privilege}", title_justify="left", box=None, pad_edge=False)
    for heading in ("sensor", "area", "mode", "why not better", "what it cannot see"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        style = None if row["works"] else "red"
        table.add_row(*(str(row[key] or "") for key in ("sensor", "area", "mode", "why", "blind")), style=style)
    Console(highlight=False).print(table)
