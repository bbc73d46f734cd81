"""Who talks to whom of those that one parent started: ranks of one server do, servers of their own do not."""

from collections import OrderedDict
from collections.abc import Callable

from replguard.provenance.processes import Proc

MOST_CALLS, MOST_CALLERS = 2048, 16
"""Ports that were connected to last, and who connected to each last, which a listener told later is held against."""


class Talks:
    """Puts listeners and the connections to them together, whichever is told first.

    A listener at a port that the kernel chose is told some seconds after the first connection to it.
    """

    def __init__(self, known: Callable[[str], Proc | None]) -> None:
        """``known`` returns a process by its entity id."""
        self._known = known
        self._ports: dict[int, set[str]] = {}
        self._calls: OrderedDict[int, OrderedDict[str, None]] = OrderedDict()
        self._with: dict[str, set[str]] = {}

    def of(self, proc: Proc) -> set[str]:
        """Return the entity ids of those that a process talks to."""
        return self._with.get(proc.entity, set())

    def listening(self, port: int) -> set[str]:
        """Return the entity ids of those that listen at a port."""
        return set(self._ports.get(port, ()))

    def calling(self, port: int) -> set[str]:
        """Return the entity ids of those that connected to a port last."""
        return set(self._calls.get(port, ()))

    def listens(self, proc: Proc, port: int) -> None:
        """Note a listener."""
        self._ports.setdefault(port, set()).add(proc.entity)
        for entity in self._calls.get(port, ()):
            self._talk(self._known(entity), proc)

    def closed(self, entity: str, port: int) -> None:
        """Note that a listener is gone."""
        there = self._ports.get(port)
        if there is not None:
            there.discard(entity)
            if not there:
                del self._ports[port]

    def connected(self, proc: Proc, port: int | None) -> None:
        """Note a connection to a port."""
        if port is None:
            return
        for entity in self._ports.get(port, ()):
            self._talk(proc, self._known(entity))
        callers = self._calls.setdefault(port, OrderedDict())
        callers[proc.entity] = None
        self._calls.move_to_end(port)
        if len(callers) > MOST_CALLERS:
            callers.popitem(last=False)
        if len(self._calls) > MOST_CALLS:
            self._calls.popitem(last=False)

    def gone(self, entity: str) -> None:
        """Note that a process ended."""
        for other in self._with.pop(entity, ()):
            self._with.get(other, set()).discard(entity)

    def _talk(self, one: Proc | None, other: Proc | None) -> None:
        if one is None or other is None or one is other or one.parent is None or one.parent is not other.parent:
            return
        self._with.setdefault(one.entity, set()).add(other.entity)
        self._with.setdefault(other.entity, set()).add(one.entity)
