"""`replguard verify`: whether a log is what was written, and what proves it."""

import os
import sys
import textwrap
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click
from rich.console import Console
from rich.progress import Progress

from replguard.errors import ReplguardError
from replguard.events.text import counted, printable, shorten
from replguard.forensics import check, trust, verify
from replguard.forensics.trust import Checkpoint, Told
from replguard.forensics.verify import Found
from replguard.log import keys, names

if TYPE_CHECKING:
    from replguard.forensics.incident import Incident

DAMAGED = 1
SENTENCE, WIDTH = 4_000, 100
"""Characters of the sentence of a bundle, and of a line of it."""


@click.command("verify")
@click.argument("folder", metavar="DIR|BUNDLE.zip", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--trust",
    "trusted",
    multiple=True,
    metavar="KEY|FILE",
    help="A key or a checkpoint of this log that was kept elsewhere; several may be given.",
)
@click.option("--checkpoint", is_flag=True, help="Print the checkpoints to keep elsewhere, and nothing else.")
def command(folder: Path, trusted: tuple[str, ...], *, checkpoint: bool) -> None:
    """Tell whether the log in a folder, or the bundle of a report, is what was written, and what proves it.

    Every line is chained to the one before, every second or 1,024 lines are sealed by a signature, and each segment
    has a key of its own that the one before vouches for. What was changed, inserted, removed from the middle or put in
    another order is named by segment and line. Who is root can write a whole log anew or cut its end off: only what
    was kept on another machine excludes it, the first key or, for both, a checkpoint.

    A bundle needs neither the log nor the host: what is in it leads from each record to a signed checkpoint.

    Exit code 1 if anything is not as it was written, or nothing that was given proves a stream.
    """
    trusts = [each for given in trusted for each in trust.read(given)]
    if not folder.is_dir():
        _bundle(folder, trusts, only_checkpoint=checkpoint)
        return
    try:
        present = verify.streams(folder)
        if not present:
            raise ReplguardError(f"{folder} holds no segment of a log")
        _readable(folder, present)
        told = trust.told(folder)
        found = [_gone_through(folder, stream, trusts, told) for stream in present]
    except OSError as error:
        raise ReplguardError(f"{folder} cannot be read: {error.strerror}") from error
    if checkpoint:
        click.echo("\n".join(trust.text(each.checkpoint) for each in found if each.checkpoint), nl=False)
    else:
        for each in found:
            _tell(each)
    findings: list[object] = [finding for each in found for finding in each.findings]
    findings += [*verify.lacking(folder, present, told), *verify.unknown(found, trusts)]
    for finding in findings:
        click.echo(printable(str(finding)), err=True)
    if findings or any(each.unproven for each in found):
        sys.exit(DAMAGED)


def _readable(folder: Path, present: list[str]) -> None:
    """Raise ReplguardError for a segment that we may not read: that says nothing about what is in it."""
    for stream in present:
        for segment in names.segments(folder, stream):
            if segment.path.exists() and not os.access(segment.path, os.R_OK):
                raise ReplguardError(f"{segment.path} cannot be read by this user: ask as root, or as one of its group")


def _bundle(path: Path, trusts: list[str | Checkpoint], *, only_checkpoint: bool) -> None:
    """Check a bundle and say what was found. Exits with 1 if anything was changed."""
    from replguard.alerts import clauses

    found = check.check(path, trusts, clauses)
    head = found.head
    if only_checkpoint and head is not None and not found.findings:
        click.echo(head.text.decode(), nl=False)
    elif found.manifest is not None:
        state = "whole" if not found.findings else f"NOT WHOLE: {counted(len(found.findings), 'finding')}"
        click.echo(f"incident {printable(found.manifest.incident)}: {state}")
        if found.proven is not None and not found.findings:
            _say(found.proven.lead.message)
            _tell_times(found, found.proven)
        else:
            _say(f"NOT PROVEN, as the file says it: {found.manifest.sentence}")
        _tell_proofs(found)
    for finding in found.findings:
        click.echo(printable(f"{path}: {finding}"), err=True)
    if found.findings:
        sys.exit(DAMAGED)


