"""`replguard status`: what the running daemon says of itself."""

import errno
import os
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from http.client import HTTPException
from pathlib import Path

import msgspec
import rich_click as click
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.table import Table
from rich.text import Text

from replguard import config as configuration
from replguard.cli._frame import STALE, ago, size, stale, wrong
from replguard.config import Config
from replguard.events import clock, wire
from replguard.events.alert import LEVELS
from replguard.events.text import printable
from replguard.metrics.page import PATH, address
from replguard.metrics.table import METRICS, PREFIX
from replguard.policy import unsafe
from replguard.standing import FILE, Status

NOT_RUNNING = 1
GONE = "not running"
PATIENCE = 3.0
_LARGEST = 16 * 2**20


@dataclass(slots=True)
class Answer:
    """What was found out. ``metrics`` is keyed by name without prefix and label values."""

    status: Status
    stale: float | None
    metrics: dict[tuple[str, ...], float] = field(default_factory=dict)
    trouble: str | None = None

    def total(self, name: str, *labels: str) -> float | None:
        """Return the sum over a metric's samples whose labels hold all of ``labels``, None when there is none."""
        found = [v for key, v in self.metrics.items() if key[0] == name and set(labels) <= set(key[1:])]
        return sum(found) if found else None


@click.command("status")
@click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path),
    help="The configuration file, if not /etc/replguard/replguard.yaml.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
def command(config: Path | None, *, as_json: bool) -> None:
    """Ask the running daemon how it is: its sensors, what it protects, what is firing, what was lost.

    Exit code 1 if it is not running here, has told nothing for 30 s, or a sensor has failed.
    """
    settings = configuration.load(config)
    status, now = read(config, settings), clock.now()
    if isinstance(status, str):
        click.echo(f"replguard: {printable(status)}", err=True)
        raise SystemExit(NOT_RUNNING)
    answer = _ask(status, now)
    if as_json:
        told = {"/".join(key): value for key, value in sorted(answer.metrics.items())}
        click.echo(msgspec.json.encode({"status": answer.status, "metrics": told, "trouble": answer.trouble}).decode())
    else:
        _show(Console(highlight=False), answer)
    if wrong(status, now):
        raise SystemExit(NOT_RUNNING)


def asked(state_dir: Path, now: datetime) -> Status | None:
    """Return what a daemon that runs and is well says of itself, None where there is none."""
    try:
        status = msgspec.json.decode((state_dir / FILE).read_bytes(), type=Status)
    except (OSError, *wire.UNREADABLE):
        return None
    return status if _lives(status.pid) and (now - status.written).total_seconds() <= STALE else None


def read(config: Path | None, settings: Config) -> Status | str:
    """Return what the daemon says, or why there is nothing to say and what to do."""
    planted = [problem for problem in unsafe(config, settings) if problem.text.startswith("state_dir")]
    if planted:
        return f"{planted[0]}. What stands there is not believed"
    path = Path(settings.state_dir) / FILE
    try:
        status = msgspec.json.decode(path.read_bytes(), type=Status)
    except FileNotFoundError:
        return (
            f"{GONE} with this configuration: there is no {path}. Name the one that it runs with by --config,"
            " or start it with `systemctl start replguard` or `replguard run`."
        )
    except PermissionError:
        return f"{path} may not be read: ask as root (sudo), or as the user that replguard runs as."
    except (OSError, *wire.UNREADABLE) as error:
        return f"{path} cannot be read: {error}. Restart the daemon to have it written anew."
    if not _lives(status.pid):
        return f"{GONE}: pid {status.pid} is gone. Look into its journal, then `systemctl start replguard`."
    return status


def _ask(status: Status, now: datetime) -> Answer:
    answer = Answer(status, stale(status, now))
    if status.guarded or not status.metrics:
        asks = "the metrics page asks for a certificate or a password (metrics.web_config): read it with that"
        answer.trouble = asks if status.guarded else "there is no metrics page, and what it would count is not known"
        return answer
    try:
        answer.metrics = values(_scrape(status.metrics))
    except (OSError, HTTPException, ValueError) as error:
        answer.trouble = f"the metrics page {status.metrics} does not answer: {type(error).__name__} {error}"
    return answer


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError as error:
        return error.errno == errno.EPERM
    return True


