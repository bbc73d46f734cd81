"""``replguard rules``: which rules there are, whether they can fire here, what they need, and their fixtures."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import rich_click as click
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.progress import track
from rich.table import Table
from rich.text import Text

from replguard import config as configuration
from replguard.config import Config
from replguard.errors import ConfigError, Problem, ReplguardError
from replguard.events.text import counted, printable
from replguard.rules import load as files
from replguard.rules import suggest
from replguard.rules.cases import KINDS_OF_CASE, Case, read_cases
from replguard.rules.evaluable import EVERYTHING
from replguard.rules.explain import Explanation, Here, explain, gather
from replguard.rules.fixtures import Outcome, about, fixture_path, only, run
from replguard.rules.model import AnyRule, RuleSet
from replguard.rules.schema import schema
from replguard.rules.why import why
from replguard.sensors import registry

FAILED, WRONG = 1, 2
_STYLES = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "green", "informational": "dim"}
_config = click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path),
    help="The configuration file, if not /etc/replguard/replguard.yaml.",
)


@click.group("rules")
def command() -> None:
    """The rules: list them, run their fixtures, explain one."""


@command.command("list")
@_config
def list_(config: Path | None) -> None:
    """List every rule, its level, and why one cannot fire on this host."""
    settings = configuration.load(config)
    found = _load(settings, (), registry.makes(registry.open_all(settings)[0]))
    reasons = {entry.rule.name: entry.reason for entry in found.not_evaluable}
    reasons |= {rule.name: "rules.disable names it" for rule in found.disabled}
    table = Table(box=None, pad_edge=False)
    for heading in ("name", "level", "kind", "fires here"):
        table.add_column(heading, overflow="fold", no_wrap=heading in {"name", "level"})
    for rule in sorted(found.known(), key=lambda rule: rule.name):
        here = reasons.get(rule.name)
        told = f"[red]no:[/] {escape(printable(here))}" if here else "yes" if rule.alerts else "as a stage"
        kind = getattr(rule, "type", "single event").replace("_", " ")
        table.add_row(escape(printable(rule.name)), f"[{_STYLES[rule.level]}]{rule.level}[/]", kind, told)
    Console(highlight=False, width=None if _is_terminal() else 200).print(table)
    _end_with(found.problems)


@command.command("test")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
def test(paths: tuple[Path, ...]) -> None:
    """Run the fixtures of the shipped rules, or of the rules in PATHs.

    For each case that fails: what was expected, what came, and what of the rule held. Exit code 1 if a rule does not
    do what a case says or cannot fire, or if a shipped rule lacks `fires`, `silent` or `near_miss`.
    """
    if not paths and not (files.shipped_dir().parent / "tests").is_dir():
        raise ReplguardError("the fixtures of the shipped rules come with a checkout only; name rules of your own")
    paths = tuple(map(_rule_of, paths))
    found = _load(Config(), paths, EVERYTHING)
    wanted = _under(found, paths)
    if paths and not wanted and not found.problems:
        raise ReplguardError(f"no rule lies under {', '.join(map(str, paths))}")
    idle = {entry.rule.name: entry.reason for entry in found.not_evaluable if entry.rule in wanted}
    outcomes: list[tuple[AnyRule, Outcome]] = []
    lacking: list[tuple[AnyRule, str]] = []
    problems: dict[Problem, None] = dict.fromkeys(found.problems)
    alive = [rule for rule in wanted if rule.name not in idle]
    for rule in track(alive, "rules", console=Console(stderr=True), transient=True, disable=not _is_terminal()):
        path = fixture_path(rule, files.shipped_dir())
        cases, wrong = _cases(path, wanted)
        problems |= dict.fromkeys(wrong)
        outcomes += [(rule, outcome) for outcome in run(rule, found, cases)]
        missing = [kind for kind in KINDS_OF_CASE if kind not in {case.kind for case in cases}]
        if missing and not wrong and (rule.shipped or not cases):
            lacking.append((rule, f"{rule.name}: no {' and no '.join(missing)} in {path}"))
    failed = [(rule, outcome) for rule, outcome in outcomes if not outcome.passed]
    _report(failed, found)
    for rule in (rule for rule in wanted if rule.name in idle):
        click.echo(printable(f"{rule.path}:{rule.line}: '{rule.name}' cannot fire: {idle[rule.name]}"))
    for _, text in lacking:
        click.echo(printable(f"lacks: {text}"))
    click.echo(_summary(len(wanted), len(outcomes), len(failed), len(lacking), len(idle)))
    _end_with(list(problems))
    if failed or idle or any(rule.shipped for rule, _ in lacking):
        raise SystemExit(FAILED)


@command.command("explain")
@_config
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
@click.argument("rule")
def explain_(config: Path | None, rule: str, *, as_json: bool) -> None:
    """Say what a RULE (its name, its id, or its file) needs, which sensors give it, what it cannot see, what to do."""
    settings = configuration.load(config)
    sensors = registry.open_all(settings)[0]
    file = Path(rule) if Path(rule).is_file() else None
    found = _load(settings, [file] if file else [], registry.makes(sensors))
    ones = _under(found, [file]) if file else [one for one in [found.find(rule)] if one is not None]
    if not ones and (file or rule in found.broken):
        _end_with(found.problems)
    if not ones:
        said = suggest.hint(rule, [known.name for known in found.known()])
        raise ReplguardError(f"there is no rule '{rule}'{said or '; `replguard rules list` has them all'}")
    here = [Here(sensor.name, sensor.area, sensor.mode, sensor.blind) for sensor in sensors]
    for number, told in enumerate(gather(one, found, here, _firing(one)) for one in ones):
        if as_json:
            click.echo(msgspec.json.format(msgspec.json.encode(told)).decode())
        else:
            _show(told, "\n" if number else "")


def _show(told: Explanation, before: str) -> None:
    """Print an explanation: on a terminal wrapped, elsewhere a line each, to search through."""
    out = Console(highlight=False, soft_wrap=not _is_terminal())
    out.print(f"{before}[bold]{escape(printable(told.name))}[/]  {escape(printable(told.title))}")
    for heading, lines in explain(told):
        out.print(f"\n[bold]{heading}[/]")
        for line in lines:
            text = Text(printable(line))
            out.print(Padding(text, (0, 0, 0, 2), expand=False) if _is_terminal() else Text("  ") + text)


@command.command("schema")
def schema_() -> None:
    """Print the JSON Schema of the rule format, by which editors complete and check rules.

    Written to a file, one line at the head of a rule names it: `# yaml-language-server: $schema=rule.schema.json`.
    """
    click.echo(msgspec.json.format(msgspec.json.encode(schema()), indent=1).decode())


def _cases(path: Path, rules: Sequence[AnyRule]) -> tuple[list[Case], list[Problem]]:
    """Return the cases of a fixture file, and its faults: also a case that is about none of the rules."""
    try:
        cases = read_cases(path) if path.exists() else []
    except ConfigError as error:
        return [], error.problems
    known = {key for rule in rules for key in (rule.name, rule.id)}
    strays = [case for case in cases if case.rule is not None and case.rule not in known]
    told = [Problem(case.path, case.line, f"no rule has the name '{case.rule}'") for case in strays]
    return cases, told


def _firing(rule: AnyRule) -> list[str]:
    """Return the cases of a rule's fixtures that fire it, where they are here and can be read."""
    path = fixture_path(rule, files.shipped_dir())
    try:
        return [case.name for case in about(read_cases(path), rule) if case.kind == "fires"] if path.exists() else []
    except ConfigError:
        return []


