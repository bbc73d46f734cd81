"""Bytes of connections by looking at them: each is told once, with its process where it can be found."""

from replguard.events.process import Process
from replguard.kernel.sockdiag import CLOSE_WAIT, ESTABLISHED, Socket
from replguard.sensors.sockets import sent as module
from replguard.sensors.sockets.flows import LARGE
from replguard.sensors.sockets.sent import TRIES, Sent

CURL = Process(pid=7, entity_id="curl")


def row(sent: int | None, inode: int = 5, port: int = 40000, state: int = ESTABLISHED) -> Socket:
    return Socket(2, state, ("10.0.0.1", port), ("10.0.0.9", 443), inode, 0, 0, sent)


class Stand:
    def __init__(self, *first: Socket) -> None:
        self.known = {5: CURL}
        self.asked: list[set[int]] = []
        self.sent = Sent(self._owners)
        assert list(self.sent.look(first, set(), first=True)) == []
        self.asked.clear()

    def _owners(self, inodes: set[int]) -> dict[int, Process]:
        self.asked.append(inodes)
        return {inode: self.known[inode] for inode in inodes & self.known.keys()}

    def look(self, *rows: Socket, ports: set[int | None] | None = None) -> list[tuple[Process | None, int, int, bool]]:
        found = self.sent.look(rows, ports or set(), first=False)
        return [(one.process, one.new, one.total, one.accepted) for one in found]


def test_a_large_amount_is_told_at_once_and_the_rest_when_it_rests() -> None:
    """The sums are exact, and nothing is told twice."""
    stand = Stand()
    assert stand.look(row(2 * LARGE)) == [(CURL, 2 * LARGE, 2 * LARGE, False)]
    assert stand.look(row(2 * LARGE + 9)) == []
    assert stand.look(row(2 * LARGE + 9)) == [(CURL, 9, 2 * LARGE + 9, False)]
    assert stand.look(row(2 * LARGE + 9)) == []
    assert stand.look() == []


def test_what_was_there_before_the_first_look_is_not_told() -> None:
    """What the connection sends from then on is; of one that is gone, what was seen last."""
    stand = Stand(row(10 * LARGE))
    assert stand.look(row(10 * LARGE + 5)) == []
    assert stand.look() == [(CURL, 5, 10 * LARGE + 5, False)]


def test_a_connection_that_its_process_let_go_is_still_its() -> None:
    """The kernel sends what is left, and says no socket any more."""
    stand = Stand()
    assert stand.look(row(LARGE)) == [(CURL, LARGE, LARGE, False)]
    assert stand.look(row(LARGE + 5, inode=0, state=CLOSE_WAIT)) == [(CURL, 5, LARGE + 5, False)]


def test_the_owner_is_searched_a_few_times() -> None:
    """Then it is told without."""
    stand = Stand()
    stand.known.clear()
    for _ in range(TRIES - 1):
        assert stand.look(row(LARGE)) == []
    assert stand.look(row(LARGE)) == [(None, LARGE, LARGE, False)]
    assert stand.asked == TRIES * [{5}]
    late = Stand()
    late.known.clear()
    assert late.look(row(LARGE)) == []
    late.known[5] = CURL
    assert late.look(row(LARGE)) == [(CURL, LARGE, LARGE, False)]


def test_a_port_that_is_listened_at_was_called() -> None:
    """The other end opened the connection."""
    stand = Stand()
    assert stand.look(row(LARGE, port=8000), ports={8000}) == [(CURL, LARGE, LARGE, True)]


def test_the_same_ends_may_be_another_connection() -> None:
    """It begins at nothing again."""
    stand = Stand()
    assert stand.look(row(3 * LARGE)) == [(CURL, 3 * LARGE, 3 * LARGE, False)]
    assert stand.look(row(LARGE)) == [(CURL, LARGE, LARGE, False)]


def test_unknown_is_not_none() -> None:
    """A kernel that does not tell bytes, and more connections than are remembered."""
    stand = Stand()
    assert stand.look(row(None)) == []
    stand.look(*(row(1, port=port) for port in range(module.MOST + 9)))
    assert len(stand.sent._lines) == module.MOST
