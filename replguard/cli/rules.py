"""``replguard rules``: which rules there are, whether they can fire here, what they need, and their fixtures."""

import difflib
from collections.abc import Sequence
from pathlib import Path

import rich_click as click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from replguard import config as configuration
from replguard.config import Config
from replguard.errors import ConfigError, Problem, ReplguardError
from replguard.events.text import printable
from replguard.rules import load as files
from replguard.rules.cases import KINDS_OF_CASE, read_cases
from replguard.rules.evaluable import EVERYTHING
from replguard.rules.explain import explain
from replguard.rules.fixtures import Outcome, fixture_path, run
from replguard.rules.model import AnyRule, RuleSet
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

    Exit code 1 if a rule does not do what a case says, or if a shipped rule lacks `fires`, `silent` or `near_miss`.
    """
    if not paths and not (files.shipped_dir().parent / "tests").is_dir():
        raise ReplguardError("the fixtures of the shipped rules come with a checkout only; name rules of your own")
    found = _load(Config(), paths, EVERYTHING)
    wanted = _under(found, paths)
    if paths and not wanted and not found.problems:
        raise ReplguardError(f"no rule lies under {', '.join(map(str, paths))}")
    outcomes: list[Outcome] = []
    lacking: list[tuple[AnyRule, str]] = []
    for rule in wanted:
        path = fixture_path(rule, files.shipped_dir())
        try:
            cases = read_cases(path) if path.exists() else []
        except ConfigError as error:
            found.problems += error.problems
            continue
        outcomes += run(rule, found, cases)
        missing = [kind for kind in KINDS_OF_CASE if kind not in {case.kind for case in cases}]
        if missing and (rule.shipped or not cases):
            lacking.append((rule, f"{rule.name}: no {' and no '.join(missing)} in {path}"))
    _report(outcomes, [text for _, text in lacking], len(wanted))
    _end_with(found.problems)
    if any(not outcome.passed for outcome in outcomes) or any(rule.shipped for rule, _ in lacking):
        raise SystemExit(FAILED)


@command.command("explain")
@_config
@click.argument("rule")
def explain_(config: Path | None, rule: str) -> None:
    """Say what a RULE (its name or id) needs, which sensors give it, what it cannot see, and what to do."""
    settings = configuration.load(config)
    found = _load(settings, (), registry.makes(registry.open_all(settings)[0]))
    one = found.find(rule)
    if one is None:
        near = difflib.get_close_matches(rule, [known.name for known in found.known()], n=1)
        raise ReplguardError(
            f"there is no rule '{rule}'"
            + (f", did you mean '{near[0]}'?" if near else "; `replguard rules list` has them all")
        )
    out = Console(highlight=False, soft_wrap=True)
    out.print(f"[bold]{escape(printable(one.name))}[/]  {escape(printable(one.title))}")
    for heading, lines in explain(one, found):
        out.print(f"\n[bold]{heading}[/]")
        for line in lines:
            out.print(f"  {printable(line)}", markup=False)


def _load(settings: Config, paths: Sequence[Path], makes: frozenset[str]) -> RuleSet:
    given = [*map(Path, settings.rules.paths), *paths]
    return files.load(given, disable=settings.rules.disable, levels=settings.rules.levels, makes=makes)


def _under(found: RuleSet, paths: Sequence[Path]) -> list[AnyRule]:
    """Return the rules that lie under any of the paths; without paths the shipped ones."""
    if not paths:
        return [rule for rule in found.every() if rule.shipped]
    tops = [path.resolve() for path in paths]
    return [rule for rule in found.every() if any(Path(rule.path).resolve().is_relative_to(top) for top in tops)]


def _report(outcomes: Sequence[Outcome], lacking: Sequence[str], rules: int) -> None:
    failed = [outcome for outcome in outcomes if not outcome.passed]
    out = Console(highlight=False, soft_wrap=True)
    for outcome in failed:
        case = outcome.case
        out.print(f"{case.path}:{case.line}: {case.kind}: {printable(case.name)}", markup=False)
        out.print(f"[red]- {outcome.expected}[/]\n[green]+ {outcome.got}[/]")
    for line in lacking:
        out.print(f"lacks: {printable(line)}", markup=False)
    passed = len(outcomes) - len(failed)
    out.print(
        f"{rules} rules, {passed} cases passed, {len(failed)} failed" + f", {len(lacking)} lack some" * bool(lacking)
    )


def _end_with(problems: Sequence[Problem]) -> None:
    if problems:
        raise ConfigError(list(problems))


def _is_terminal() -> bool:
    return Console().is_terminal