def _load(settings: Config, paths: Sequence[Path], makes: frozenset[str]) -> RuleSet:
    given = [*map(Path, settings.rules.paths), *paths]
    return files.load(given, disable=settings.rules.disable, levels=settings.rules.levels, makes=makes)


def _rule_of(path: Path) -> Path:
    """Return the rule file that a file of fixtures belongs to; any other path as it is."""
    for ending in files.FIXTURES:
        if path.name.endswith(ending):
            return path.with_name(path.name.removesuffix(ending) + path.suffix)
    return path


def _under(found: RuleSet, paths: Sequence[Path]) -> list[AnyRule]:
    """Return the rules that lie under any of the paths; without paths the shipped ones."""
    if not paths:
        return [rule for rule in found.known() if rule.shipped]
    tops = [path.resolve() for path in paths]
    return [rule for rule in found.known() if any(Path(rule.path).resolve().is_relative_to(top) for top in tops)]


def _report(failed: Sequence[tuple[AnyRule, Outcome]], found: RuleSet) -> None:
    """Print each case that failed as a difference, and what of its rule held."""
    out = Console(highlight=False, soft_wrap=True)
    for rule, outcome in failed:
        case = outcome.case
        several = sum(one.path == rule.path for one in found.known()) > 1
        about = f" (of {printable(rule.name)})" if several else ""
        out.print(Text(f"{case.path}:{case.line}: {case.kind}: {printable(case.name)}{about}", style="bold"))
        out.print(f"[red]- {outcome.expected}[/]\n[green]+ {outcome.got}[/]")
        for line in why(rule, only(rule, found), case):
            out.print(Text(f"    {printable(line)}", style="dim"))


def _summary(rules: int, cases: int, failed: int, lacking: int, idle: int) -> str:
    never = f", {counted(idle, 'rule')} that cannot fire" if idle else ""
    rest = f", {counted(lacking, 'rule')} without all three kinds of cases" if lacking else ""
    return f"{counted(rules, 'rule')}, {counted(cases - failed, 'case')} passed, {failed} failed{rest}{never}"


def _end_with(problems: Sequence[Problem]) -> None:
    if problems:
        raise ConfigError(list(problems))


def _is_terminal() -> bool:
    return Console().is_terminal
