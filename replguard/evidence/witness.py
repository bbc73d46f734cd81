"""Takes down who the acting processes of an alert are, while they are still there. Whoever asks never waits.

Each process is looked at by a thread of its own. One that hangs, at a file whose server is the attacker's, is given up
after a second with what it found by then; of such threads there are a few at the most, and then no further looks until
one of them returns.
"""

import queue
import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog
from msgspec.structs import replace

from replguard.events import clock, wire
from replguard.events.alert import LEVELS, Alert, Level
from replguard.events.event import Meta
from replguard.events.evidence import SNAPSHOT, STATE, Snapshot, Taken
from replguard.events.health import Health
from replguard.events.host import Container
from replguard.events.identity import TICK, entity_ids, short_hash
from replguard.events.process import Process, User
from replguard.evidence.image import shown
from replguard.evidence.snapshot import Look, fit, lean
from replguard.kernel import containers, machine, procfs, userns
from replguard.kernel.procfs import PROC

WAITING = 256
"""Alerts that may wait to be looked into."""
PER_ALERT, PER_MINUTE = 16, 60
"""Processes of one alert, and looks in a minute: one costs 1 to 3 ms of CPU time, of a giant up to 150."""
LONGEST = 1.0
"""Seconds after which a look is given up."""
LOST = 8
"""Threads that may hang at a time."""
LOST_OF_ONE = 2
"""Those of them that may hang at processes of one user: nobody blinds us to what the others do."""
BURST, REFILL = 8 * 2**20, 2**20 / 60
"""Bytes of whole records that may come at once, and those that are added each second."""
LEAN = 16 * 2**10
"""Bytes of a record beyond them: 60 in a minute are less than 1 MiB."""
REASONS = ("queue", "per_alert", "per_minute", "hanging", "gone", "full", "failed")
"""Why something was not looked at, or not kept (see `Witness`)."""
_REMEMBERED = 8192
_LATE = timedelta(seconds=1)
"""A process that began later than this after an alert did not act in it, but has the pid of one that did."""

_log = structlog.get_logger(__name__)


class Acting(NamedTuple):
    """A process that acted. ``entity`` is its id, ``""`` where the alert has but its pid."""

    pid: int
    entity: str = ""


