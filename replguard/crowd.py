"""Who may put how much while much waits already: whoever floods the host harms himself alone.

While little waits everything is taken, whoever it is of. Once it is much each user has so many events a second, and the
fewer the more waits: however slow the host, what others do passes a queue that grows no longer.
"""

from collections import Counter, OrderedDict

from replguard.events import clock
from replguard.events.event import Event

EACH, ROOT = 500, 2_000
"""Events a second of one user, and of root in one control group: most of what a host does is root's."""
_KNOWN = 32_768
"""Processes whose user is remembered, by entity id and by pid: of files and sockets the process alone is told."""

Owner = tuple[int | None, str | None]


class Crowd:
    """Asked from any thread; a count that two of them raise at once may be one short."""

    def __init__(self) -> None:
        self._owners: OrderedDict[str | int, Owner] = OrderedDict()
        self._taken: Counter[Owner] = Counter()
        self._second = 0

    def takes(self, event: Event, *, pressure: float) -> bool:
        """Whether an event is taken; ``pressure`` is 1 where what waits begins to be much, 2 where it is twice that."""
        if event.action == "sensor_health":
            return True
        owner = self._owner(event)
        if pressure < 1:
            return True
        if (second := int(clock.monotonic())) != self._second:
            self._second, self._taken = second, Counter()
        self._taken[owner] += 1
        return self._taken[owner] <= (ROOT if owner[0] == 0 else EACH) / pressure**2

    def _owner(self, event: Event) -> Owner:
        """Return whose an event is: a user's; of a process whose user nobody told, its own; else that of its kind.

        Who ended before what he did to a file was looked at is known by his pid, and a file that is found by its owner:
        one who floods the host with such would leave no room for others.
        """
        process, entity, pid = event.process, None, None
        if process is not None:
            entity, pid = process.entity_id, process.pid
            if entity is not None and event.user is not None and event.user.id is not None:
                owner = event.user.id, process.cgroup if event.user.id == 0 else None
                self._keep(entity, owner)
                if pid is not None:
                    self._keep(pid, owner)
                return owner
        key = pid if entity is None else entity
        if key is not None and (known := self._owners.get(key)) is not None:
            return known
        if entity is None and event.file is not None and event.file.uid is not None:
            return event.file.uid, None
        return None, entity or event.action

    def _keep(self, key: str | int, owner: Owner) -> None:
        self._owners[key] = owner
        while len(self._owners) > 2 * _KNOWN:
            self._forget()

    def _forget(self) -> None:
        try:
            self._owners.popitem(last=False)
        except KeyError:  # another thread was first
            return
