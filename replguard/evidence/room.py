"""How much of the evidence facts may take: a year of it must not be pushed out by who makes thousands of them."""

from collections import OrderedDict

from replguard.events import clock
from replguard.events.event import Event

BURST, RATE = 8 * 2**20, 1000.0
"""Bytes of all facts at once, and in each second of a long time: five times those of a busy host."""
USERS_BURST, USERS_RATE = 2 * 2**20, 200.0
"""Those of one user who is not root."""
MOST_USERS = 1024
AGAIN = 3600.0
"""Seconds until it is told anew that somebody is held to his share."""
_CHARACTER = 4
"""Bytes that a character of a command line may take."""
_REST = 700
"""Bytes of a fact besides its command lines."""


class _Bucket:
    def __init__(self, burst: float, rate: float, now: float) -> None:
        self._burst, self._rate, self._at = burst, rate, now
        self.left = burst
        self.told = -AGAIN

    def fill(self, now: float) -> None:
        self.left = min(self._burst, self.left + self._rate * (now - self._at))
        self._at = now


class Room:
    """Asked by the pipeline's thread for each fact. ``withheld`` counts those that had no room.

    What has no room stands in the raw stream for its day, and in the evidence if an alert names it.
    """

    def __init__(self) -> None:
        self._all = _Bucket(BURST, RATE, clock.monotonic())
        self._users: OrderedDict[int, _Bucket] = OrderedDict()
        self.withheld = 0

    def takes(self, event: Event) -> bool:
        """Tell whether there is room for a fact; if so it is taken."""
        now, size = clock.monotonic(), _size(event)
        mine = [self._all, *self._of(event, now)]
        for each in mine:
            each.fill(now)
        if any(each.left < size for each in mine):
            self.withheld += 1
            return False
        for each in mine:
            each.left -= size
        return True

    def news(self, event: Event) -> str | None:
        """Return what is to be told of a fact without room, once in a while."""
        now = clock.monotonic()
        user = event.user.id if event.user is not None else None
        lacks = next((each for each in reversed([self._all, *self._of(event, now)]) if each.left < _size(event)), None)
        if lacks is None or now - lacks.told < AGAIN:
            return None
        lacks.told = now
        who = "all facts together" if lacks is self._all else f"the facts of user {user}"
        return f"{who} are more than a year of evidence bears: the raw stream has them, evidence what alerts name"

    def _of(self, event: Event, now: float) -> list[_Bucket]:
        user = event.user.id if event.user is not None else None
        if not user:
            return []
        found = self._users.get(user)
        if found is None:
            found = self._users[user] = _Bucket(USERS_BURST, USERS_RATE, now)
            if len(self._users) > MOST_USERS:
                self._users.popitem(last=False)
        else:
            self._users.move_to_end(user)
        return [found]


def _size(event: Event) -> int:
    """Return about how many bytes a fact is as a line, without making it one."""
    process = event.process
    if process is None:
        return _REST
    above = process.parent.command_line if process.parent is not None else None
    lines = (process.command_line or "", process.command_line or "", above or "")
    return _REST + sum(len(line) if line.isascii() else _CHARACTER * len(line) for line in lines)
