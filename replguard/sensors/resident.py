"""Who has read watched weights into memory of its own: a server that maps nothing and has closed its files.

Whoever was seen to open a watched file for reading is looked at until its private memory could hold half of it.
What it cannot see: whether that memory holds the weights or something else of that size; memory that is shared or on a
device; a process whose open nobody saw.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass

import psutil

from replguard.config import Config
from replguard.events import clock
from replguard.events.event import Event
from replguard.events.fact import Context
from replguard.events.file import File
from replguard.events.hint import Hint
from replguard.events.process import Process
from replguard.sensors.base import Timed

AREA = "file"
SHARE = 0.5
"""Part of a file that must be read for it to count as held (meanings: Holds)."""
OFTEN, SELDOM = 0.5, 4.0
"""Seconds between looks at a reader, at first and later on."""
PATIENCE = 3600.0
"""Seconds that a reader is looked at: the largest models load for many minutes."""
MOST = 4096
HELD = Context(tier="portable", attribution="lineage", mode="memory", read_time=True)

Key = tuple[str, int, int]


@dataclass(slots=True)
class _Reader:
    hint: Hint
    since: float
    due: float


class ResidentSensor(Timed):
    """Makes file_map, mode memory, once for a process and a file."""

    name = "resident"
    area = AREA
    period = OFTEN
    blind = "whether a reader's private memory holds the weights or something else of their size."

    def __init__(self) -> None:
        super().__init__()
        self._hints: deque[Hint] = deque(maxlen=MOST)
        self._readers: OrderedDict[Key, _Reader] = OrderedDict()

    def watch(self, hint: Hint) -> None:
        if hint.kind == "reader" and hint.pid is not None and hint.size:
            self._hints.append(hint)

    def poll(self) -> Iterable[Event]:
        now = clock.monotonic()
        while self._hints:
            hint = self._hints.popleft()
            key = (hint.entity_id or "", hint.device or 0, hint.inode or 0)
            self._readers.setdefault(key, _Reader(hint, now, now))
        while len(self._readers) > MOST:
            self._readers.popitem(last=False)
            self.counters.lose("watch", "too many readers")
        for key, reader in list(self._readers.items()):
            if now < reader.due:
                continue
            age = now - reader.since
            reader.due = now + min(SELDOM, max(OFTEN, age / 10))
            private = _private(reader.hint)
            if private is None or age > PATIENCE:
                del self._readers[key]
            elif private >= SHARE * (reader.hint.size or 0):
                del self._readers[key]
                yield self._holds(reader.hint)

    def _holds(self, hint: Hint) -> Event:
        path = hint.path or ""
        return self.event(
            "file_map",
            clock.now(),
            process=Process(pid=hint.pid, entity_id=hint.entity_id),
            file=File(
                path=path,
                name=path.rpartition("/")[2],
                device=hint.device,
                inode=hint.inode,
                size=hint.size,
                type="file",
            ),
            replguard=HELD,
        )


def _private(hint: Hint) -> int | None:
    """Return the bytes that a process does not share, None when it is gone or its pid is another's now."""
    try:
        process = psutil.Process(hint.pid)
        memory = process.memory_info()
        if not process.is_running():
            return None
    except psutil.Error:
        return None
    return int(memory.rss - memory.shared)


def open(config: Config) -> ResidentSensor:  # noqa: A001, ARG001 - the registry calls every sensor module alike
    """Return the sensor."""
    return ResidentSensor()
