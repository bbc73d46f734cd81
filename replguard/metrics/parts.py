"""Fills a sheet from the parts of the daemon, known only by what they count: no part is imported here."""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import psutil

from replguard.events.alert import LEVELS
from replguard.metrics.table import Sheet


class SensorCounters(Protocol):
    """What a sensor counts."""

    received: int
    evaluated: int
    filtered: int
    dropped: Any
    cpu_seconds: float
    kernel_seconds: float


class Sensor(Protocol):
    """A sensor, as far as its numbers go."""

    name: str
    mode: Any
    counters: Any


class Absent(Protocol):
    """A sensor that cannot work here, as far as its numbers go."""

    @property
    def name(self) -> str: ...
    @property
    def tier(self) -> Any: ...


class Rule(Protocol):
    """A rule, as far as its numbers go."""

    @property
    def name(self) -> str: ...
    @property
    def level(self) -> str: ...


class Alerts(Protocol):
    """The alerts' manager, as far as its numbers go."""

    raised: Any
    suppressed: Any
    evicted: Any

    def firing(self) -> Mapping[Any, int]: ...
    def incidents(self) -> Mapping[Any, int]: ...


class Verdict(Protocol):
    """What is said of a mount, as far as its numbers go."""

    @property
    def fstype(self) -> str: ...
    @property
    def reason(self) -> str | None: ...
    @property
    def own(self) -> bool: ...


class Sinks(Protocol):
    """The sinks, as far as their numbers go."""

    def health(self) -> Mapping[str, str | None]: ...
    def delivered(self) -> Mapping[str, int]: ...
    def dropped(self) -> Mapping[tuple[str, str], int]: ...
    def waiting(self) -> Mapping[str, int]: ...


class Stream(Protocol):
    """A stream of the log, as far as its numbers go."""

    written: int
    dropped: Any

    @property
    def trouble(self) -> str | None: ...
    @property
    def waiting(self) -> int: ...
    @property
    def sync_seconds(self) -> float: ...


def sensors(sheet: Sheet, found: Iterable[Sensor], is_up: Callable[[str], bool], absent: Iterable[Absent] = ()) -> None:
    """Tell of every sensor whether it is up and what became of what reached it.

    Of the ``absent`` only those of the kernel tier are told, as down: for each a portable one stands in.
    """
    for one in absent:
        if one.tier == "kernel":
            sheet.set("sensor_up", 0, one.name, one.tier)
    for sensor in found:
        counters: SensorCounters = sensor.counters
        sheet.set("sensor_up", is_up(sensor.name), sensor.name, sensor.mode)
        lost = dict(counters.dropped)
        for outcome, count in (
            ("evaluated", counters.evaluated),
            ("filtered", counters.filtered),
            ("dropped", sum(lost.values())),
        ):
            sheet.set("events_total", count, sensor.name, outcome)
        for (stage, reason), count in lost.items():
            sheet.set("events_dropped_total", count, sensor.name, stage, reason)
        sheet.set("sensor_cpu_seconds_total", counters.cpu_seconds + counters.kernel_seconds, sensor.name)


def rules(sheet: Sheet, found: Iterable[Rule], matches: Mapping[str, int], sha256: str, not_evaluable: int) -> None:
    """Tell of every rule how often it matched, from 0; also how many alerts, so that a rate is known from load."""
    for rule in found:
        sheet.set("rule_matches_total", matches.get(rule.name, 0), rule.name)
        sheet.set("alerts_total", 0, rule.name, rule.level)
    sheet.set("rules_info", 1, sha256)
    sheet.set("rules_not_evaluable", not_evaluable)


def alerts(sheet: Sheet, manager: Alerts) -> None:
    """Tell what was raised and what is firing; after ``rules``, whose zeros it fills."""
    for (rule, level), count in dict(manager.raised).items():
        sheet.set("alerts_total", count, rule, level)
    firing, incidents = manager.firing(), manager.incidents()
    for each in LEVELS:
        sheet.set("alerts_firing", firing.get(each, 0), each)
        sheet.set("incidents_open", incidents.get(each, 0), each)
    for reason in ("level", "rate"):
        sheet.set("alerts_suppressed_total", manager.suppressed[reason], reason)
    for part, count in dict(manager.evicted).items():
        sheet.set("evictions_total", count, part)


def sinks(sheet: Sheet, found: Sinks) -> None:
    """Tell of every sink whether it works, what it sent and lost."""
    for name, trouble in found.health().items():
        sheet.set("sink_up", trouble is None, name)
    for name, count in found.delivered().items():
        sheet.set("sink_delivered_total", count, name)
    for (name, reason), count in found.dropped().items():
        sheet.set("sink_dropped_total", count, name, reason)
    for name, count in found.waiting().items():
        sheet.set("sink_queue_length", count, name)


def log(sheet: Sheet, streams: Mapping[str, Stream]) -> None:
    """Tell of every stream of the log what it wrote, lost and holds back, and how slow its disk is."""
    for name, stream in streams.items():
        sheet.set("log_up", stream.trouble is None, name)
        sheet.set("log_records_total", stream.written, name)
        for reason in ("backlog", "encoding", "long"):
            sheet.set("log_dropped_total", stream.dropped[reason], name, reason)
        sheet.set("log_waiting_bytes", stream.waiting, name)
        sheet.set("log_sync_seconds", stream.sync_seconds, name)


def mounts(sheet: Sheet, told: Iterable[Verdict], unwatched: Mapping[tuple[str, str], int]) -> None:
    """Tell which mounts are watched, and how many protected files lie on those that are not."""
    found = Counter((one.reason, one.fstype, one.own) for one in told)
    for (reason, kind, own), count in found.items():
        watched, space = str(reason is None).lower(), "own" if own else "other"
        sheet.set("mounts", count, watched, kind, reason or "", space)
    for labels, count in unwatched.items():
        sheet.set("weights_unwatched_files", count, *labels)


def cost(sheet: Sheet, processes: Mapping[str, int | None]) -> None:
    """Tell what each of our processes takes, by its pid; one that is not there, or just went, takes nothing."""
    for part, pid in processes.items():
        if pid is None:
            continue
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            used = process.cpu_times()
            sheet.set("cpu_seconds_total", used.user + used.system, part)
            sheet.set("resident_memory_bytes", process.memory_info().rss, part)
