"""`replguard doctor`: which sensors work here, in which mode, why not better, and which hooks they use."""

import os
from pathlib import Path

import msgspec
import rich_click as click
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from replguard import config as configuration
from replguard.errors import Unavailable
from replguard.events.text import printable
from replguard.kernel import bpf
from replguard.kernel.hooks import spell
from replguard.kernel.procfs import text
from replguard.sensors import registry
from replguard.sensors.base import Sensor
from replguard.sensors.probed import Probed

_STYLES = {"kernel": "green", "portable": "yellow", "off": "dim", "failed": "bold red"}

_MOST_MOUNTS = 40
"""Mounts that are shown; each is two lines."""


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

    Below, which mounts are not watched for names, and which hooks of the kernel are used, and what is lost for each
    that is not. Each sensor is started for a
    moment and stopped again. Exit code 1 if one that should work does not.
    """
    found, absent = registry.open_all(configuration.load(config))
    unused: dict[str, dict[str, str]] = {}
    rows = [_tried(sensor, unused) for sensor in found]
    rows += [
        {"sensor": a.name, "area": a.area, "mode": "off", "why": a.reason, "blind": None, "works": True} for a in absent
    ]
    mounts = _mounts(found)
    hooks = _hooks(unused)
    privilege = "root" if os.geteuid() == 0 else "an ordinary user: other users' processes are seen without their files"
    if as_json:
        told = {"running_as": privilege, "sensors": rows, "mounts": mounts, "hooks": hooks}
        click.echo(msgspec.json.encode(told).decode())
    else:
        _show(rows, privilege)
        _show_mounts(mounts)
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


def _show(rows: list[dict[str, object]], privilege: str) -> None:
    """Print a line for each sensor, and below it in whole sentences what a table has no room for."""
    screen = Console(highlight=False)
    screen.print(f"[bold]replguard on this host, as {privilege}[/bold]\n")
    for row in rows:
        mode = str(row["mode"])
        screen.print(f"{row['sensor']:<10}{row['area']:<9}[{_STYLES[mode]}]{mode}[/]")
        _explain(screen, "why", row["why"])
        _explain(screen, "cannot see", row["blind"])


def _mounts(sensors: list[Sensor]) -> list[dict[str, object]]:
    """Return a row for each mount: whether it is watched, and why not."""
    told = [verdict for sensor in sensors if sensor.verdicts is not None for verdict in sensor.verdicts.told]
    return [
        {
            "path": text(one.path),
            "fstype": one.kind,
            "namespace": "own" if one.own else "other",
            "watched": one.reason is None,
            "reason": one.reason,
            "why": one.why,
        }
        for one in sorted(told, key=lambda one: (not one.own, one.path))
    ]


def _show_mounts(rows: list[dict[str, object]]) -> None:
    """Print how many mounts are watched, and a line for each that is not."""
    screen = Console(highlight=False)
    left = [row for row in rows if not row["watched"]]
    screen.print(f"\n[bold]Mounts[/bold]: {len(rows) - len(left)} watched for names, {len(left)} not\n")
    for row in left[:_MOST_MOUNTS]:
        where = printable(str(row["path"])) + (" in another mount namespace" if row["namespace"] == "other" else "")
        screen.print(Text.assemble(f"{where}  ", printable(str(row["fstype"])), "  ", ("not watched", "yellow")))
        _explain(screen, "why", row["why"])
    if len(left) > _MOST_MOUNTS:
        screen.print(f"and {len(left) - _MOST_MOUNTS} more (--json has them all)")


def _show_hooks(rows: list[dict[str, object]]) -> None:
    screen = Console(highlight=False)
    screen.print("\n[bold]Hooks in the kernel[/bold]\n")
    for row in rows:
        used = "[green]used[/]" if row["used"] else "[yellow]not used[/]"
        screen.print(f"{row['program']:<23}{row['point']:<32}{'since ' + str(row['since']):<12}{used}", soft_wrap=True)
        _explain(screen, "why", row["why"])
        _explain(screen, "lost", row["lost"])


def _explain(screen: Console, label: str, said: object) -> None:
    if said:
        about = Table.grid(padding=(0, 1))
        about.add_column(no_wrap=True, style="dim", width=11)
        about.add_column(style="dim")
        about.add_row(f"{label}:", str(said))
        screen.print(Padding(about, (0, 0, 0, 10)))
