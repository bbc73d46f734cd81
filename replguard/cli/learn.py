"""`replguard learn`: a manifest of what runs now, to read, correct and put in place; and the end of the baseline."""

import logging
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import rich_click as click
import structlog
import yaml

from replguard import config as configuration
from replguard import yamlfile
from replguard.alerts.allow import exact, shards
from replguard.cli.status import asked
from replguard.collector.collector import Collector
from replguard.config import Config, enc_hook
from replguard.errors import ReplguardError
from replguard.events import clock
from replguard.events.standing import Serves
from replguard.events.text import printable
from replguard.policy import Policy
from replguard.provenance.baseline import accept_note
from replguard.sensors import registry

LOOK = 20.0
"""Seconds that looking ourselves takes at the most."""
QUIET = 3.0
"""Seconds without news of any server after which a look is over."""
TAKEN = 10.0
HEADER = """\
# What serves protected weights on this host, {when}. Read it before you put it in place: what should not run is allowed
# by it as well. `replguard check` validates it; the daemon takes it within seconds, without a restart.
"""


@click.command("learn")
@click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path),
    help="The configuration file, if not /etc/replguard/replguard.yaml.",
)
@click.option("--accept", is_flag=True, help="End the collection of the baseline now, or let a lost one go.")
def command(config: Path | None, *, accept: bool) -> None:
    """Print a manifest of what serves protected weights now, by the running daemon's knowledge or a look of our own.

    What an agent started, or a server, is left out and named in a comment: such an entry is for you to write.
    """
    settings = configuration.load(config)
    if accept:
        _accept(settings)
        return
    status = asked(Path(settings.state_dir), clock.now())
    if status is None:
        click.echo("replguard: the daemon does not run with this configuration: looking ourselves, a moment", err=True)
    serving = status.serving if status is not None else _look(settings)
    click.echo(manifest(serving, f"{clock.now():%Y-%m-%d}"), nl=False)
    if not serving:
        click.echo("replguard: nothing serves protected weights now, as far as can be seen", err=True)


def manifest(serving: Iterable[Serves], when: str) -> str:
    """Return the text of a manifest: an entry for each principal, model and ports, with as many as there are."""
    deployments: dict[str, dict[str, Any]] = {}
    jobs: dict[str, dict[str, Any]] = {}
    notes = []
    for one in serving:
        if one.agent or not _who(one):
            why = "an agent or another server started it" if one.agent else "nothing names who it is"
            notes.append(printable(f"# left out: pid {one.pid} serves {one.model}: {why}\n"))
            continue
        weights = list(dict.fromkeys(map(shards, one.weights)))
        made = {"name": "", "weights": weights, **_who(one), **({"ports": list(one.ports)} if one.ports else {})}
        known = deployments.setdefault(repr(made), made | {"max_instances": 0})
        known["max_instances"] += 1
        known["name"] = known["name"] or _name(one, [each["name"] for each in deployments.values()])
        for program in () if one.unit or one.container or one.workload else one.others:
            job = {"weights": weights, "user": one.user, "executable": exact(program), "may": ["access"]}
            jobs.setdefault(repr(job), {"name": f"{known['name']}-worker", **job})
    document = {"deployments": list(deployments.values())} | ({"jobs": list(jobs.values())} if jobs else {})
    return HEADER.format(when=when) + "".join(notes) + yamlfile.written(document)


def _who(one: Serves) -> dict[str, Any]:
    """Return the keys that name who serves, the most stable ones that are known."""
    if one.namespace and one.workload:
        return {"namespace": exact(one.namespace), "workload": exact(one.workload)}
    if one.container:
        return {"container": exact(one.container)} | ({"image": exact(one.image)} if one.image else {})
    if one.unit:
        return {"unit": exact(one.unit)}
    if one.user is None or one.executable is None:
        return {}
    command = {"command": exact(one.command)} if one.command else {}
    return {"user": one.user, "executable": exact(one.executable), **command}


def _name(one: Serves, taken: list[str]) -> str:
    words = "".join(c if c.isalnum() and c.isascii() else "-" for c in one.model).strip("-").lower()[:40] or "model"
    numbers = (f"-{n}" if n > 1 else "" for n in range(1, len(taken) + 2))
    return next(words + number for number in numbers if words + number not in taken)


def _look(settings: Config) -> list[Serves]:
    """Return what serves now by a daemon of our own, which raises nothing and leaves nothing behind."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with tempfile.TemporaryDirectory(prefix="replguard-learn-") as folder:
        path = Path(folder) / "replguard.yaml"
        path.write_text(yaml.safe_dump(_alone(settings, Path(folder))))
        opening = registry.Opening()
        collector = Collector(Policy(path, strict=True), lambda _: None, opening)
        collector.start()
        try:
            return _settled(collector)
        finally:
            collector.close()


def _alone(settings: Config, folder: Path) -> dict[str, Any]:
    """Return the configuration with nothing in it that leaves a trace."""
    made: dict[str, Any] = msgspec.to_builtins(settings, enc_hook=enc_hook)
    log = made["log"] | {"dir": f"{folder}/log"}
    own = {"state_dir": f"{folder}/state", "manifest": f"{folder}/manifest.yaml", "log": log, "sinks": {}}
    own |= {"metrics": {"listen": ""}, "rules": {}}
    return {key: value for key, value in (made | own).items() if value is not None}


def _settled(collector: Collector) -> list[Serves]:
    """Return what serves once nothing new was seen for a while."""
    end, pause = clock.monotonic() + LOOK, threading.Event()
    found, since = collector.serving(), clock.monotonic()
    while clock.monotonic() < min(end, since + QUIET):
        pause.wait(0.1)
        now = collector.serving()
        if now != found:
            found, since = now, clock.monotonic()
    return found


def _accept(settings: Config) -> None:
    """Leave a note for the daemon, and wait until it is taken where it runs."""
    state = Path(settings.state_dir)
    note = accept_note(state)
    try:
        state.mkdir(parents=True, exist_ok=True)
        note.touch(mode=0o600)
    except OSError as error:
        why = f"{note} cannot be written: {error.strerror}; ask as the user that the daemon runs as"
        raise ReplguardError(why) from error
    if asked(state, clock.now()) is None:
        click.echo("The daemon does not run with this configuration: it ends the collection at its next start.")
        return
    end, pause = clock.monotonic() + TAKEN, threading.Event()
    while note.exists() and clock.monotonic() < end:
        pause.wait(0.1)
    if note.exists():
        raise ReplguardError(f"the daemon did not take {note} within {TAKEN:.0f} s")
    click.echo("The baseline is closed: nothing new is taken in from now on.")
