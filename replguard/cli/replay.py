"""`replguard replay`: recorded events through the same engine as live, to the same alerts."""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import rich_click as click
from msgspec import structs

from replguard import config as configuration
from replguard.alerts.manager import Manager
from replguard.alerts.memory import alerts_go_on
from replguard.config import Config
from replguard.detector import Detector
from replguard.errors import ConfigError, ReplguardError
from replguard.events.alert import Alert
from replguard.events.event import Event
from replguard.events.host import Host
from replguard.events.text import printable
from replguard.log import reader
from replguard.log.reader import Fault
from replguard.provenance import manifest as manifests
from replguard.provenance.again import judged
from replguard.rules import load as rules
from replguard.rules.fixtures import some
from replguard.rules.index import Index
from replguard.rules.model import AnyRule, RuleSet
from replguard.rules.past import LIMIT, Past
from replguard.rules.tally import Tally
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
@click.option(
    "--rule",
    "extra",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Try a rule file or folder: print its alerts alone, and say on standard error what it matched.",
)
@click.option("--all", "every", is_flag=True, help="With --rule, the alerts of all other rules too.")
@click.option("--json", "as_json", is_flag=True, help="JSON Lines on a terminal too.")
def command(
    paths: tuple[Path, ...],
    config: Path | None,
    manifest: Path | None,
    extra: tuple[Path, ...],
    *,
    every: bool,
    as_json: bool,
) -> None:
    """Feed recorded events to the rules, and print the alerts that they raise as JSON Lines.

    A folder is a log; files are read one after the other, compressed or not. The same log, configuration and rules
    give the alerts that were raised live, with the same ids. Only `replguard.latency_ms` is missing.

    With --rule the rules named are tried alone, whatever their level: only they raise alerts, and each is told with
    how often it matched, and a correlation with which of its rules did. One that has the name or id of another rule
    takes its place: a changed copy of it is tried.

    Exit code 1 if a part of the log could not be read; it is told on standard error, and the rest is used.
    """
    settings = configuration.load(config)
    found = _rules(settings, extra)
    tried = _tried(found, extra)
    if extra and not every:
        found, settings = _alone(found, tried), _aloud(settings)
    header = reader.header(paths)
    out = Console(sys.stdout, as_json=as_json or not sys.stdout.isatty())
    damaged = False
    tally, raised = Tally() if tried else None, Counter[str]()
    events = reader.events(paths) if manifest is None else _anew(reader.events(paths), manifest)
    for item in replay(events, found, settings, header.host if header else None, tally):
        if isinstance(item, Fault):
            damaged = True
            _say(str(item))
        elif isinstance(item, str):
            _say(item)
        else:
            out.send(item)
            raised[item.rule.name] += item.replguard.state == "firing"
    for rule in tried:
        for line in tally.told(rule, found, raised[rule.name]) if tally else ():
            _say(line)
    if damaged:
        raise SystemExit(DAMAGED)


def replay(
    events: Iterable[Event | Fault], ruleset: RuleSet, config: Config, host: Host | None, tally: Tally | None = None
) -> Iterator[Alert | Fault | str]:
    """Yield the alerts of recorded events, what could not be read, and a sentence for what was passed over.

    With each start of the daemon correlations go on, from what the log then held. So do alerts, where the daemon said
    just before that they do; else they begin anew.
    """
    index = Index(ruleset.rules)
    detector = Detector(ruleset, Manager(config, host), index)
    past, go_on = Past(detector.engine.span), False
    for item in events:
        if isinstance(item, Fault):
            yield item
            continue
        if tally is not None:
            tally.see(item)
        if _is_start(item):
            if tally is not None:
                tally.take(detector.engine)
            detector = Detector(ruleset, detector.alerts if go_on else Manager(config, host), index)
            if past.lacks(item.timestamp):
                yield (
                    f"at the start of {item.timestamp:%Y-%m-%d %H:%M:%S} UTC correlations go on from the last "
                    f"{LIMIT:,} events that mattered; older ones of their window are left out"
                )
            detector.resume(past.before(item.timestamp))
        go_on = alerts_go_on(item)
        yield from detector.feed(item)
        past.keep(item, detector.engine)
    if tally is not None:
        tally.take(detector.engine)


def _say(text: str) -> None:
    click.echo(f"replguard: {printable(text)}", err=True)


def _tried(found: RuleSet, extra: tuple[Path, ...]) -> list[AnyRule]:
    """Return the rules under the paths that are tried. Raises ReplguardError where none of them can fire."""
    tops = [path.resolve() for path in extra]
    under = [one for one in found.known() if any(Path(one.path).resolve().is_relative_to(top) for top in tops)]
    reasons = {entry.rule.name: entry.reason for entry in found.not_evaluable}
    reasons |= {one.name: "rules.disable names it" for one in found.disabled}
    for one in under:
        if one.name in reasons:
            _say(f"{one.path}:{one.line}: '{one.name}' cannot fire: {reasons[one.name]}")
    tried = [one for one in under if one.name not in reasons]
    if extra and not tried:
        raise ReplguardError(f"no rule that can fire lies under {', '.join(map(str, extra))}")
    return tried


def _alone(found: RuleSet, tried: list[AnyRule]) -> RuleSet:
    """Return the rules that are tried and those that they name; only the former raise alerts."""
    return some({one.name: one.alerts for one in tried}, found)


def _aloud(settings: Config) -> Config:
    """Return the configuration with nothing held back: a rule that is tried is heard at its own level."""
    alerts = structs.replace(settings.alerts, min_level="informational")
    return structs.replace(settings, alerts=alerts, mode="enforce")


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
    own = settings.rules
    found = rules.load(own.paths, disable=own.disable, levels=own.levels, over=extra)
    if found.problems:
        raise ConfigError(found.problems)
    return found
