"""What every sensor is: a name, how well it works here and why not better, what it cannot see, and its counts."""

import os
import select
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from replguard.events import clock
from replguard.events.event import Event, Meta
from replguard.events.fact import Context, Tier
from replguard.events.health import Health, State
from replguard.events.hint import Hint
from replguard.events.standing import LIMITED
from replguard.kernel import procfs
from replguard.sensors.files.verdicts import Verdicts

PORTABLE = Context(tier="portable")
AT_ONCE = datetime.max.replace(tzinfo=UTC)
"""The promise of a sensor whose events bear the time at which it found them: there is nothing earlier to come."""
WENT_ON = "what the kernel kept while nobody read is read now."
Drives = Callable[[int], bool | None]
"""Tells of a pid whether a model may drive the process, None where that is not known yet, or no more."""


def rights(root: str = procfs.PROC) -> str | None:
    """Return what we may not see for lack of rights, as a sentence; None if we may see everyone's descriptors."""
    if os.access(f"{root}/1/fd", os.R_OK | os.X_OK):
        return None
    return LIMITED


@dataclass(slots=True)
class Counters:
    """What became of everything that reached a sensor: received = evaluated + filtered + Σ dropped.

    ``dropped`` is keyed by (stage, reason). ``cpu_seconds`` is what its thread used, ``kernel_seconds`` what its
    programs in the kernel did, as far as that is measured.
    """

    received: int = 0
    evaluated: int = 0
    filtered: int = 0
    dropped: Counter[tuple[str, str]] = field(default_factory=Counter)
    cpu_seconds: float = 0.0
    kernel_seconds: float = 0.0

    def passed(self) -> None:
        """Count one that went on to the rules."""
        self.received += 1
        self.evaluated += 1

    def skip(self, count: int = 1) -> None:
        """Count what no rule can need."""
        self.received += count
        self.filtered += count

    def lose(self, stage: str, reason: str, count: int = 1) -> None:
        """Count what was lost, and where."""
        self.received += count
        self.dropped[stage, reason] += count


class Sensor(ABC):
    """One source of events. The runner calls it from one thread of its own; only ``watch`` comes from another.

    ``why`` says in a sentence why it does not work better here (None: nothing better on this tier), ``blind`` what it
    cannot see, ``fallen`` why the kernel tier does not do its work, where it should. ``early`` sensors finish their
    first look before the others start: they know who acts. ``makes`` are the kinds of events that only the kernel tier
    makes. ``instead`` opens what takes its place, given the reason, should it fail for good. Everything that happened
    before ``told_until`` (UTC) was delivered; None for one that has no such promise. ``heard`` is when it last noticed
    something that this process did itself (monotonic): None until then, and for one that cannot tell.
    ``verdicts`` say which mounts it watches, if any. ``went_on`` says in a sentence that the kernel collected
    for it while nobody read, None if it began anew.
    """

    name: str
    area: str
    mode: Tier = "portable"
    why: str | None = None
    blind: str | None = None
    fallen: str | None = None
    early = False
    instead: "Callable[[str], list[Sensor]] | None" = None
    makes: frozenset[str] = frozenset()
    told_until: datetime | None = None
    heard: float | None = None
    verdicts: Verdicts | None = None
    went_on: str | None = None

    def __init__(self) -> None:
        self.counters = Counters()
        self.because(None)

    def because(self, sentence: str | None) -> None:
        """Add a reason of this host to those of the tier; None for only what our rights add."""
        self.why = " ".join(part for part in (type(self).why, rights(), sentence) if part) or None

    def start(self) -> None:  # noqa: B027 - most sensors need nothing
        """Take what is needed. Raises Unavailable or OSError; the runner tries again later."""

    def stop(self) -> None:  # noqa: B027
        """Give everything back; also after a start that failed half way."""

    def watch(self, hint: Hint) -> None:  # noqa: B027
        """Take note of what provenance wants watched; called from another thread."""

    def quiet(self) -> bool:
        """Whether nothing that has happened waits to be told, but for what is being told now; called from anywhere."""
        return False

    def counts(self, device: int, inode: int) -> bool:  # noqa: ARG002 - most sensors count nothing
        """Whether this sensor adds up every read of a file; called from another thread."""
        return False

    def choose(  # noqa: B027
        self, wanted: Callable[[str], bool], worth: Callable[[int], bool], drives: Drives | None = None
    ) -> None:
        """Take note, before the start, of which files somebody asks for: by their path, or by their size in bytes.

        ``drives`` tells of a pid whether a model may drive the process, as far as it is known: what that writes may be
        run later.
        """

    def place(self, device: int, inode: int) -> tuple[str, bytes] | None:  # noqa: ARG002 - most sensors know none
        """Return a folder of a file's filesystem, and its handle, if this sensor knows; called from another thread."""
        return None

    def event(self, action: str, when: datetime, *, kind: str = "event", **sections: Any) -> Event:
        """Return an event of ours, on this tier."""
        sections.setdefault("replguard", PORTABLE)
        return Event(timestamp=when, event=Meta(action=action, kind=kind, provider=self.name), **sections)

    def health(
        self, state: State, reason: str | None = None, *, stage: str | None = None, lost: int | None = None
    ) -> Event:
        """Return an event about the sensor itself."""
        health = Health(component=self.name, state=state, mode=self.mode, reason=reason, stage=stage, lost=lost)
        return self.event("sensor_health", clock.now(), health=health)


class Timed(Sensor):
    """A sensor that looks every ``period`` seconds. Its first poll tells what is there already, as kind "state"."""

    period: float

    @abstractmethod
    def poll(self) -> Iterable[Event]:
        """Look once."""


class Readable(Sensor):
    """A sensor whose descriptor becomes readable when there is something to read.

    ``tick`` is called about every ``period`` seconds besides, for what no descriptor announces, and after a hint.
    ``gather`` are the seconds that are waited once something can be read: what comes together is read together.
    ``pressing`` are kinds of events for which nobody waits: a sensor that has any gathers only after it has read, and
    when it tells one all others read at once, for what happened before.
    """

    period: float = 0.5
    gather: float = 0.0
    pressing: frozenset[str] = frozenset()

    def descriptors(self) -> list[tuple[int, int]]:
        """Return what to wait on, each with the events of poll(2)."""
        return [(self.fileno(), select.POLLIN)]

    @abstractmethod
    def fileno(self) -> int:
        """Return the descriptor to wait on; valid between start and stop."""

    @abstractmethod
    def read(self) -> Iterable[Event]:
        """Read what is there, without waiting."""

    def tick(self) -> Iterable[Event]:
        """Look after what time changes."""
        return ()
