"""One picture of the daemon for a terminal of any size: no line wider than it, and no more lines than it has."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from rich.cells import chop_cells
from rich.console import Group, JustifyMethod, RenderableType
from rich.layout import Layout
from rich.table import Table
from rich.text import Text

from replguard.events.overview import Case, Flow, Overview, Served, Told
from replguard.events.text import counted, printable
from replguard.standing import Status

STALE = 30.0
"""Seconds after which a daemon that rewrites its status every few seconds is not well."""
WIDE = 76
"""Columns from which on two blocks stand side by side."""
ROOMY = 46
"""Columns of the sensors' block from which on it has room for small bars."""
_BARS = "▁▂▃▄▅▆▇█"
_STYLES = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "cyan", "informational": "dim"}
_BAR = "green"
_PROBLEMS = 3
BEHIND = 10_000
"""Events that wait, from which on it does not keep up."""


@dataclass(slots=True)
class View:
    """What is to be shown: the last ``status`` that there was, and why there is no newer one.

    ``rates`` holds what each sensor saw in a second, the newest last. ``chosen`` counts the incidents from the top;
    ``opened``: its commands are shown. ``paused``: time goes on, this does not. ``keys`` tells which there are.
    """

    now: datetime
    status: Status | None = None
    trouble: str | None = None
    rates: Mapping[str, Sequence[float]] = field(default_factory=dict)
    chosen: int | None = None
    opened: bool = False
    paused: bool = False
    keys: str = ""

    @property
    def cases(self) -> tuple[Case, ...]:
        """The open incidents that are told one by one."""
        overview = self.status.overview if self.status is not None else None
        return overview.cases if overview is not None else ()


def frame(view: View, width: int, height: int) -> RenderableType:
    """Return the picture. What there is no room for is left out, what matters least first."""
    head = [_title(view), *([_watched(view.status)] if view.status is not None else []), *_troubles(view)]
    foot = [_line(view.keys, "dim")] if view.keys else []
    blocks = [_fixed(head[: max(1, height - len(foot))])]
    room = height - len(head) - len(foot)
    if view.status is not None and view.status.overview is not None and room > 0:
        blocks += _blocks(view, view.status, view.status.overview, width, room)
    if sum(block.size or 0 for block in blocks) + len(foot) < height:
        blocks.append(Layout(" "))
    if foot and height > 1:
        blocks.append(_fixed(foot))
    picture = Layout()
    picture.split_column(*blocks)
    return picture


def wrong(status: Status | str, now: datetime) -> bool:
    """Whether something is: it does not run, tells nothing any more, or a sensor has failed."""
    if isinstance(status, str) or stale(status, now) is not None:
        return True
    return any(line.mode == "failed" for line in status.sensors)


def stale(status: Status, now: datetime) -> float | None:
    """Return for how many seconds a daemon has told nothing, None if it is well."""
    age = (now - status.written).total_seconds()
    return age if age > STALE else None