def _say(sentence: str) -> None:
    """Print a sentence whole: cut in its middle it says something else."""
    text = shorten(printable(sentence), SENTENCE)
    # A path is not broken: it is to be copied.
    lines = textwrap.wrap(text, WIDTH - 2, break_long_words=False, break_on_hyphens=False)
    click.echo(textwrap.indent("\n".join(lines), "  "))


def _tell_times(found: check.Checked, proven: "Incident") -> None:
    host = proven.host.name or proven.host.id if proven.host is not None else None
    where = f" on {printable(host)}" if host else ""
    if found.span is not None:
        click.echo(f"  from {_clock(found.span[0])} to {_clock(found.span[1])}{where}")
    for kept in proven.checkpoints[-1:]:
        click.echo(
            f"  a checkpoint of {counted(kept.what.checkpoint.size, 'block')} was made at {_clock(kept.what.timestamp)}"
        )
    if found.newest is not None:
        click.echo(f"  the newest record that it proves is of {_clock(found.newest)}")


def _clock(when: datetime) -> str:
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _tell_proofs(found: check.Checked) -> None:
    head = found.head
    if head is not None and not found.findings:
        records, blocks = counted(found.records, "record"), counted(found.blocks, "block")
        stand = "stands" if found.records == 1 else "stand"
        click.echo(f"  {records} {stand} in {blocks} of {printable(head.origin)}")
        by = f"{head.key} ({keys.short(head.key)})"
        click.echo(f"  by its checkpoint of {counted(head.size, 'block')}, signed by {by}")
    if found.first_key is not None:
        click.echo(f"  first key {printable(found.first_key)} ({keys.short(found.first_key)})")
    if found.unproven:
        click.echo(f"  {counted(found.unproven, 'record')} more, which nothing proves")
    for note in found.notes:
        click.echo(f"  {printable(note)}")
    for lacking in found.manifest.missing if found.manifest is not None else ():
        click.echo(f"  missing: {printable(lacking)}")
    for proof in found.trusted:
        click.echo(f"  {proof}")
    if not found.trusted and not found.findings:
        click.echo("  nothing was given that was kept elsewhere: that it was made up is not excluded (--trust)")


def _gone_through(folder: Path, stream: str, trusts: list[str | Checkpoint], told: list[Told]) -> Found:
    console = Console(stderr=True)
    total = sum(verify.size(segment.path) for segment in names.segments(folder, stream))
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(stream, total=total)
        for step in verify.stream(folder, stream, trusts, told):
            if isinstance(step, Found):
                return step
            progress.advance(task, verify.size(step.path))
    raise AssertionError("a stream ends with what was found")


def _tell(found: Found) -> None:
    """Print what was found of a stream."""
    chained = [one for one in found.parts if one.header is not None and one.header.key is not None]
    since = next((one.since for one in found.parts if one.since), "")
    until = next((one.until for one in reversed(found.parts) if one.until), "")
    blocks, last = sum(one.blocks for one in found.parts), found.parts[-1]
    state = "whole" if not found.unproven else "whole, and proven by nothing that was given: it may be written anew"
    if found.findings:
        state = f"NOT WHOLE: {counted(len(found.findings), 'finding')}"
    click.echo(f"{found.stream}: {state}")
    times = f", {printable(since)} to {printable(until)}" if since else ""
    amounts = f"{counted(len(found.parts), 'segment')} and {counted(blocks, 'block')}"
    click.echo(f"  {counted(found.records, 'record')} in {amounts}{times}")
    if len(chained) < len(found.parts):
        click.echo(f"  older than the chain: {counted(len(found.parts) - len(chained), 'segment')}, proven by nothing")
    if chained and (header := chained[0].header) is not None and header.by is not None:
        if header.segment > 1:
            click.echo(f"  it begins at segment {header.segment}, block {header.size}: what is older was removed")
        click.echo(f"  first key {printable(header.by)} ({keys.short(header.by)})")
    if last.open:
        click.echo(f"  the last {last.open} records are not sealed yet")
    for torn in (one for one in found.parts if one.torn):
        click.echo(f"  the last line of {torn.path.name} is torn: it was being written when the writer ended")
    for proof in (*found.trusted, *found.idle):
        click.echo(f"  {proof}")
    if not found.trusted and not found.findings and not found.unproven:
        click.echo(
            "  nothing was given that was kept elsewhere: that root wrote all of it anew is not excluded (--trust)"
        )
