"""Programs that pass on what others give them: who fed a proxy of this host, and what of what it sends is theirs.

Who feeds it has touched weights, and the proxy has not: it was there before, and belongs to somebody else. As much as
it was fed counts as its feeder's when it leaves the host. Which bytes these are nobody sees, so that it is a guess.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from replguard.events.event import Event
from replguard.provenance import entry
from replguard.provenance.processes import Proc

HOLDS = timedelta(minutes=10)
"""How long what was fed may be passed on; as long as a taint lasts (meanings: Derived)."""
BEFORE = timedelta(seconds=60)
"""How long before it is told that a proxy was fed it may be told what it has sent: the kernel adds up both."""
MOST_RELAYS, MOST_FEEDS, MOST_SENT = 1024, 64, 4096


@dataclass(slots=True, eq=False)
class _Fed:
    feeder: Proc
    left: int
    when: datetime


@dataclass(slots=True, eq=False)
class Sent:
    """What a program sent, as it was told; ``left`` are the bytes that are nobody else's yet."""

    event: Event
    proc: Proc
    left: int


class Relays:
    """Puts together what programs were fed and what they sent, whichever is told first."""

    def __init__(self) -> None:
        self._fed: OrderedDict[str, deque[_Fed]] = OrderedDict()
        self._sent: deque[Sent] = deque(maxlen=MOST_SENT)

    def fed(self, feeder: Proc, relays: Iterable[str], amount: int, when: datetime) -> Iterator[tuple[Sent, int]]:
        """Note that a program got bytes; ``relays`` are those that may have got them.

        Yields what was sent just before, and how much of it is the feeder's.
        """
        names = frozenset(relays)
        if not names:
            return
        for sent in self._sent:
            if not amount:
                return
            near = sent.left and when - sent.event.timestamp <= BEFORE
            if near and any(here.entity in names for here in _up(sent.proc)):
                taken = min(sent.left, amount)
                sent.left -= taken
                amount -= taken
                yield sent, taken
        if amount:
            self._keep(names, _Fed(feeder, amount, when))

    def taken(self, proc: Proc, amount: int, when: datetime) -> list[tuple[Proc, int]]:
        """Return whose the bytes are that a program passes on: fewer than it sends where it was fed less."""
        found: dict[Proc, int] = {}
        for here in _up(proc) if self._fed else ():
            feeds = self._fed.get(here.entity)
            while feeds and amount:
                first = feeds[0]
                taken = min(first.left, amount) if when - first.when <= HOLDS else 0
                if taken:
                    found[first.feeder] = found.get(first.feeder, 0) + taken
                    amount -= taken
                    first.left -= taken
                if not taken or not first.left:
                    feeds.popleft()
            if feeds is not None and not feeds:
                del self._fed[here.entity]
        return list(found.items())

    def sent(self, event: Event, proc: Proc, left: int) -> None:
        """Note what a program sent that nobody had fed it yet."""
        if left > 0:
            self._sent.append(Sent(event, proc, left))

    def taken_back(self, principal: str, since: datetime) -> Iterator[Sent]:
        """Yield what somebody sent since a time that was nobody's yet: it is his own."""
        for sent in self._sent:
            if sent.left and sent.event.timestamp >= since and entry.find(sent.proc).principal == principal:
                yield sent
                sent.left = 0

    def _keep(self, names: frozenset[str], fed: _Fed) -> None:
        for name in names:
            feeds = self._fed.setdefault(name, deque(maxlen=MOST_FEEDS))
            self._fed.move_to_end(name)
            last = feeds[-1] if feeds else None
            if last is not None and last.feeder is fed.feeder and len(names) == 1:
                last.left, last.when = last.left + fed.left, fed.when
            else:
                feeds.append(fed)
        while len(self._fed) > MOST_RELAYS:
            self._fed.popitem(last=False)


def _up(proc: Proc) -> Iterator[Proc]:
    """Yield a process and those above it that may have taken the connection for it: not the host's init."""
    return (here for here in proc.chain() if here.pid != 1)
