"""Whoever floods the queue waits behind their own, and takes nobody else's place."""

import pytest

from replguard.weights.messages import Rank, Request
from replguard.weights.shares import TURNS, Shares, place


def asked(inode: int, uid: int | None, reason: str = "", rank: Rank = "other") -> Request:
    return Request(f"/f{inode}", 1, inode, reason, uid, rank=rank)


@pytest.mark.parametrize("flooding", ["toucher", "agent", "other"])
def test_no_rank_starves_another(flooding: Rank) -> None:
    """Whoever floods, as whatever: each of the others finds room, and is served within seven turns."""
    queue = Shares(100)
    kept = sum(
        queue.put(asked(number, uid, rank=flooding)) for uid in range(300) for number in range(uid * 9, uid * 9 + 9)
    )
    assert kept == 100
    others: list[Rank] = [rank for rank in ("toucher", "agent", "other") if rank != flooding]
    assert all(queue.put(asked(9000 + number, 7, rank=rank)) for number, rank in enumerate(others))
    first = [queue.take().rank for _ in range(len(TURNS))]
    assert set(others) < set(first)


def test_ranks_have_their_turns() -> None:
    """Touchers before agents before others, and none of them never."""
    queue = Shares(100)
    for number in range(90):
        assert queue.put(asked(number, number, rank=("toucher", "agent", "other")[number % 3]))
    served = [queue.take().rank for _ in range(len(TURNS) * 4)]
    assert [served.count(rank) for rank in ("toucher", "agent", "other")] == [16, 8, 4]
    assert len(queue.drain()) == 90 - 28
    assert len(queue) == 0


def test_who_touched_weights_meanwhile_moves_up_and_nobody_moves_down() -> None:
    """Also where there is no room above: then it waits where it was."""
    queue = Shares(2)
    assert queue.put(asked(1, 7, "old"))
    assert queue.put(asked(1, 7, "new", rank="toucher"))
    assert queue.put(asked(1, 7, "newest", rank="agent"))
    assert len(queue) == 1
    assert queue.put(asked(2, 7))
    assert queue.put(asked(3, 8, rank="toucher"))
    assert queue.put(asked(2, 7, "kept", rank="toucher"))
    assert not queue.put(asked(4, 7, rank="toucher"))
    assert {(one.inode, one.reason, one.rank) for one in queue.drain()} == {
        (1, "newest", "agent"), (2, "kept", "toucher"), (3, "", "toucher"),
    }  # fmt: skip


def test_a_flood_leaves_half_of_the_places_and_the_next_turn_to_others() -> None:
    """A thousand files of one user: the one file of another is second in line."""
    queue = Shares(100)
    assert sum(queue.put(asked(n, 1000)) for n in range(1000)) == 50
    assert queue.put(asked(5000, 0))
    assert [queue.take().uid for _ in range(3)] == [1000, 0, 1000]
    assert [one.inode for one in queue.drain()] == list(range(2, 50))
    assert len(queue) == 0


def test_many_users_who_want_all_share_alike() -> None:
    """Three of them, and a fourth who comes late still finds room."""
    queue = Shares(100)
    kept = {uid: sum(queue.put(asked(uid * 1000 + n, uid)) for n in range(1000)) for uid in (1, 2, 3)}
    assert kept == {1: 50, 2: 25, 3: 13}
    assert queue.put(asked(1, 4))
    assert queue.put(asked(2, None))


def test_turns_go_round() -> None:
    """Nobody is served twice while another waits, and the order of one's own stays."""
    queue = Shares(100)
    for number, uid in enumerate((7, 7, 7, 8, 8, None)):
        assert queue.put(asked(number, uid))
    assert [(one.uid, one.inode) for one in queue.drain()] == [(7, 0), (8, 3), (None, 5), (7, 1), (8, 4), (7, 2)]


def test_the_same_file_waits_once_in_its_first_place() -> None:
    """Also when it changed hands, and also when its share is full."""
    queue = Shares(4)
    assert queue.put(asked(1, 7, "old"))
    assert queue.put(asked(2, 7))
    assert not queue.put(asked(3, 7))
    assert queue.put(asked(1, 8, "new"))
    assert [(one.inode, one.reason) for one in queue.drain()] == [(1, "new"), (2, "")]


def test_what_had_its_place_gets_it_back() -> None:
    """Full or not; a newer request for the same file stays as it is."""
    queue = Shares(2)
    first = asked(1, 7, "first")
    assert queue.put(asked(2, 7))
    assert first not in queue
    queue.put_back(first)
    queue.put_back(asked(1, 7, "second"))
    assert [one.reason for one in queue.drain()] == ["", "first"]


def test_nothing_to_take_is_an_error() -> None:
    """And files without an inode are told apart by their path."""
    with pytest.raises(KeyError, match="nothing waits"):
        Shares(2).take()
    assert place(Request("/a")) == "/a"
    assert place(Request("/a", 1, 2)) == (1, 2)