def _scrape(listen: str) -> str:
    host, port = address(listen)
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - asked, not bound
    host = f"[{host}]" if ":" in host else host
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://{host}:{port}{PATH}", timeout=PATIENCE) as page:
        return str(page.read(_LARGEST).decode())


def values(text: str) -> dict[tuple[str, ...], float]:
    """Return the values of a page by name and labels. Raises ValueError for what is none: anybody may take our port."""
    found: dict[tuple[str, ...], float] = {}
    try:
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    except LookupError as error:  # which the parser raises for some of it
        raise ValueError("it is no page of metrics") from error
    for sample in samples:
        name = sample.name.removeprefix(PREFIX)
        labels = METRICS[name].labels if name in METRICS else tuple(sample.labels)
        found[name, *(sample.labels.get(label, "") for label in labels)] = sample.value
    return found


def _show(out: Console, answer: Answer) -> None:
    status = answer.status
    running = f"running as pid {status.pid} since {status.started.astimezone():%Y-%m-%d %H:%M:%S}"
    out.print(Text(f"replguard {printable(status.version)}, {running}"), soft_wrap=True)
    if answer.stale is not None:
        out.print(Text(f"It has not told its state for {answer.stale:.0f} s: it may hang.", "bold red"))
    if status.maintenance:
        out.print(Text(printable(f"maintenance {status.maintenance}"), "yellow"), soft_wrap=True)
    for problem in (*status.problems, *([answer.trouble] if answer.trouble else [])):
        out.print(Text(printable(problem), "yellow"), soft_wrap=True)
    out.print(Text(f"protected: {printable(status.protecting)}\nrules: {printable(status.judging)}"), soft_wrap=True)
    if status.mounts:
        out.print(Text(f"mounts: {printable(status.mounts)}"), soft_wrap=True)
    out.print(_sensors(answer))
    for line in (*_numbers(answer), *_overview(answer.status)):
        out.print(Text(line), soft_wrap=True)


def _overview(status: Status) -> Iterator[str]:
    """Yield what the metrics must not say: who serves, which incidents are open."""
    told = status.overview
    if told is None:
        return
    for stream, kept in told.log.items():
        sealed = f", sealed {ago(status.written, told.checkpoint)} ago" if told.checkpoint is not None else ""
        yield f"log {stream}: {size(kept.size)}{sealed}"
    for one in told.instances:
        allowed = "in no deployment" if one.allowed is None else f"of {one.allowed} allowed"
        wrong = f"; {one.unauthorised} NOT ALLOWED" if one.unauthorised else ""
        yield f"instances of {printable(one.name)}: {one.live} {allowed}{wrong}"
    for case in told.cases:
        since = ago(status.written, case.opened)
        yield f"incident {case.id}, {case.level}, {since}, ×{case.count}: {printable(case.sentence)}"


def _sensors(answer: Answer) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("sensor", "area", "mode", "events", "lost"):
        table.add_column(heading, justify="right" if heading in ("events", "lost") else "left")
    for line in answer.status.sensors:
        kept, lost = answer.total("events_total", line.name), answer.total("events_dropped_total", line.name)
        counts = [_number(kept), _number(lost if lost or kept is None else 0)]
        style = "dim" if line.mode == "off" else "red" if line.mode == "failed" or lost else ""
        table.add_row(*(Text(printable(text), style) for text in (line.name, line.area, line.mode, *counts)))
    return table


def _numbers(answer: Answer) -> list[str]:
    firing = [f"{_number(n)} {level}" for level in reversed(LEVELS) if (n := answer.total("alerts_firing", level))]
    judged, waiting, pending = (
        _number(answer.total(name)) for name in ("events_fed_total", "pipeline_queue_length", "examiner_pending")
    )
    lines = [
        f"firing: {', '.join(firing) or 'nothing'}; open incidents: {_number(answer.total('incidents_open'))}",
        f"events judged: {judged}; waiting: {waiting}; files to examine: {pending}",
    ]
    names = sorted({key[1] for key in answer.metrics if key[0] == "sink_delivered_total"})
    for name in names:
        sent, queued, lost = (
            _number(answer.total(f"sink_{what}", name)) for what in ("delivered_total", "queue_length", "dropped_total")
        )
        lines.append(f"sink {printable(name)}: {sent} sent, {queued} waiting, {lost} lost")
    return lines if answer.metrics else []


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:,.0f}"
