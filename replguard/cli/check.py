"""``replguard check``: every fault of configuration, manifest and rules at once, with file and line."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import rich_click as click

from replguard import config as configuration
from replguard import sinks, yamlfile
from replguard.config import Config
from replguard.errors import ConfigError, Problem
from replguard.events import clock
from replguard.events.text import printable
from replguard.metrics import web
from replguard.policy import unsafe
from replguard.provenance import manifest as manifests
from replguard.rules.cases import read_cases
from replguard.rules.fixtures import fixture_path
from replguard.rules.load import FIXTURES, shipped_dir
from replguard.rules.load import load as load_rules
from replguard.rules.misspelt import unused
from replguard.rules.model import RuleSet
from replguard.sensors import registry
from replguard.yamlfile import Document

WRONG = 2


@click.command("check")
@click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path),
    help="The configuration file, if not /etc/replguard/replguard.yaml.",
)
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
def command(config: Path | None, paths: tuple[Path, ...]) -> None:
    """Validate configuration, manifest and rules; PATHs are rule files or folders besides those configured.

    Prints every fault as file:line, with what was meant where that can be told, and exits with 2 if there is any. The
    fixtures beside rules of your own are looked at too. Changes nothing.
    """
    settings, problems = _config(config)
    problems += unsafe(config, settings) + web.validate(settings.metrics.web_config)
    manifest, wrong = manifests.load(Path(settings.manifest))
    problems += wrong
    fixtures = [path for path in paths if path.name.endswith(FIXTURES)]
    given = dict.fromkeys([*map(Path, settings.rules.paths), *(path for path in paths if path not in fixtures)])
    makes = registry.makes(registry.open_all(settings)[0])
    found = load_rules(given, disable=settings.rules.disable, levels=settings.rules.levels, makes=makes)
    problems += [_in_config(_of_path(problem, settings), config) for problem in found.problems]
    problems += _cases(found, fixtures)
    for problem in sorted(set(problems)):
        click.echo(printable(str(problem)), err=True)
    absent = [f"weights.paths: {path} is not there yet" for path in settings.weights.paths if not os.path.exists(path)]  # noqa: PTH110 - pathlib raises for what is hidden
    absent += [f"watch.paths: {path} is not there" for path in settings.watch.paths if not os.path.exists(path)]  # noqa: PTH110 - pathlib raises for what is hidden
    absent += filter(None, [web.exposed(settings.metrics.listen, settings.metrics.web_config)])
    for warning in (*absent, *_idle(found), *manifests.warnings(manifest, clock.now().date())):
        click.echo(printable(f"warning: {warning}"), err=True)
    if problems:
        count = len(set(problems))
        click.echo(f"{count} {'fault' if count == 1 else 'faults'}", err=True)
        raise SystemExit(WRONG)
    entries = len(manifest.deployments) + len(manifest.jobs)
    click.echo(f"configuration: {config or _default()}")
    counted = f", {entries} {'entry' if entries == 1 else 'entries'}" if entries else ", nothing is allowed"
    told = counted if manifests.files(Path(settings.manifest)) else " is not there, so nothing is allowed"
    click.echo(printable(f"manifest: {settings.manifest}{told}"))
    lacking = len(found.not_evaluable)
    click.echo(
        f"rules: {len(found.every())}"
        + (f", and {lacking} not evaluable here (`replguard rules list`)" if lacking else "")
    )


def _cases(found: RuleSet, paths: list[Path]) -> Iterator[Problem]:
    """Yield the faults of fixture files: of those given, and of those beside rules of one's own."""
    beside = [fixture_path(rule, shipped_dir()) for rule in found.known() if not rule.shipped]
    for path in dict.fromkeys([*paths, *(path for path in beside if path.exists())]):
        try:
            read_cases(path)
        except ConfigError as error:
            yield from error.problems


def _idle(found: RuleSet) -> Iterator[str]:
    """Yield why a rule of one's own cannot fire, or not as it seems; of the shipped ones `rules list` tells."""
    for one in found.not_evaluable:
        if not one.rule.shipped:
            yield f"{one.rule.path}:{one.rule.line}: '{one.rule.name}' cannot fire here: {one.reason}"
    for rule in (rule for rule in found.rules if not rule.shipped):
        detection = rule.sigma.detection
        for name in unused(detection.detections, detection.condition):
            if not name.startswith("_"):  # what a filter put there
                text = f"has the selection '{name}', which its condition does not name"
                yield f"{rule.path}:{rule.line}: '{rule.name}' {text}"


def _default() -> str:
    path = configuration.DEFAULT_PATH
    return str(path) if path.exists() else f"{path} is not there, so every key has its default"


def _config(path: Path | None) -> tuple[Config, list[Problem]]:
    """Return the configuration and its faults; of a broken one what is right, so that the rest is looked at too."""
    problems: list[Problem] = []
    try:
        settings = configuration.load(path)
    except ConfigError as error:
        settings = _usable(path or configuration.DEFAULT_PATH)
        problems += error.problems
    return settings, problems + [_in_config(Problem("sinks", 0, text), path) for text in sinks.validate(settings.sinks)]


def _usable(path: Path) -> Config:
    """Return what is right in a configuration that has faults."""
    right: dict[str, Any] = {}
    for file in (path, *yamlfile.drop_ins(path.parent / "conf.d", [])):
        try:
            documents = yamlfile.read(file, [])
        except ConfigError:
            continue
        for document in documents:
            right |= _right(document.value, Config)
    return yamlfile.convert(Document(str(path), right), Config, [], dec_hook=configuration.dec_hook) or Config()


def _right(value: Any, struct: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the keys of a section whose values are what they should be, each looked at by itself."""
    types = {field.encode_name: field.type for field in msgspec.structs.fields(struct)}
    found: dict[str, Any] = {}
    for key, item in value.items() if isinstance(value, dict) else ():
        inner = types.get(key)
        if isinstance(item, dict) and isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            found[key] = _right(item, inner)
        elif yamlfile.convert(Document("", {key: item}), struct, [], dec_hook=configuration.dec_hook) is not None:
            found[key] = item
    return found


def _of_path(problem: Problem, settings: Config) -> Problem:
    """Return a fault about a path of ``rules.paths`` itself as one of that key: that is where it is put right."""
    if problem.line or problem.path not in settings.rules.paths:
        return problem
    return Problem("rules.paths", 0, f"rules.paths: '{problem.path}' {problem.text}")


def _in_config(problem: Problem, path: Path | None) -> Problem:
    """Return a fault in a key of the configuration with the file and line of that key."""
    file = path or configuration.DEFAULT_PATH
    if problem.path not in {"sinks", "rules.paths", "rules.disable", "rules.levels"} or not file.exists():
        return problem
    place = tuple(problem.path.split("."))
    try:
        documents = yamlfile.read(file, [])
    except ConfigError:
        return problem
    document = next((one for one in documents if place in one.lines), None)
    return document.problem((*place, *_inside(problem)), problem.text) if document else problem


def _inside(problem: Problem) -> tuple[str, ...]:
    """Return where below its key a sink's fault lies, as its sentence says."""
    section, _, rest = problem.text.partition(": ")
    key = re.match("unknown key '([^']*)'", rest)
    return (*section.split(".")[1:], *([key[1]] if key else [])) if problem.path == "sinks" else ()
