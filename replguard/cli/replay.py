"""`replguard replay`: recorded events through the same engine as live, to the same alerts."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import rich_click as click

from replguard import config as configuration
from replguard.alerts.manager import Manager
from replguard.config import Config
from replguard.detector import Detector
from replguard.errors import ConfigError
from replguard.events.alert import Alert
from replguard.events.event import Event
from replguard.events.host import Host
from replguard.events.text import printable
from replguard.log import reader
from replguard.log.reader import Fault
from replguard.provenance import manifest as manifests
from replguard.provenance.again import judged
from replguard.rules import load as rules
from replguard.rules.model import RuleSet
from replguard.rules.past import Past
from replguard.sinks.console import Console

DAMAGED = 1


@click.command("replay")
@click.argument("paths", metavar="FILE…|DIR", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path),
    help="The configuration file, if not /etc/replguard/replguard.yaml.",
)
@click.option(
    "--manifest",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Judge anew what is allowed, by this manifest and nothing else.",
)
@click.option("--rule", "extra", multiple=True, type=click.Path(path_type=Path), help="One more rule file or folder.")
@click.option("--json", "as_json", is_flag=True, help="JSON Lines on a terminal too.")
def command(
    paths: tuple[Path, ...], config: Path | None, manifest: Path | None, extra: tuple[Path, ...], *, as_json: bool
) -> None:
    """Feed recorded events to the rules, and print the alerts that they raise as JSON Lines.

    A folder is a log; files are read one after the other, compressed or not. The same log, configuration and rules
    give the alerts that were raised live, with the same ids. Only `replguard.latency_ms` is missing.

    Exit code 1 if a part of the log could not be read; it is told on standard error, and the rest is used.
    """
    settings = configuration.load(config)
    found = _rules(settings, extra)
    header = reader.header(paths)
    out = Console(sys.stdout, as_json=as_json or not sys.stdout.isatty())
    damaged = False
    events = reader.events(paths) if manifest is None else _anew(reader.events(paths), manifest)
    for item in replay(events, found, settings, header.host if header else None):
        if isinstance(item, Fault):
            damaged = True
            click.echo(f"replguard: {printable(str(item))}", err=True)
        else:
            out.send(item)
    if damaged:
        raise SystemExit(DAMAGED)


def replay(
    events: Iterable[Event | Fault], ruleset: RuleSet, config: Config, host: Host | None
) -> Iterator[Alert | Fault]:
    """Yield the alerts of recorded events, and what could not be read.

    With each start of the daemon alerts begin anew; correlations go on, from what the log then held.
    """
    detector = Detector(ruleset, Manager(config, host))
    past = Past(detector.engine.span)
    for item in events:
        if isinstance(item, Fault):
            yield item
            continue
        if _is_start(item):
            detector = Detector(ruleset, Manager(config, host))
            detector.resume(past.before(item.timestamp))
        yield from detector.feed(item)
        past.keep(item, detector.engine)


def _anew(events: Iterable[Event | Fault], path: Path) -> Iterator[Event | Fault]:
    """Yield recorded events, what is allowed judged by another manifest."""
    found, problems = manifests.load_files([path])
    if problems:
        raise ConfigError(problems)
    for item in events:
        yield item if isinstance(item, Fault) else judged(item, found)


def _is_start(event: Event) -> bool:
    health = event.health
    return health is not None and (health.component, health.state) == ("daemon", "started")


def _rules(settings: Config, extra: tuple[Path, ...]) -> RuleSet:
    paths = [*map(Path, settings.rules.paths), *extra]
    found = rules.load(paths, disable=settings.rules.disable, levels=settings.rules.levels)
    if found.problems:
        raise ConfigError(found.problems)
    return found
