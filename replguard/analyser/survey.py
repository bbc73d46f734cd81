"""How things stand in detail: what `status` and `top` show of the running daemon, made every few seconds."""

import contextlib
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path

from replguard.alerts.incidents import Incident
from replguard.analyser.judge import Judge
from replguard.events.alert import LEVELS, Alert, Level
from replguard.events.overview import Case, Flow, Overview, Part, Served, Stream, Told, Way
from replguard.events.text import show
from replguard.log import names
from replguard.metrics.table import Sheet

CASES = 50
"""Open incidents that are told one by one; of more, the gravest and latest."""
COMMANDS = 4
"""Commands to contain that are told of an incident: the most precise ones."""
WEIGHED = 60.0
"""Seconds after which the files of the log are weighed again: there may be thousands."""
_SENTENCE = 300
"""Characters of a sentence; of what has a name, fewer."""


class Survey:
    """Makes the overview from the numbers of the metrics page and what the page must not say: names and sentences.

    Rates are over the time since the look before.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._weights: dict[str, int | None] = {}
        self._weighed: datetime | None = None
        self._before: dict[tuple[str, ...], float] = {}
        self._at: datetime | None = None

    def look(self, now: datetime, sheet: Sheet, allowed: Mapping[str, int], judge: Judge) -> Overview:
        """Return how things stand."""
        rate = self._rates(sheet, now)
        cases = sorted(judge.detector.alerts.open, key=lambda each: (-LEVELS.index(each.level), -each.last.timestamp()))
        sealed = sheet.value("checkpoint_timestamp_seconds")
        return Overview(
            sensors=_sensors(sheet, rate),
            instances=tuple(_instances(sheet, allowed)),
            firing={level: int(sheet.value("alerts_firing", level) or 0) for level in LEVELS},
            incidents=len(cases),
            cases=tuple(case for each in cases[:CASES] if (case := _case(each)) is not None),
            alerts=tuple(_told(alert) for alert in reversed(list(judge.flow.alerts))),
            sinks=_sinks(sheet, judge.sinks.health()),
            log=self._log(sheet, now, {"evidence": judge.evidence.trouble, "raw": judge.raw.trouble}),
            parts={
                part: Part(int(memory), rate("cpu_seconds_total", part))
                for (part,), memory in sheet.of("resident_memory_bytes").items()
            },
            waiting=int(sheet.value("pipeline_queue_length") or 0),
            examining=int(sheet.value("examiner_pending") or 0),
            evicted={part: int(count) for (part,), count in sheet.of("evictions_total").items() if count},
            checkpoint=datetime.fromtimestamp(sealed, now.tzinfo) if sealed is not None else None,
        )

    def _rates(self, sheet: Sheet, now: datetime) -> Callable[..., float | None]:
        """Return a function that tells what a counter gained in a second, None where that is not known."""
        counters = ("events_total", "sensor_cpu_seconds_total", "cpu_seconds_total")
        after = {(name, *labels): value for name in counters for labels, value in sheet.of(name).items()}
        before, seconds = self._before, (now - self._at).total_seconds() if self._at is not None else 0.0
        self._before, self._at = after, now

        def rate(*name: str) -> float | None:
            keys = [key for key in after if key[: len(name)] == name]
            if seconds <= 0 or not keys or not all(key in before for key in keys):
                return None
            return max(0.0, sum(after[key] - before[key] for key in keys) / seconds)

        return rate

    def _log(self, sheet: Sheet, now: datetime, troubles: Mapping[str, str | None]) -> dict[str, Stream]:
        nothing = not all(self._weights.values())  # soon after the start; to weigh it costs nothing
        if self._weighed is None or nothing or not 0 <= (now - self._weighed).total_seconds() < WEIGHED:
            self._weighed = now
            self._weights = {stream: _weigh(self._folder, stream) for stream in troubles}
        lost = sheet.of("log_dropped_total")
        return {
            stream: Stream(
                size,
                int(sum(count for (name, _), count in lost.items() if name == stream)),
                _maybe(troubles[stream]),
            )
            for stream, size in self._weights.items()
        }


def _weigh(folder: Path, stream: str) -> int | None:
    """Return the bytes of a stream, None where its folder cannot be listed."""
    total = 0
    try:
        for segment in names.segments(folder, stream):
            with contextlib.suppress(FileNotFoundError):  # it was packed or removed just now
                total += segment.path.stat().st_size
    except OSError:
        return None
    return total


def _sensors(sheet: Sheet, rate: Callable[..., float | None]) -> dict[str, Flow]:
    found: dict[str, Flow] = {}
    counts = sheet.of("events_total")
    for name in sorted({name for name, _ in counts}):
        events = sum(count for (sensor, _), count in counts.items() if sensor == name)
        found[name] = Flow(
            int(events),
            int(counts.get((name, "dropped"), 0)),
            rate("events_total", name),
            rate("sensor_cpu_seconds_total", name),
        )
    return found


def _instances(sheet: Sheet, allowed: Mapping[str, int]) -> Iterable[Served]:
    """Yield what is allowed, whether it runs or not, then what else serves."""
    live = sheet.of("instances")
    for name in (*allowed, *sorted({name for name, _ in live} - allowed.keys())):
        fine, wrong = (int(live.get((name, authorised), 0)) for authorised in ("true", "false"))
        yield Served(show(name), allowed.get(name), fine + wrong, wrong)


def _case(incident: Incident) -> Case | None:
    """Return an incident, None for one whose alerts were all resolved or folded away."""
    alerts = list(incident.alerts.values())
    if not alerts:
        return None
    gravest = max(alerts, key=lambda alert: (LEVELS.index(_level(alert)), alert.timestamp))
    actor = gravest.replguard.actor
    return Case(
        id=incident.id,
        level=incident.level,
        sentence=show(gravest.message, _SENTENCE),
        actor=show(actor.name or actor.id) if actor is not None else None,
        opened=incident.opened,
        last=incident.last,
        count=sum(alert.replguard.count for alert in alerts),
        contain=gravest.replguard.contain[:COMMANDS],
    )


def _level(alert: Alert) -> Level:
    return alert.replguard.real_level or alert.rule.level


def _told(alert: Alert) -> Told:
    about = alert.replguard
    return Told(
        at=alert.timestamp,
        level=alert.rule.level,
        state=about.state,
        incident=about.incident,
        sentence=show(alert.message, _SENTENCE),
    )


def _sinks(sheet: Sheet, troubles: Mapping[str, str | None]) -> dict[str, Way]:
    lost = sheet.of("sink_dropped_total")
    return {
        name: Way(
            int(sheet.value("sink_delivered_total", name) or 0),
            int(sheet.value("sink_queue_length", name) or 0),
            int(sum(count for (sink, _), count in lost.items() if sink == name)),
            _maybe(troubles.get(name)),
        )
        for (name,) in sheet.of("sink_up")
    }


def _maybe(text: str | None) -> str | None:
    return None if text is None else show(text)
