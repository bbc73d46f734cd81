"""`replguard report`: one incident as a page to read, and as a bundle that proves it."""

import contextlib
import functools
import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from replguard import config as configuration
from replguard import wholefile
from replguard.errors import ReplguardError
from replguard.events.text import counted, printable, shorten, show
from replguard.forensics import incident, proof, register, trust
from replguard.forensics.register import Summary
from replguard.log import names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from replguard.config import Config
    from replguard.events.evidence import RuleText
    from replguard.log.reader import Fault
    from replguard.rules.model import RuleSet

LISTED, SHOWN = 40, 5
SENTENCE = 240
"""Characters of a sentence in the list."""
DAMAGED = 1
_AS_ROOT = ": ask as root if that is denied, or name another log by --log"


@click.command("report")
@click.argument("given", metavar="[ALERT|INCIDENT]", required=False)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to write the page; - is standard output.",
)
@click.option(
    "--bundle",
    metavar="FILE.zip",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the page, the records and what proves them.",
)
@click.option(
    "--checkpoint",
    metavar="FILE",
    help="Prove the records by this checkpoint, which was kept elsewhere, and not by the newest.",
)
@click.option(
    "--log",
    "folder",
    metavar="DIR",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="The folder of the log, if not the configured one.",
)
@click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path),
    help="The configuration file, if not /etc/replguard/replguard.yaml.",
)
def command(
    given: str | None,
    output: Path | None,
    bundle: Path | None,
    checkpoint: str | None,
    folder: Path | None,
    config: Path | None,
) -> None:
    """Write one incident as a page that opens from a mail, or as a bundle that proves it to others.

    Name the incident or one of its alerts by its id, or as much of it as is unique; without one the incidents are
    listed. Only the evidence is read: it holds an incident whole when the raw events are long gone. The page is
    `incident-ID.html` here unless -o names another file; with --bundle and without -o it is in the bundle alone.

    With --checkpoint nothing that was written after it goes in: the same incident and checkpoint give the same bytes.

    Exit code 1 if a part of the log was changed, is missing or could not be read; the page says which.
    """
    if bundle is not None and given is None:
        raise click.UsageError("--bundle needs an incident or an alert; without --bundle `replguard report` lists them")
    settings = configuration.load(config)
    where = folder or Path(settings.log.dir)
    faults: list[Fault] = []
    with _reading(where):
        if not names.segments(where, register.STREAM):
            raise ReplguardError(f"{where} holds no segment of the evidence of a log: name its folder by --log")
        known = register.incidents(where, faults)
        if not known and faults:
            raise ReplguardError(f"{printable('; '.join(map(str, faults[:SHOWN])))}{_AS_ROOT}")
        if given is None:
            _list(known)
            _end(map(str, faults))
            return
        kept = _kept(checkpoint)
        found = _gathered(where, *register.meant(known, given), kept)
        proofs = proof.prove(where, [entry.at for entry in found.entries], kept)
    from replguard.alerts import clauses
    from replguard.forensics import page

    if bundle is not None:
        from replguard.forensics.bundle import packed

        data = packed(found, proofs, clauses, _today(settings))
        _write(bundle, data, f", SHA-256 {hashlib.sha256(data).hexdigest()}")
    if output is not None or bundle is None:
        _write(output or Path(f"incident-{found.id}.html"), page.render(found, proofs, clauses).encode())
    _end([*map(str, faults), *proofs.troubles])


def _gathered(folder: Path, id_: str, asked: str | None, kept: trust.Checkpoint | None) -> incident.Incident:
    """Return an incident, up to a checkpoint where one is given. Raises ReplguardError where that is too old for it."""
    whole = incident.gather(folder, id_, asked)
    until = proof.reach(folder, kept) if kept is not None else None
    if kept is None or until is None:
        return whole
    found = incident.gather(folder, id_, asked, until)
    if late := incident.lacking(whole, found, found.told):
        named = ", ".join(show(each, 40) for each in sorted(late)[:SHOWN])
        raise ReplguardError(
            f"the checkpoint of {counted(kept.size, 'block')} is older than {len(late)} of the incident's alerts, or"
            f" of the records that they name ({named}): keep a newer one"
            f" elsewhere (`replguard verify --checkpoint {folder}` prints it) and name that"
        )
    if after := len(whole.entries) - len(found.entries):
        click.echo(f"{counted(after, 'record')} of it that came after the checkpoint: left out", err=True)
    return found


def _end(troubles: "Iterable[str]") -> None:
    """Tell what is wrong with the log, each thing once, and exit by it."""
    told = dict.fromkeys(troubles)
    for trouble in told:
        click.echo(f"replguard: {printable(trouble)}", err=True)
    if told:
        sys.exit(DAMAGED)


def _today(settings: "Config") -> "Callable[[str], Iterable[RuleText]]":
    """Return what gives the texts of a rule as they are now; they are read when it is asked for."""

    @functools.cache
    def loaded() -> "RuleSet":
        from replguard.rules import load as rules

        return rules.load(settings.rules.paths, disable=settings.rules.disable)

    return lambda rule: loaded().cited(rule)


@contextlib.contextmanager
def _reading(folder: Path) -> "Iterator[None]":
    try:
        yield
    except OSError as error:
        what_to_do = _AS_ROOT if isinstance(error, PermissionError) else ": name the log's folder by --log"
        raise ReplguardError(f"{folder} cannot be read: {error.strerror}{what_to_do}") from error


def _kept(given: str | None) -> trust.Checkpoint | None:
    """Return the checkpoint of the evidence in a file. Raises ReplguardError."""
    if given is None:
        return None
    kept = [each for each in trust.read(given) if isinstance(each, trust.Checkpoint)]
    mine = [each for each in kept if each.origin.split("/")[1:2] == [register.STREAM]]
    if not mine:
        raise ReplguardError(f"{given} holds no checkpoint of the evidence: `replguard verify --checkpoint` prints one")
    return max(mine, key=lambda each: each.size)


def _list(known: list[Summary]) -> None:
    if not known:
        click.echo("The evidence of this log holds no alert.")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("began (UTC)", "level", "incident"):
        table.add_column(name, no_wrap=True)
    table.add_column("what happened")
    for each in sorted(known, key=lambda each: each.first, reverse=True)[:LISTED]:
        state = "" if each.is_firing else "resolved: "
        cells = (f"{each.first:%Y-%m-%d %H:%M:%S}", each.level, each.id, shorten(state + each.message, SENTENCE))
        table.add_row(*(Text(printable(cell)) for cell in cells))
    Console(highlight=False).print(table)
    if len(known) > LISTED:
        click.echo(f"and {len(known) - LISTED} older ones")


def _write(path: Path, data: bytes, more: str = "") -> None:
    if str(path) == "-":
        click.echo(data, nl=False)
        return
    try:
        wholefile.write(path, data)
    except OSError as error:
        raise ReplguardError(
            f"{path} cannot be written: {error.strerror}: name another file by -o or --bundle"
        ) from error
    click.echo(f"{printable(str(path))}: {len(data):,} bytes{more}", err=True)