def _blocks(view: View, status: Status, told: Overview, width: int, room: int) -> Iterable[Layout]:
    """Yield the blocks that have room, each with as many lines as it gets."""
    sensors, side = _sensors(view, status, told, width), _side(told, view.now)
    cases, beside = _cases(view, told), _commands(view, width) if view.opened else _alerts(told)
    if width >= WIDE:
        if room >= max(len(sensors), len(side)) + len(cases) + len(beside) + 2:
            cases, beside = [_line(""), *cases], [_line(""), *beside]
        wants = [max(len(sensors), len(side)), len(cases), len(beside)]
        upper, middle, lower = _heights(room, (6, 6, 3), (wants[0], (room - wants[0]) * 2 // 3, 0), wants)
        if upper:
            both = Layout(size=upper)
            left = max(ROOMY, width // 2)
            gap = Layout(" ", size=2)
            both.split_row(Layout(_group(_cut(sensors, upper)), size=left), gap, Layout(_group(_cut(side, upper))))
            yield both
        rest = [(cases, middle), (beside, lower)]
    else:
        wants = [len(cases), len(sensors), len(beside), len(side)]
        heights = _heights(room, (3, 4, 2, 2), wants)
        rest = list(zip((cases, sensors, beside, side), heights, strict=True))
    for lines, lent in rest:
        if lent:
            yield _fixed(_cut(lines, lent))


def _heights(room: int, *rounds: Sequence[int]) -> list[int]:
    """Return the lines of each block: those in front first, but each up to what one round says before the next one.

    The last round is what they want.
    """
    given = [0] * len(rounds[-1])
    for limits in rounds:
        for at, want in enumerate(rounds[-1]):
            more = min(room, max(0, min(want, limits[at]) - given[at]))
            given[at] += more
            room -= more
    return given


def _cut(lines: Sequence[RenderableType], size: int) -> list[RenderableType]:
    """Return the first lines; the last of them says how many there is no room for."""
    if len(lines) <= size:
        return list(lines)
    if size < 3:  # a heading and one line tell more than how much is missing
        return list(lines[:size])
    return [*lines[: size - 1], _line(f"  … {len(lines) - size + 1} more", "dim")]


def _fixed(lines: Sequence[RenderableType]) -> Layout:
    return Layout(_group(lines), size=len(lines))


def _group(lines: Iterable[RenderableType]) -> Group:
    return Group(*lines)


def _line(text: str, style: str = "") -> Text:
    """Return a line that is never wrapped; whoever wrote it can move no cursor by it."""
    return Text(printable(text), style, no_wrap=True, overflow="ellipsis")


def _row(*cells: tuple[str, str, int | None]) -> Table:
    """Return a line of cells, each a text, a style and a width; a negative one is to the right, None takes the rest."""
    row = Table.grid(expand=True, padding=(0, 1, 0, 0), pad_edge=False)
    for _, _, width in cells:
        justify: JustifyMethod = "right" if width is not None and width < 0 else "left"
        if width is None:
            row.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        else:
            row.add_column(width=abs(width), no_wrap=True, overflow="ellipsis", justify=justify)
    row.add_row(*(_line(text, style) for text, style, _ in cells))
    return row


# -- the blocks ------------------------------------------------------------------------------------------------------


def _title(view: View) -> Text:
    status = view.status
    if status is None:
        return _line("replguard", "bold")
    told = status.overview
    cost = _cost(told) if told is not None else ""
    since = f"{status.started.astimezone():%Y-%m-%d %H:%M}"
    paused = "PAUSED · " if view.paused else ""
    return _line(f"{paused}replguard {status.version} · pid {status.pid} · since {since}{cost}", "bold")


def _watched(status: Status) -> Text:
    return _line(f"protected: {status.protecting}; rules: {status.judging.partition(',')[0]}")


def _cost(told: Overview) -> str:
    memory = sum(part.memory for part in told.parts.values())
    cpu = [part.cpu for part in told.parts.values() if part.cpu is not None]
    return f" · {size(memory)}" + (f" · cpu {100 * sum(cpu):.1f}%" if cpu else "")


def _troubles(view: View) -> list[Text]:
    """Return what is wrong, the worst first, a few lines at the most."""
    found = [_line(view.trouble, "bold red")] if view.trouble is not None else []
    status = view.status
    if status is None:
        return found
    if view.trouble is None and (silent := stale(status, view.now)) is not None:
        found.append(_line(f"It has not told its state for {silent:.0f} s: it may hang.", "bold red"))
    failed = [line.name for line in status.sensors if line.mode == "failed"]
    if failed:
        found.append(_line(f"failed: {', '.join(failed)} (the journal says why)", "red"))
    told = status.overview
    more = [*status.problems]
    if told is not None:
        more += [f"sink {name}: {way.trouble}" for name, way in told.sinks.items() if way.trouble]
        more += [f"log {name}: {stream.trouble}" for name, stream in told.log.items() if stream.trouble]
    found += [_line(problem, "yellow") for problem in more]
    left = len(found) - _PROBLEMS
    return found if left <= 0 else [*found[: _PROBLEMS - 1], _line(f"… {left + 1} more problems: `status`", "yellow")]


def _sensors(view: View, status: Status, told: Overview, width: int) -> list[RenderableType]:
    """Return a line for each sensor that works or ought to, what has failed first; those that are off share one."""
    bars = (max(ROOMY, width // 2) if width >= WIDE else width) - 42
    lines: list[RenderableType] = [_sensor(("sensor", "mode", "per s", "", "cpu", "lost"), "bold")]
    for line in sorted(status.sensors, key=lambda line: line.mode != "failed"):
        if line.mode == "off":
            continue
        flow = told.sensors.get(line.name, Flow(0, 0))
        style = "red" if line.mode == "failed" else "yellow" if flow.lost else ""
        spark = sparkline(view.rates.get(line.name, ()), bars) if bars > 3 else ""
        cpu = "?" if flow.cpu is None else f"{100 * flow.cpu:.1f}%"
        lines.append(_sensor((line.name, line.mode, _number(flow.rate), spark, cpu, _number(flow.lost)), style))
    off = [line.name for line in status.sensors if line.mode == "off"]
    return lines + ([_line(f"off: {', '.join(off)}", "dim")] if off else [])


def _sensor(cells: tuple[str, ...], style: str) -> Table:
    """Return a line of the table of sensors: name, mode, rate, bars, cores, losses."""
    widths = (9, 8, -7, None, -5, -6)
    return _row(
        *((text, style or _BAR if width is None else style, width) for text, width in zip(cells, widths, strict=True))
    )


def _side(told: Overview, now: datetime) -> list[RenderableType]:
    """Return what serves against what may, then where alerts go, the log, and what waits."""
    lines: list[RenderableType] = [_row(("instances", "bold", None), ("live", "bold", -5), ("allowed", "bold", -12))]
    lines += [_served(one) for one in sorted(told.instances, key=lambda one: -one.unauthorised)]
    if not told.instances:
        lines.append(_line("none, and none in the manifest", "dim"))
    for name, way in told.sinks.items():
        style = "red" if way.trouble else "yellow" if way.lost else ""
        worst = ((way.lost, "LOST"), (way.waiting, "waiting"), (way.sent, "sent"))
        counts = ", ".join(f"{count:,} {what}" for count, what in worst if count or what == "sent")
        lines.append(_line(f"sink {name}: {counts}", style))
    for name, stream in told.log.items():
        lost = f", {stream.lost:,} LOST" if stream.lost else ""
        lines.append(_line(f"log {name}: {size(stream.size)}{lost}", "red" if stream.trouble or lost else ""))
    if told.checkpoint is not None:
        lines.append(_line(f"log sealed {ago(now, told.checkpoint)} ago"))
    evicted = sum(told.evicted.values())
    waits = f"waiting: {told.waiting:,} events, {told.examining:,} files"
    lines.append(_line(waits, "yellow" if told.waiting > BEHIND else ""))
    if evicted:
        lines.append(_line(f"forgotten, there was too much: {evicted:,}", "yellow"))
    return lines


def _served(one: Served) -> Table:
    allowed = f"{one.unauthorised} NOT ALLOWED" if one.unauthorised else "baseline" if one.allowed is None else ""
    style = "bold red" if one.unauthorised else ""
    return _row((one.name, style, None), (str(one.live), style, -5), (allowed or str(one.allowed), style, -13))


def _cases(view: View, told: Overview) -> list[RenderableType]:
    if not told.cases:
        return [_line("no open incidents", "bold green")]
    lines: list[RenderableType] = [_line(f"{counted(told.incidents, 'open incident')}", "bold")]
    # The chosen one is always to be seen, whatever there is no room for.
    start = max(0, (view.chosen or 0) - 1)
    for at, case in enumerate(told.cases[start:], start):
        here = at == view.chosen
        style = _STYLES[case.level] + (" reverse" if here else "")
        times = f"×{case.count:,}" if case.count > 1 else ""
        lines.append(
            _row(
                (">" if here else "", style, 1), (case.level, style, 8), (ago(view.now, case.opened), style, -6),
                (times, style, -4), (case.sentence, style, None),
            )
        )  # fmt: skip
    return lines


def _alerts(told: Overview) -> list[RenderableType]:
    lines: list[RenderableType] = [_line("latest alerts" if told.alerts else "no alerts yet", "bold")]
    return lines + [_alert(one) for one in told.alerts]


def _alert(one: Told) -> Table:
    over = one.state == "resolved"
    style = "dim" if over else _STYLES[one.level]
    state = "over" if over else one.level
    return _row((f"{one.at.astimezone():%H:%M:%S}", style, 8), (state, style, 8), (one.sentence, style, None))


def _commands(view: View, width: int) -> list[RenderableType]:
    """Return the commands that contain the chosen incident, whole: they are there to be copied."""
    if view.chosen is None or view.chosen >= len(view.cases):
        return [_line("no incident is chosen", "bold")]
    case = view.cases[view.chosen]
    lines: list[RenderableType] = [
        _line(f"{case.id}: to contain it, `replguard report {case.id}` for all of it", "bold")
    ]
    whole = [_line(part) for each in case.contain for part in chop_cells(printable(each), width)]
    return lines + (whole or [_line("there is no command that would")])


# -- words -----------------------------------------------------------------------------------------------------------


def sparkline(values: Sequence[float], width: int) -> str:
    """Return small bars for the last values, the highest of them full; those that are 0 or unknown stay low."""
    shown = list(values)[-width:]
    top = max(shown, default=0.0)
    if top <= 0:
        return ""
    return "".join(_BARS[round(max(0.0, value) / top * (len(_BARS) - 1))] for value in shown)


def ago(now: datetime, then: datetime) -> str:
    """Return how long ago something was, in the largest unit that fits."""
    seconds = max(0, int((now - then).total_seconds()))
    units: tuple[tuple[str, int], ...] = (("d", 86_400), ("h", 3_600), ("min", 60))
    return next((f"{seconds // each} {unit}" for unit, each in units if seconds >= each), f"{seconds} s")


def size(amount: float | None) -> str:
    """Return bytes in the unit that a person would choose."""
    if amount is None:
        return "?"
    unit = min(3, max(0, int(amount).bit_length() - 1) // 10)
    return f"{amount / 1024**unit:.{0 if unit == 0 else 1}f} {('B', 'KiB', 'MiB', 'GiB')[unit]}"


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:,.0f}"
