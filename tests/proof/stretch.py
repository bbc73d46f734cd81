"""Replays a log with its times drawn out: what was told within a minute must be told when it takes half an hour."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import replace
from support import again

from replguard import config as configuration
from replguard.cli.replay import replay
from replguard.events.alert import Alert
from replguard.events.event import Event
from replguard.log import reader
from replguard.log.reader import Fault

Told = set[tuple[str, str, int | None, str | None]]
"""Rule, level, the actor's process and the model of each alert that was raised."""


def difference(log: Path, config: Path, began: float, factor: float) -> str:
    """Return in words how the alerts of a log differ once what followed ``began`` takes ``factor`` times as long."""
    plain = _told(reader.events([log]), config, log)
    long = _told(stretched(reader.events([log]), datetime.fromtimestamp(began, UTC), factor), config, log)
    lacks = [f"lacks {level} {rule}" for rule, level, *_ in sorted(plain - long, key=str)]
    more = [f"more: {level} {rule}" for rule, level, *_ in sorted(long - plain, key=str)]
    return ", ".join(lacks + more)


def stretched(events: Iterable[Event | Fault], began: datetime, factor: float) -> Iterator[Event | Fault]:
    """Yield events with their times drawn out from a moment on."""
    for item in events:
        if isinstance(item, Event) and item.timestamp > began:
            yield replace(item, timestamp=began + (item.timestamp - began) * factor)
        else:
            yield item


def _told(events: Iterable[Event | Fault], config: Path, log: Path) -> Told:
    settings = configuration.load(config)
    header = reader.header([log])
    raised: Told = set()
    for item in replay(events, again.rules_of(settings), settings, header.host if header else None):
        if isinstance(item, Alert):
            actor = item.replguard.actor
            raised.add((item.rule.name, item.rule.level, actor.pid if actor else None, item.replguard.model))
    return raised
