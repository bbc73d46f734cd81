"""`replguard query`: asks the log."""

import sys
from collections.abc import Callable
from contextlib import closing
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any

import rich_click as click
from rich.console import Console
from rich.progress import Progress

from replguard import config as configuration
from replguard.config import Bytes
from replguard.errors import ReplguardError
from replguard.events import clock
from replguard.events.text import printable
from replguard.forensics import rows
from replguard.forensics.query import Answer, Base
from replguard.forensics.store import Part, Store, default, missing
from replguard.forensics.wanted import Wanted, moment

DAMAGED = 1
WIDE = 100_000
"""Columns of a table that nobody's terminal breaks: of a file or a pipe."""


def _read(by: Callable[[str], Any]) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    """Return what reads an option by a function, which raises ValueError with a sentence."""

    def callback(ctx: click.Context, param: click.Parameter, value: str | None) -> Any:
        try:
            return None if value is None else by(value)
        except ValueError as error:
            raise click.BadParameter(printable(str(error)), ctx, param) from error

    return callback


_time = _read(lambda text: moment(text, clock.now()))


@click.command("query")
@click.argument("sql", required=False)
@click.option(
    "--actor", metavar="WHO", help="What an actor did, by its id, principal or name, or a process by its pid."
)
@click.option(
    "--artefact", metavar="WHAT", help="What was done with a path, a folder, DEVICE:INODE, or an artefact's id."
)
@click.option(
    "--since", metavar="TIME", callback=_time, help="From a time on: 2026-11-27T07:55 (UTC), or 2h before now."
)
@click.option("--until", metavar="TIME", callback=_time, help="Before a time.")
@click.option("--rule", metavar="RULE", help="Alerts of a rule, by its name or id; `*` stands for anything.")
@click.option("--incident", metavar="ID", help="An incident: its alerts, what they name, and what was kept with them.")
@click.option("--text", metavar="TEXT", help="What has a text in a command line, a path, a name or a sentence.")
@click.option("--limit", type=click.IntRange(0), default=1000, show_default=True, help="Rows at most; 0 for all.")
@click.option("--json", "as_json", is_flag=True, help="JSON Lines, one object a row.")
@click.option("--csv", "as_csv", is_flag=True, help="CSV, for a spreadsheet.")
@click.option(
    "--log", "folder", type=click.Path(path_type=Path), help="The folder of the log, if not the configured one."
)
@click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path),
    help="The configuration file, if not /etc/replguard/replguard.yaml.",
)
@click.option("--cache", type=click.Path(path_type=Path), help="Where the cache lies, if not in ~/.cache/replguard.")
@click.option(
    "--memory",
    metavar="SIZE",
    callback=_read(Bytes.parse),
    default="1GiB",
    show_default=True,
    help="The most memory that a question may take.",
)
def command(
    sql: str | None,
    folder: Path | None,
    config: Path | None,
    cache: Path | None,
    memory: int,
    limit: int,
    *,
    as_json: bool,
    as_csv: bool,
    **flags: Any,
) -> None:
    """Ask the log, by flags or by a SELECT over its views.

    Flags are joined by *and*; what they find is shown in the order of time. The views are `records`, `processes`,
    `files`, `network`, `weights`, `alerts`, `instances` and `damaged`; `DESCRIBE alerts` tells their columns.

    The first question reads all segments and keeps their columns in a cache, which is about half again as large as the
    compressed log; later ones read what is new. The log itself is never changed, and no proof rests on the cache: what
    can be relied on `replguard verify` says. A question can read nothing but the log.

    Exit code 1 if a part of the log could not be read; it is told on standard error, and the rest is used.
    """
    wanted = Wanted(**flags)
    if (sql is None) == (wanted == Wanted()):
        raise click.UsageError("Ask by a SELECT, or by flags as --actor or --since: one of the two.")
    if wanted.since is not None and wanted.until is not None and wanted.since >= wanted.until:
        raise click.UsageError("--until is not after --since: nothing lies between.")
    if as_json and as_csv:
        raise click.UsageError("Choose --json or --csv.")
    if find_spec("duckdb") is None:
        raise ReplguardError(
            f"query needs DuckDB, which is not installed where replguard is: `{sys.executable} -m pip install"
            " 'duckdb>=2.0'`"
        )
    folder = folder or Path(configuration.load(config).log.dir)
    with closing(Store(folder, cache or default())) as store, closing(Base(parts := _made(store), memory)) as base:
        answer = base.sql(sql, limit or None) if sql is not None else base.wanted(wanted, limit or None)
        first = next(answer.rows, None)
        answer.rows = chain(() if first is None else (first,), answer.rows)
        _show(answer, as_json=as_json, as_csv=as_csv, of_records=sql is None)
        if first is None and sql is None:
            _say(f"nothing found: the log {base.reach()}")
        if answer.more:
            _say(f"{answer.more:,} more rows are not shown: ask for less, or for all by --limit 0")
        damaged = [*missing(parts), *map(_damage, base.damaged())]
    for each in damaged:
        _say(each)
    if damaged:
        sys.exit(DAMAGED)


def _made(store: Store) -> list[Part]:
    """Return the segments in columns, those made that are not there yet."""
    parts = store.parts()
    new = [part for part in parts if not part.made]
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("reading what is new", total=sum(part.size for part in new))
        for part in store.make(new):
            progress.advance(task, part.size)
    store.prune(parts)
    return [part for part in parts if part.made]


def _show(answer: Answer, *, as_json: bool, as_csv: bool, of_records: bool) -> None:
    if as_json or as_csv:
        for line in rows.json_lines(answer) if as_json else rows.csv_lines(answer):
            click.echo(line)
        return
    out = Console(highlight=False, markup=False, emoji=False)
    if not out.is_terminal:
        out.width = WIDE
    out.print(rows.records(answer) if of_records else rows.table(answer))


def _damage(found: tuple[Any, ...]) -> str:
    stream, segment, line, fault, count = found
    more = f", and {count - 1:,} more" if count > 1 else ""
    return f"{stream} segment {segment}, line {line}: {fault}{more}"


def _say(text: str) -> None:
    click.echo(f"replguard: {printable(text)}", err=True)
