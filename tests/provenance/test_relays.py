"""Who fed a program what it passes on, whichever of both is told first."""

from datetime import timedelta

from support.story import MIB, Host

from replguard.events.event import Event, Meta
from replguard.provenance.processes import Proc
from replguard.provenance.relays import BEFORE, HOLDS, MOST_FEEDS, MOST_RELAYS, MOST_SENT, Relays


class Stand:
    """A host with a proxy, its worker, and two who may feed it."""

    def __init__(self) -> None:
        self.host = Host()
        self.proxy = self.host.service("proxy", "tinyproxy", "")
        self.worker = self.host.fork(self.proxy)
        self.ann, self.bob = self.host.login(), self.host.exec("curl", parent=self.host.init)
        self.relays = Relays()

    def fed(self, by: Proc, amount: int, *relays: Proc) -> list[tuple[Proc, int]]:
        """Feed programs; return who had sent what of it before."""
        names = {relay.entity for relay in relays or (self.proxy,)}
        return [(sent.proc, part) for sent, part in self.relays.fed(by, names, amount, self.host.now)]

    def sent(self, amount: int, proc: Proc | None = None) -> list[tuple[Proc, int]]:
        """Let a program send; return whose it was."""
        proc = proc or self.worker
        event = Event(timestamp=self.host.now, event=Meta(action="network_volume"))
        found = self.relays.taken(proc, amount, self.host.now)
        self.relays.sent(event, proc, amount - sum(part for _, part in found))
        return found


def test_what_is_sent_is_the_feeders_up_to_what_he_fed() -> None:
    """A worker sends for the process that listens; what comes on top is nobody's."""
    stand = Stand()
    assert stand.sent(5) == []
    stand.host.wait(BEFORE.total_seconds() + 1)
    assert stand.fed(stand.ann, 10) == []
    assert stand.sent(4) == [(stand.ann, 4)]
    assert stand.sent(9) == [(stand.ann, 6)]
    assert stand.sent(9) == []


def test_it_may_be_told_first_what_was_sent() -> None:
    """Within a minute; and what is left of the feed counts for what comes."""
    stand = Stand()
    assert stand.sent(3) == []
    assert stand.sent(2) == []
    assert stand.fed(stand.ann, 10) == [(stand.worker, 3), (stand.worker, 2)]
    assert stand.fed(stand.bob, 1) == []
    assert stand.sent(9) == [(stand.ann, 5), (stand.bob, 1)]


def test_several_feed_in_turn() -> None:
    """The first comes first; one who feeds again is one."""
    stand = Stand()
    stand.fed(stand.ann, 3)
    stand.fed(stand.ann, 3)
    stand.fed(stand.bob, 5)
    assert stand.sent(8) == [(stand.ann, 6), (stand.bob, 2)]


def test_one_of_several_may_have_got_it() -> None:
    """What one of them sends is not counted for the other as well."""
    stand = Stand()
    other = stand.host.service("other", "socat", "")
    stand.fed(stand.ann, 10, stand.proxy, other)
    assert stand.sent(7, other) == [(stand.ann, 7)]
    assert stand.sent(7) == [(stand.ann, 3)]
    assert stand.sent(7, other) == []


def test_a_feed_is_forgotten_after_a_while() -> None:
    """As a taint is."""
    stand = Stand()
    stand.fed(stand.ann, 10)
    stand.host.wait(HOLDS.total_seconds() + 1)
    assert stand.sent(7) == []


def test_the_hosts_init_passes_nothing_on() -> None:
    """It listens for sockets of services, and everything descends from it."""
    stand = Stand()
    stand.fed(stand.ann, 10, stand.host.init)
    assert stand.sent(7) == []
    assert stand.fed(stand.ann, 10, stand.bob) == []


def test_it_stays_within_bounds() -> None:
    """Of relays, of feeds, and of what was sent."""
    stand = Stand()
    others = [stand.host.exec("true", parent=stand.host.init) for _ in range(3)]
    for number in range(MOST_FEEDS + 50):
        stand.fed(stand.ann if number % 2 else stand.bob, 1, stand.proxy, others[0])
    assert sum(part for _, part in stand.sent(10 * MIB)) == MOST_FEEDS
    for number in range(MOST_RELAYS + 50):
        list(stand.relays.fed(stand.ann, {str(number)}, 1, stand.host.now))
    stand.fed(stand.ann, 5, others[1])
    assert len(stand.relays._fed) == MOST_RELAYS
    for _ in range(MOST_SENT + 50):
        stand.sent(1, others[2])
    stand.host.wait(timedelta(seconds=1).total_seconds())
    assert sum(part for _, part in stand.fed(stand.bob, 10**6, others[2])) == MOST_SENT


def test_what_was_nobodys_is_taken_back_by_who_sent_it() -> None:
    """Once, since a time, and not what was a feeder's."""
    stand = Stand()
    stand.sent(5)
    stand.host.wait(60)
    since = stand.host.now
    stand.sent(7)
    stand.sent(9, stand.bob)
    stand.fed(stand.ann, 8)
    taken = [(sent.proc, sent.left) for sent in stand.relays.taken_back("unit:proxy.service", since)]
    assert taken == [(stand.worker, 4)]
    assert list(stand.relays.taken_back("unit:proxy.service", since)) == []
