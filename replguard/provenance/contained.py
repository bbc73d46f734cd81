"""What the container, pod or job of a process is called: looked up by a thread of its own, remembered within bounds.

An event waits for no disk: the first ones of a container may bear its id alone. A container is looked up when its first
process is told, some hundredths of a second before what it does is judged.
"""

import queue
import threading
from collections import OrderedDict
from dataclasses import dataclass

from replguard.events import clock
from replguard.events.event import Event
from replguard.kernel import machine, procfs
from replguard.kernel.containers import Place, parse
from replguard.kernel.runtimes import Named, bare, look

MOST = 4096
"""Containers and jobs that are remembered, those met last."""
AGAIN, REFRESH = 5.0, 600.0
"""Seconds until one is looked up again: of which something is missing, and that may have another name by now."""
FIRST = 2.0
"""Seconds that the start waits for those that run already."""
_MOST_WAITING = 1024

_Key = tuple[str | None, str | None, str | None, bool]
_NOTHING = Named()


@dataclass(slots=True)
class _Known:
    named: Named
    due: float
    asked: bool = False


class Names:
    """The names, by control group. ``host`` leads to the host's root. Without ``start`` only paths are read."""

    def __init__(self, host: str = "") -> None:
        self._host = host
        self._known: OrderedDict[_Key, _Known] = OrderedDict()
        self._principals: OrderedDict[_Key, str] = OrderedDict()
        self._lock = threading.Lock()
        self._waiting: queue.Queue[Place | None] = queue.Queue(_MOST_WAITING)
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to look up; returns when what runs now is known, or after two seconds."""
        done = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(done,), name="names", daemon=True)
        self._thread.start()
        done.wait(FIRST)

    def stop(self) -> None:
        """End the thread, unless a disk holds it."""
        thread, self._thread = self._thread, None
        if thread is not None:
            try:
                self._waiting.put(None, timeout=FIRST)
            except queue.Full:
                return
            thread.join(FIRST)

    def notice(self, event: Event) -> None:
        """Have the container of a process that began looked up, if it is new; called from any thread."""
        if event.action == "process_exec" and event.process is not None and event.process.cgroup:
            self.of(event.process.cgroup)

    def of(self, cgroup: str | None) -> Named:
        """Return what is known now, and have it looked up if that is not all; never waits."""
        place = parse(cgroup) if cgroup else None
        if place is None or (place.key is None and place.pod is None and place.job is None):
            return _NOTHING
        key = _key(place)
        with self._lock:
            known = self._known.get(key)
            if known is None:
                known = self._known[key] = _Known(bare(place), 0.0)
                while len(self._known) > MOST:
                    self._known.popitem(last=False)
            if self._thread is not None and not known.asked and clock.monotonic() >= known.due:
                try:
                    self._waiting.put_nowait(place)
                    known.asked = True
                except queue.Full:
                    pass
            return known.named

    def principal(self, cgroup: str) -> str:
        """Return the stable name of a container: as it was known when it was first asked for, so that it stays one.

        Names that a user's own engine has are that user's: there it is the id.
        """
        place = parse(cgroup)
        key = _key(place)
        known = self._principals.get(key)
        if known is None:
            known = self._principals[key] = _principal(place, self.of(cgroup))
            while len(self._principals) > MOST:
                self._principals.popitem(last=False)
        return known

    def _run(self, done: threading.Event) -> None:
        for pid in machine.pids():
            place = parse(procfs.cgroup(pid) or "")
            if place.key is not None or place.pod is not None or place.job is not None:
                key = _key(place)
                if key not in self._known:
                    self._learn(place)
        done.set()
        while (waiting := self._waiting.get()) is not None:
            self._learn(waiting)

    def _learn(self, place: Place) -> None:
        named = look(place, self._host)
        with self._lock:
            due = clock.monotonic() + (REFRESH if named.whole else AGAIN)
            self._known[_key(place)] = _Known(named, due)
            while len(self._known) > MOST:
                self._known.popitem(last=False)


def _key(place: Place) -> _Key:
    """Return what tells places apart: a user may call his group by the id of somebody else's container."""
    return place.key, place.pod, place.job, place.users


def _principal(place: Place, named: Named) -> str:
    container, pods = named.container, named.orchestrator
    name = container.name if container is not None and not place.users else None
    if pods is not None and pods.namespace and pods.workload:
        return f"{pods.namespace}/{pods.workload}" + (f"/{name}" if name else "")
    return name or (place.id[:12] if place.id else place.key or "?")


class Current:
    """The names in use. Who runs where is asked in too many places to hand it through all of them."""

    names = Names()


def of(cgroup: str | None) -> Named:
    """Return what the container, pod or job of a control group is called, as far as it is known now."""
    return Current.names.of(cgroup)
