"""The ways out. A sink is one module here, named as its configuration key, with ``Settings`` and ``open``."""

import importlib
import pkgutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, cast

from replguard import yamlfile
from replguard.config import dec_hook
from replguard.errors import Problem
from replguard.events import clock
from replguard.events.alert import LEVELS, Alert, Level
from replguard.events.evidence import Kept
from replguard.events.health import Health
from replguard.sinks.base import Common, Sink
from replguard.sinks.outlet import Outlet

_PARTS = frozenset({"base", "http", "outlet", "secret", "template"})
"""Modules here that are no sinks."""


class _Module(Protocol):
    Settings: type[Common]

    def open(self, settings: Common) -> Sequence[Sink]: ...


def names() -> list[str]:
    """Return the names of all sinks that there are."""
    return sorted(each.name for each in pkgutil.iter_modules(__path__) if each.name not in _PARTS)


def validate(configured: Mapping[str, Any]) -> list[str]:
    """Return a sentence for every fault in the ``sinks`` section of the configuration."""
    faults: list[str] = []
    for name, given in configured.items():
        made, _, wrong = _make(name, given)
        faults += wrong
        for sink in made:
            try:
                sink.check()
            except ValueError as error:
                faults.append(f"sinks.{name}: {error}")
            sink.close()
    return faults


class Sinks:
    """All configured sinks. One that cannot be made is told to ``report`` at the start, the others go on."""

    def __init__(self, configured: Mapping[str, Any], report: Callable[[Health], None]) -> None:
        self._report = report
        self._faults: dict[str, list[str]] = {}
        self._outlets: list[Outlet] = []
        for name, given in configured.items():
            made, least, faults = _make(name, given)
            self._outlets += [Outlet(name, sink, report, least) for sink in made]
            if faults:
                self._faults[name] = faults

    def start(self) -> None:
        """Start a thread for each sink."""
        for name, faults in self._faults.items():
            self._report(Health(component=f"sink.{name}", state="failed", reason="; ".join(faults)))
        for outlet in self._outlets:
            outlet.start()

    def deliver(self, alert: Alert) -> None:
        """Hand an alert to every sink; never blocks. Alerts are immutable: what one sink gets no other can change."""
        for outlet in self._outlets:
            outlet.deliver(alert)

    def remind(self, alerts: Iterable[Alert]) -> None:
        """Hand what was told before a start to the sinks that go on telling it."""
        for alert in alerts:
            for outlet in self._outlets:
                outlet.remind(alert)

    def keep(self, checkpoint: Kept) -> None:
        """Offer a checkpoint of the log to every sink that takes them; never blocks."""
        for outlet in self._outlets:
            outlet.keep(checkpoint)

    def stop(self, timeout: float) -> None:
        """Send what is waiting, for at most ``timeout`` seconds over all sinks; the rest is counted as dropped."""
        deadline = clock.monotonic() + timeout
        for outlet in self._outlets:
            outlet.ask_to_stop()
        for outlet in self._outlets:
            outlet.join(deadline)

    def health(self) -> dict[str, str | None]:
        """Return for each sink why it does not work at the moment, None when it does."""
        told: dict[str, str | None] = {name: "; ".join(faults) for name, faults in self._faults.items()}
        for outlet in self._outlets:
            told[outlet.name] = told.get(outlet.name) or outlet.trouble
        return told

    def delivered(self) -> dict[str, int]:
        """Return how many alerts each sink has sent."""
        counts: Counter[str] = Counter()
        for outlet in self._outlets:
            counts[outlet.name] += outlet.delivered
        return dict(counts)

    def dropped(self) -> dict[tuple[str, str], int]:
        """Return how many alerts each sink has lost, by reason; known reasons are present at 0."""
        counts: Counter[tuple[str, str]] = Counter()
        for outlet in self._outlets:
            for reason in ("full", "rejected", "error", "stopped"):
                counts[outlet.name, reason] += outlet.dropped[reason]
        return dict(counts)

    def waiting(self) -> dict[str, int]:
        """Return how many alerts wait for each sink."""
        counts: Counter[str] = Counter()
        for outlet in self._outlets:
            counts[outlet.name] += outlet.waiting()
        return dict(counts)


def _make(name: str, given: Any) -> tuple[Sequence[Sink], Level, list[str]]:
    """Return the sinks of one entry and the least level for them, or what is wrong with it."""
    known = names()
    if name not in known:
        return (), LEVELS[0], [f"sinks: {yamlfile.unknown_key(name, known)}"]
    module = cast("_Module", importlib.import_module(f"{__name__}.{name}"))
    problems: list[Problem] = []
    document = yamlfile.Document("", {} if given is None else given)
    settings = yamlfile.convert(document, module.Settings, problems, dec_hook=dec_hook)
    if settings is None:
        return (), LEVELS[0], [f"sinks.{name}: {problem.text}" for problem in problems]
    try:
        return module.open(settings), settings.min_level, []
    except ValueError as error:
        return (), LEVELS[0], [f"sinks.{name}: {error}"]
