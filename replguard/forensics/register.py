"""Which incidents the evidence holds, and which one somebody means."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec

from replguard.errors import ReplguardError
from replguard.events import wire
from replguard.events.alert import LEVELS, Level
from replguard.events.clock import Time
from replguard.events.text import show
from replguard.log import names, reader
from replguard.log.names import Segment
from replguard.log.reader import Fault, Torn

STREAM = "evidence"
MOST = 10_000
"""Incidents that are remembered while the log is read, the newest ones: some 20 MiB."""
MOST_ALERTS = 1_000
"""Alerts of one incident whose state and id are remembered for the list."""
SUGGESTED = 5
ALERT = b'"kind":"alert"'


_Name = Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Za-z][0-9A-Za-z_-]{0,63}$")]
"""An id as it is made here: it becomes the name of a file, and part of a command to paste."""


class _Id(msgspec.Struct):
    id: _Name


class _Rule(msgspec.Struct):
    level: Level


class _About(msgspec.Struct):
    incident: _Name
    state: str
    first_seen: Time
    last_seen: Time


class _Brief(msgspec.Struct):
    """As much of an alert as a list needs."""

    message: str
    event: _Id
    rule: _Rule
    replguard: _About


@dataclass(slots=True)
class Summary:
    """An incident in a line. ``alerts`` maps ids to their last state, ``message`` is that of the worst one."""

    id: str
    first: datetime
    last: datetime
    level: Level
    message: str
    alerts: dict[str, str] = field(default_factory=dict)

    @property
    def is_firing(self) -> bool:
        """Whether an alert was never resolved, as far as the log says."""
        return "firing" in self.alerts.values()


@dataclass(frozen=True, slots=True)
class Line:
    """A record of the evidence: the number of its segment, its line in there (1-based), its bytes."""

    segment: int
    line: int
    data: bytes


def picked(folder: Path, is_wanted: Callable[[bytes], bool]) -> Iterator[Line | Fault]:
    """Yield the records of the evidence that are wanted by their bytes, in order, and what is missing or damaged.

    Raises OSError.
    """
    segments = names.one_of_each(names.segments(folder, STREAM))
    yield from _gaps(folder, segments)
    for segment in segments:
        for found in reader.lines(names.there(segment).path):
            if isinstance(found, Fault):
                yield found
                continue
            for number, line in enumerate(found[1], found[0]):
                if line is None or isinstance(line, Torn):  # half a record, or one that was hung on: nothing seals it
                    continue
                if is_wanted(line) and not line.startswith(reader.BEGINNING):
                    yield Line(segment.number, number, line)


def _gaps(folder: Path, segments: list[Segment]) -> Iterator[Fault]:
    """Yield which segments are missing: between others, and of those that the newest one tells to be kept."""
    newest = reader.header([segments[-1].path]) if segments else None
    oldest = newest.oldest if newest is not None and newest.key is not None else segments[0].number if segments else 0
    for before, segment in zip([oldest - 1, *(each.number for each in segments)], segments, strict=False):
        if segment.number > before + 1:
            told = (
                f"segment {before + 1} is"
                if segment.number == before + 2
                else (f"segments {before + 1} to {segment.number - 1} are")
            )
            yield Fault(folder, 0, f"{STREAM} {told} missing")


def incidents(folder: Path, faults: list[Fault]) -> list[Summary]:
    """Return the incidents of a log, the one with the newest alert last. What is damaged is added to ``faults``.

    Raises OSError.
    """
    decode = msgspec.json.Decoder(_Brief).decode
    found: OrderedDict[str, Summary] = OrderedDict()
    for line in picked(folder, lambda line: ALERT in line):
        if isinstance(line, Fault):
            faults.append(line)
            continue
        try:
            _note(found, decode(line.data))
        except wire.UNREADABLE:
            continue
        if len(found) > MOST:
            found.popitem(last=False)
    return list(found.values())


def meant(known: list[Summary], given: str) -> tuple[str, str | None]:
    """Return the incident that an id or the beginning of one names, and its alert where it is an alert's.

    Raises ReplguardError where there is none, or more than one.
    """
    ids = {each.id: (each.id, None) for each in known} | {a: (each.id, a) for each in known for a in each.alerts}
    if given in ids:
        return ids[given]
    fits = [id_ for id_ in ids if id_.startswith(given)] if given else []
    if len(fits) == 1:
        return ids[fits[0]]
    if fits:
        raise ReplguardError(f"several ids begin with {show(given, 40)}: {', '.join(map(show, fits[:SUGGESTED]))}")
    newest = ", ".join(f"{show(each.id, 40)} ({each.level})" for each in known[: -SUGGESTED - 1 : -1])
    if not newest:
        raise ReplguardError("the evidence of this log holds no alert: name the folder of another by --log")
    raise ReplguardError(
        f"no alert or incident begins with {show(given, 40)}. The newest incidents: {newest}; `replguard report` lists"
        " them, and `--log` names another log"
    )


def _note(found: OrderedDict[str, Summary], brief: _Brief) -> None:
    about, level = brief.replguard, brief.rule.level
    one = found.get(about.incident)
    if one is None:
        one = found[about.incident] = Summary(about.incident, about.first_seen, about.last_seen, level, brief.message)
    found.move_to_end(about.incident)
    one.first, one.last = min(one.first, about.first_seen), max(one.last, about.last_seen)
    if LEVELS.index(level) >= LEVELS.index(one.level):
        one.level, one.message = level, brief.message
    if brief.event.id in one.alerts or len(one.alerts) < MOST_ALERTS:
        one.alerts[brief.event.id] = about.state
