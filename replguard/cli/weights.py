"""``replguard weights``: what is protected, its fingerprints, and whether a file holds some of it."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import rich_click as click
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from replguard import config as configuration
from replguard.config import Config
from replguard.events import clock
from replguard.events.text import printable
from replguard.weights import store
from replguard.weights.examiner import DEADLINE, settings_of
from replguard.weights.fingerprint import Target
from replguard.weights.inventory import Inventory, Protected
from replguard.weights.library import Library
from replguard.weights.messages import Examination, Indexed, Request
from replguard.weights.patience import Patience
from replguard.weights.reading import plain
from replguard.weights.worker import Pace

FAILED, WRONG = 1, 2
_SILENT = f"does not answer within {DEADLINE:.0f} s: a server or disk that is gone, or slow"
_SLICE = 0.1
_MUCH = 0.05  # from here on a copy is called one, `weights_copy`
_STYLES = {"fingerprinted": "green", "listed": "yellow", "failed": "red", "missing": "red"}

_config = click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path),
    help="The configuration file, if not /etc/replguard/replguard.yaml.",
)
_json = click.option("--json", "as_json", is_flag=True, help="The same as JSON.")


@click.group("weights")
def command() -> None:
    """Protected model weights: list them, make their fingerprints, find them in other files."""


@command.command("list")
@_config
@_json
def list_(config: Path | None, *, as_json: bool) -> None:
    """List the protected files, and whether their fingerprints are made.

    Exit code 1 if a configured path is not there or a file cannot be read.
    """
    settings = configuration.load(config)
    inventory = Inventory(settings.weights)
    inventory.refresh()
    with _library(settings, keep=False) as library:
        for done in library.protect(_targets(inventory)):
            inventory.mark(done)
    _print(inventory, as_json=as_json)
    if any(file.state in {"missing", "failed"} for file in inventory.files()):
        raise SystemExit(FAILED)


@command.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path, exists=True))
@click.option("--export", type=click.Path(path_type=Path, dir_okay=False), help="Write the index to this file too.")
@_config
@_json
def scan(paths: tuple[Path, ...], export: Path | None, config: Path | None, *, as_json: bool) -> None:
    """Make the fingerprints of the protected files, and keep them in the state folder.

    With PATHS those are read instead, as if they were configured, and kept only in what is exported. An exported
    index holds the key that it was made with: keep it as secret as the weights. Other hosts load it with
    `weights.index`. Exit code 1 if a file could not be read or a path is not there.
    """
    settings = configuration.load(config)
    if paths:
        chosen = msgspec.structs.replace(
            settings.weights, paths=tuple(str(path.absolute()) for path in paths), scaffolds=(), discover=False
        )
        settings = msgspec.structs.replace(settings, weights=chosen)
    inventory = Inventory(settings.weights)
    inventory.refresh()
    with _library(settings, keep=not paths) as library:
        _fingerprint(library, inventory)
        if export is not None:
            keys = {target.key for target in _targets(inventory)}
            store.save(library.index, export, only=keys)
    _print(inventory, as_json=as_json)
    if any(file.state != "fingerprinted" for file in inventory.files()):
        raise SystemExit(FAILED)


@command.command()
@click.argument("files", nargs=-1, required=True, type=Path)  # click.Path looks at the file, which may hang
@click.option("--whole", is_flag=True, help="Read all of each file, not samples of 8 MiB: finds the smallest part.")
@_config
@_json
def match(files: tuple[Path, ...], config: Path | None, *, whole: bool, as_json: bool) -> None:
    """Tell of each FILE whether it holds protected content: of which model, and how much of it.

    Exit code 0 if every file does, 1 if one does not, 2 if one cannot be read. Fingerprints that are not made yet are
    made first.
    """
    settings = configuration.load(config)
    inventory = Inventory(settings.weights)
    inventory.refresh()
    with _library(settings) as library:
        _fingerprint(library, inventory)
        if not len(library.index) and not library.imported:
            click.echo("replguard: no weights are protected: set weights.paths, so that there is an origin", err=True)
        library.thorough = whole
        answers = [_examined(library, path) for path in files]
    for answer in answers:
        if answer.error:
            click.echo(f"replguard: {printable(answer.path)}: {printable(answer.error)}", err=True)
    if as_json:
        click.echo(msgspec.json.encode([_row(answer) for answer in answers]).decode())
    else:
        _show_matches(answers)
    if any(answer.error for answer in answers):
        raise SystemExit(WRONG)
    if not all(answer.matches for answer in answers):
        raise SystemExit(FAILED)


@contextmanager
def _library(settings: Config, *, keep: bool = True) -> Iterator[Library]:
    """Open the fingerprints of this install, and say at the end what of them could not be read or kept."""
    library = Library(settings_of(settings), keep=keep)
    try:
        yield library
    finally:
        library.close()
        if library.cache_error:
            click.echo(f"replguard: {printable(library.cache_error)}", err=True)


def _examined(library: Library, path: Path) -> Examination:
    """Examine a file; one on a disk that does not answer is not waited for."""
    patience = Patience(threading.TIMEOUT_MAX if library.thorough else DEADLINE)
    answer = patience.look("examine", lambda: library.examine(Request(plain(os.path.realpath(path)))))
    return answer or Examination(Request(str(path)), clock.now(), plain(str(path)), error=_SILENT)


def _targets(inventory: Inventory) -> list[Target]:
    return [target for file in inventory.files() if (target := file.as_target())]


def _fingerprint(library: Library, inventory: Inventory) -> None:
    """Make what fingerprints are missing, with a progress bar if a person watches."""
    for done in library.protect(_targets(inventory)):
        inventory.mark(done)
    console = Console(stderr=True)
    patience = Patience(DEADLINE)
    pace = Pace(library.settings.rate)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("Reading weights", total=sum(target.size for target in library.todo.values()))
        finished = 0
        while library.todo:
            started = clock.monotonic()
            worked = patience.look("work", lambda: library.work(_SLICE, pace.most))
            if worked is None:
                _give_up(library, inventory)
                return
            read, ended = worked
            for done in ended:
                inventory.mark(done)
                finished += done.size
                progress.update(task, completed=finished)
            if not ended:
                progress.advance(task, read)
            pace.spent(read, clock.monotonic() - started)
            time.sleep(pace.wait())


def _give_up(library: Library, inventory: Inventory) -> None:
    """Leave the rest unread: a disk holds the thread that reads, and lets nobody end it."""
    target = library.abandon()
    if target is not None:
        inventory.mark(Indexed(target.path, target.device, target.inode, target.size, "failed", _SILENT))


def _print(inventory: Inventory, *, as_json: bool) -> None:
    files = sorted(inventory.files(), key=lambda file: (file.model, file.path))
    if as_json:
        click.echo(msgspec.json.encode(files).decode())
        return
    if not files:
        click.echo("replguard: nothing is protected: weights.paths is empty and no cache holds a model", err=True)
        return
    headings = ["model", "file", "format", "size", "state"]
    # The reason is almost always empty; the paths, which are long, need its room.
    headings += ["why"] if any(file.reason for file in files) else []
    table = Table(title="Protected weights", title_justify="left", box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold", justify="right" if heading == "size" else "left")
    for file in files:
        table.add_row(*_cells(file)[: len(headings)])
    Console(highlight=False).print(table)
    if any(file.state == "listed" for file in files):
        told = "listed: its fingerprint is not made yet; the daemon makes it, and so does `replguard weights scan`."
        click.echo(told, err=True)


def _cells(file: Protected) -> tuple[Text, ...]:
    kind = "scaffold" if file.scaffold else file.format or "–"
    size = "–" if file.size is None else decimal(file.size)
    state = Text(file.state, _STYLES[file.state])
    return (
        Text(printable(file.model)),
        Text(printable(file.path)),
        Text(kind),
        Text(size),
        state,
        Text(file.reason or ""),
    )


def _row(answer: Examination) -> dict[str, object]:
    return {
        "path": answer.path,
        "size": answer.size,
        "format": answer.format,
        "matches": answer.matches,
        "changed": answer.changed,
        "error": answer.error,
    }


def _show_matches(answers: list[Examination]) -> None:
    table = Table(title="Protected content", title_justify="left", box=None, pad_edge=False)
    for heading in ("file", "format", "model", "share", "origin", "anchors"):
        table.add_column(heading, overflow="fold", justify="right" if heading == "share" else "left")
    for answer in answers:
        if answer.error:
            continue
        name, form = Text(printable(answer.path)), Text(answer.format or "–")
        if not answer.matches:
            table.add_row(name, form, Text("none", "green"))
        for match_ in answer.matches:
            share = Text(f"{match_.share:.1%}", "bold red" if match_.share >= _MUCH else "yellow")
            origin = Text(printable(match_.path) + ("" if match_.current else " (gone or replaced)"))
            table.add_row(
                name, form, Text(printable(match_.model)), share, origin, f"{match_.hits} of {match_.samples}"
            )
            name = form = Text("")
    if table.row_count:
        Console(highlight=False).print(table)
