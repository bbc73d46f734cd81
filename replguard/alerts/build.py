"""Builds the alert object from a detection: what it copies from the evidence and what it adds."""

from collections.abc import Iterable
from datetime import datetime

import msgspec

from replguard.alerts import allow, contain
from replguard.alerts.sentence import sentence
from replguard.alerts.story import Story, is_about_file
from replguard.events.alert import SEVERITY, Alert, AlertContext, AlertMeta, Detection, Level
from replguard.events.host import Host
from replguard.events.identity import short_hash
from replguard.events.process import Process
from replguard.events.text import shorten

SCHEMA = 1
MOST_EVIDENCE = 200
"""Evidence ids in one alert: a long correlation keeps its first and its last ones."""

MOST_COMMAND = 8 * 2**10
"""Characters of a command line and its arguments in one alert: arguments may have 128 KiB each."""


def alert_id(detection: Detection) -> str:
    """Return the id that live and replay compute alike: from rule, key and first evidence."""
    return short_hash("alert", detection.rule.id, detection.key, detection.events[0].event.id)


def drill(detection: Detection) -> str | None:
    """Return the name of the drill that did all that a detection tells of, None where anybody else did a part."""
    names = {event.replguard.drill if event.replguard is not None else None for event in detection.events}
    return names.pop() if len(names) == 1 else None


def alert(detection: Detection, story: Story, incident: str, level: Level, host: Host | None) -> Alert:
    """Return the firing alert of a detection, at ``level``; the rule's own level is kept where it differs."""
    main, done = story.main, story.completing
    about = next((event.file for event in story.events if is_about_file(event)), None)
    return Alert(
        timestamp=done.timestamp,
        message=(f"Drill {name}: " if (name := drill(detection)) else "")
        + sentence(detection.rule.name, detection.events),
        event=AlertMeta(
            id=alert_id(detection), severity=SEVERITY[level], action=done.action, sequence=done.event.sequence
        ),
        rule=msgspec.structs.replace(detection.rule, level=level),
        replguard=_context(detection, story, incident, level),
        process=_short(main.process),
        file=about or main.file or story.find(lambda event: event.file),
        destination=story.find(lambda event: event.destination),
        server=story.find(lambda event: event.server),
        user=main.user,
        host=host or story.find(lambda event: event.host),
        container=main.container,
        orchestrator=main.orchestrator,
    )


def _context(detection: Detection, story: Story, incident: str, level: Level) -> AlertContext:
    times = [event.timestamp for event in detection.events]
    return AlertContext(
        schema=SCHEMA,
        incident=incident,
        state="firing",
        count=1,
        first_seen=min(times),
        last_seen=max(times),
        actor=story.actor,
        model=story.context(lambda c: c.model),
        technique=story.context(lambda c: c.technique),
        confidence=story.context(lambda c: c.confidence),
        attribution=story.attribution,
        generation=story.context(lambda c: c.generation),
        tier=story.tier,
        degraded=detection.degraded or story.degraded,
        drill=drill(detection),
        evidence=evidence(event.event.id for event in detection.events),
        allow=allow.hint(story),
        contain=contain.commands(story),
        runbook=detection.runbook,
        fact=story.completing.action if story.completing.event.kind == "enrichment" else None,
        origin=story.context(lambda c: c.origin),
        instance=story.context(lambda c: c.instance),
        real_level=detection.rule.level if detection.rule.level != level else None,
        stages=detection.stages,
    )


def _short(process: Process | None) -> Process | None:
    """Return the process with a command line that every way out can carry; the log keeps it whole."""
    if process is None or len(process.command_line or "") + sum(map(len, process.args)) <= MOST_COMMAND:
        return process
    line = process.command_line
    return msgspec.structs.replace(
        process, args=(), args_truncated=True, command_line=shorten(line, MOST_COMMAND) if line else None
    )


def evidence(ids: Iterable[str]) -> tuple[str, ...]:
    """Return ids once each, in order; from the middle of too many some are left out."""
    unique = tuple(dict.fromkeys(each for each in ids if each))
    half = MOST_EVIDENCE // 2
    return unique if len(unique) <= MOST_EVIDENCE else (*unique[:half], *unique[-half:])


def with_latency(alert: Alert, now: datetime) -> Alert:
    """Return the alert with the milliseconds from the act to ``now``; one that is told again keeps none.

    Not part of what replay compares: it needs the clock.
    """
    if alert.replguard.state != "firing" or alert.timestamp > alert.replguard.last_seen:
        return alert
    milliseconds = round((now - alert.timestamp).total_seconds() * 1000, 3)
    return msgspec.structs.replace(
        alert, replguard=msgspec.structs.replace(alert.replguard, latency_ms=max(0.0, milliseconds))
    )