class Witness:
    """Looks at the acting processes of alerts from a level on, once for each incident.

    ``tell`` is given each record, by a thread of ours, and says whether it was taken; ``report`` our own trouble.
    ``taken`` counts records. ``dropped`` counts by reason: alerts that could not wait (``queue``), and processes beyond
    a limit (``per_alert``, ``per_minute``), while too many looks, or too many at one user's processes, hang
    (``hanging``), of which nothing is known but a pid that another one has by now (``gone``), whose record was not
    taken (``full``), or that we failed at (``failed``).
    """

    def __init__(
        self,
        tell: Callable[[Taken], bool],
        report: Callable[[Health], None],
        least: Level | None = "high",
        root: str = PROC,
    ) -> None:
        """``least`` None: none is looked into."""
        self.least = least
        self.taken = 0
        self.dropped: Counter[str] = Counter()
        self._tell, self._report, self._root = tell, report, root
        self._entity = entity_ids(machine.machine_id(), machine.boot_id(root))
        self._queue: queue.Queue[Alert | None] = queue.Queue(WAITING)
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._looked: deque[float] = deque(maxlen=PER_MINUTE)
        self._hanging: list[tuple[threading.Thread, int | None]] = []
        self._room, self._filled = float(BURST), clock.monotonic()
        self._degraded = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to look."""
        self._thread = threading.Thread(target=self._run, name="witness", daemon=True)
        self._thread.start()

    def ask(self, alert: Alert) -> None:
        """Have the acting processes of an alert looked at; returns at once."""
        level = alert.replguard.real_level or alert.rule.level
        if self.least is None or LEVELS.index(level) < LEVELS.index(self.least) or alert.replguard.state != "firing":
            return
        try:
            self._queue.put_nowait(alert)
        except queue.Full:
            self.dropped["queue"] += 1

    def close(self, seconds: float = LONGEST) -> None:
        """Look into what waits, for so long at the most, and end."""
        if self._thread is None:
            return
        until = clock.monotonic() + seconds
        try:
            self._queue.put(None, timeout=seconds)
        except queue.Full:
            self.dropped["queue"] += 1
        self._thread.join(max(0.0, until - clock.monotonic()))

    def _run(self) -> None:
        while (alert := self._queue.get()) is not None:
            try:
                self._witness(alert)
            except Exception:  # noqa: BLE001 - one hostile process must not end the looking
                self.dropped["failed"] += 1
                _log.exception("the processes of an alert could not be looked at")

    def _witness(self, alert: Alert) -> None:
        for count, acting in enumerate(acting_in(alert)):
            if count >= PER_ALERT:
                self.dropped["per_alert"] += 1
                continue
            stat = procfs.stat(acting.pid, self._root)
            entity = acting.entity or self._younger(acting.pid, stat, alert)
            if not entity:
                self.dropped["gone"] += 1
                continue
            key = (alert.replguard.incident, entity)
            owner = _owner(acting.pid, self._root)
            if key not in self._known and self._may(owner):
                self._remember(key)
                self._look(alert, acting.pid, entity, stat, owner)

    def _younger(self, pid: int, stat: procfs.Stat | None, alert: Alert) -> str:
        """Return the id of a process by its pid, empty where it began after the alert."""
        if stat is None or _started(stat.start_ticks) > alert.timestamp + _LATE:
            return ""
        return self._entity(pid, stat.start_ticks)

    def _remember(self, key: tuple[str, str]) -> None:
        self._known[key] = None
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    def _may(self, owner: int | None) -> bool:
        """Whether one more look at a user's process is within the limits; what hangs is counted anew."""
        now = clock.monotonic()
        self._hanging = [lost for lost in self._hanging if lost[0].is_alive()]
        if self._degraded and not self._hanging:
            self._degraded = False
            self._report(Health(component="witness", state="recovered"))
        reason = ""
        if len(self._hanging) >= LOST or sum(whose == owner for _, whose in self._hanging) >= LOST_OF_ONE:
            reason = "hanging"
        elif len(self._looked) == PER_MINUTE and now - self._looked[0] < 60.0:
            reason = "per_minute"
        if reason:
            self.dropped[reason] += 1
            return False
        self._looked.append(now)
        return True

    def _look(self, alert: Alert, pid: int, entity: str, stat: procfs.Stat | None, owner: int | None) -> None:
        """Look at a process by a thread that may be lost, and tell what it found."""
        at = clock.now()
        start = stat.start_ticks if stat is not None and self._entity(pid, stat.start_ticks) == entity else -1
        look = Look(pid, start, self._root)
        thread = threading.Thread(target=look.run, name="look", daemon=True)
        thread.start()
        thread.join(LONGEST)
        if thread.is_alive():
            self._lose(thread, owner)
        found = _compared(look.snapshot(alert.event.id, alert.replguard.incident), alert.process, entity)
        taken = self._record(alert, at, found, pid, entity, stat)
        if self._tell(self._afforded(fit(taken))):
            self.taken += 1
        else:
            self.dropped["full"] += 1

    def _afforded(self, taken: Taken) -> Taken:
        """Return a record as there is room for: whole, or else what matters most of it."""
        now = clock.monotonic()
        self._room = min(float(BURST), self._room + (now - self._filled) * REFILL)
        self._filled = now
        size = len(wire.encode(taken))
        if size > self._room and size > LEAN:
            taken = fit(lean(taken), LEAN)
            size = len(wire.encode(taken))
        self._room = max(0.0, self._room - size)
        return taken

    def _lose(self, thread: threading.Thread, owner: int | None) -> None:
        self._hanging.append((thread, owner))
        if not self._degraded:
            self._degraded = True
            reason = (
                f"a process could not be looked at within {LONGEST:g} s: it maps or runs a file that does not answer"
            )
            self._report(Health(component="witness", state="degraded", reason=reason))

    def _record(
        self, alert: Alert, at: datetime, found: Snapshot, pid: int, entity: str, stat: procfs.Stat | None
    ) -> Taken:
        process, user, container = alert.process, alert.user, alert.container
        if process is None or process.entity_id != entity:
            ours = stat is not None and self._entity(pid, stat.start_ticks) == entity
            process = Process(
                pid=pid,
                entity_id=entity,
                start=_started(stat.start_ticks) if ours and stat else None,
                executable=found.image.path if found.image else None,
                name=stat.comm if ours and stat else None,
            )
            status = procfs.status(pid, self._root) if ours else None
            user = None if status is None else User(id=status.effective_uid)
            container = None
        if container is None and found.cgroup and (within := containers.parse(found.cgroup).id):
            container = Container(id=within)
        return Taken(
            timestamp=at,
            event=Meta(
                action=SNAPSHOT, kind=STATE, provider="replguard", id=short_hash(SNAPSHOT, alert.event.id, entity)
            ),
            process=process,
            user=user,
            container=container,
            snapshot=found,
        )


def acting_in(alert: Alert) -> Iterator[Acting]:
    """Yield the processes that act in an alert, the nearest first, each once: its own, its actor's, an instance's."""
    context, seen = alert.replguard, set[int]()
    found = []
    if alert.process is not None and alert.process.pid is not None:
        found.append(Acting(alert.process.pid, alert.process.entity_id or ""))
    if context.actor is not None and context.actor.pid is not None:
        found.append(Acting(context.actor.pid, context.actor.id.rpartition("#")[2]))
    if context.instance is not None:
        found += [Acting(pid) for pid in context.instance.pids]
    for acting in found:
        if acting.pid not in seen:
            seen.add(acting.pid)
            yield acting


def _compared(found: Snapshot, told: Process | None, entity: str) -> Snapshot:
    """Say where a process runs another program by now than the one that the alert tells of.

    Seen from inside a root of its own a path is the end of ours.
    """
    if found.image is None or told is None or told.entity_id != entity or not told.executable:
        return found
    if found.image.path.endswith(shown(told.executable.encode(errors="backslashreplace"))):
        return found
    return replace(found, missing=(*found.missing, "image: it runs another program than at the alert"))


def _owner(pid: int, root: str) -> int | None:
    """Return the user who answers for a process: of one in a user namespace whoever made that one."""
    within = userns.owner(pid, root)
    status = procfs.status(pid, root) if within is None else None
    return within if status is None else status.uid


def _started(start_ticks: int) -> datetime:
    return clock.now() - timedelta(seconds=clock.since_boot() - start_ticks * TICK)
