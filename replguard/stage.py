"""What both halves of the way of an event are: a bounded queue, and one thread that carries on what was put."""

import queue
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

import msgspec
import structlog

from replguard.events import clock
from replguard.events.event import Event, Meta
from replguard.events.health import Health, State
from replguard.events.process import KEPT
from replguard.events.text import printable
from replguard.masking.mask import mask

QUEUE = 65_536
"""Events that may wait: half a minute at 2,000 a second, some 100 MiB at the very most."""
HEAVIEST = 32 * 2**20
"""Characters of arguments that may wait besides: a program may be started with 2 MiB of them, many times a second."""
TICK = 1.0
CANARY_EVERY = 30.0

Item = TypeVar("Item")
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Flow:
    """What passed, for metrics and the watchdog: read by their threads, written by the one that carries."""

    steps: int = 0
    failed: Counter[str] = field(default_factory=Counter)


class Stage(Generic[Item]):
    """Takes from any thread, carries on by one. Whatever one item meets, the next is carried on too."""

    def __init__(self) -> None:
        self.flow = Flow()
        self._queue: queue.SimpleQueue[Item] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._held = self._weight = 0

    def put(self, item: Item) -> bool:
        """Take something without waiting; False when there is no room."""
        size, weight = self.size(item), self.weight(item)
        with self._lock:
            if self._held + size > QUEUE or (weight and self._weight + weight > HEAVIEST):
                return False
            self._held += size
            self._weight += weight
        self._queue.put(item)
        return True

    def size(self, item: Item) -> int:  # noqa: ARG002 - one event, unless a stage is put more at a time
        """Return how many events an item is."""
        return 1

    def weight(self, item: Item) -> int:
        """Return the characters of giant arguments in an item, 0 for anything else."""
        return heavy(item) if isinstance(item, Event) else 0

    @property
    def waiting(self) -> int:
        """How many events wait to be carried on."""
        return self._held

    def taken(self, item: Item) -> Item:
        """Make the room of an item free again, which was got from the queue."""
        with self._lock:
            self._held -= self.size(item)
            self._weight -= self.weight(item)
        return item

    def report(self, trouble: Health) -> None:
        """Say something of ourselves: in the diagnostics, and in its place among the events."""
        tell = _log.info if trouble.state in ("started", "recovered") else _log.warning
        tell(f"{trouble.component} {trouble.state}", reason=printable(trouble.reason or ""))
        # Every stage carries on what we say of ourselves.
        self.put(cast("Item", health(trouble.component, trouble.state, trouble.reason, lost=trouble.lost)))

    def guard(self, kind: str, step: Callable[..., None], *given: Any) -> None:
        """Take a step; whatever it meets, the next one is taken too."""
        self.flow.steps += 1
        try:
            step(*given)
        except Exception as error:  # noqa: BLE001 - one hostile event must not end the watch
            if not self.flow.failed[kind]:
                _log.exception("an event could not be carried through", kind=kind)
                trouble = health("pipeline", "loss", f"{kind}: {type(error).__name__}: {error}", lost=1)
                self.put(cast("Item", trouble))  # every stage carries on what we say of ourselves
            self.flow.failed[kind] += 1


def heavy(event: Event) -> int:
    """Return the characters of a giant argv, 0 for anything else."""
    process = event.process
    length = 0 if process is None else len(process.command_line or "")
    return 2 * length if length > KEPT else 0


def kind_of(item: object) -> str:
    """Return what an item is called in counters and diagnostics."""
    return item.action if isinstance(item, Event) else type(item).__name__.lower()


def spoken(event: Event) -> Event:
    """Return an event about ourselves with no credential in its reason, which quotes errors of others."""
    told = event.health
    reason = mask(told.reason) if told is not None and told.reason is not None else None
    if told is None or reason is told.reason:
        return event
    return msgspec.structs.replace(event, health=msgspec.structs.replace(told, reason=reason))


def health(component: str, state: State, reason: str | None = None, *, lost: int | None = None) -> Event:
    """Return an event about ourselves."""
    return Event(
        timestamp=clock.now(),
        event=Meta(action="sensor_health", provider="replguard"),
        health=Health(component=component, state=state, reason=reason, lost=lost),
    )
