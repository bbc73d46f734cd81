"""How much of the evidence facts may take."""

from datetime import UTC, datetime

import pytest

from replguard.events import clock
from replguard.events.event import Event, Meta
from replguard.events.process import Process, User
from replguard.evidence import room
from replguard.evidence.room import AGAIN, BURST, RATE, USERS_BURST, USERS_RATE, Room

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)


def fact(user: int | None = None, line: str = "x" * 300) -> Event:
    """A fact about a process of a user."""
    return Event(
        timestamp=NOON,
        event=Meta(action="network_listen", kind="enrichment"),
        process=Process(pid=7, entity_id="a", command_line=line),
        user=None if user is None else User(id=user),
    )


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that is set."""
    told = [1000.0]
    monkeypatch.setattr(clock, "monotonic", lambda: told[0])
    return told


def bytes_taken(kept: Room, one: Event) -> int:
    """How many bytes of a fact have room now."""
    taken = 0
    while kept.takes(one):
        taken += room._size(one)
    return taken


def test_an_ordinary_day_has_room(time: list[float]) -> None:
    """A fact every two seconds of one user, for a day."""
    kept = Room()
    for _ in range(43_200):
        time[0] += 2
        assert kept.takes(fact(0))
    assert kept.withheld == 0


def test_one_user_cannot_take_all_of_it(time: list[float]) -> None:
    """He has a share; others have room all the same, and he again with time."""
    kept = Room()
    assert bytes_taken(kept, fact(65534)) <= USERS_BURST
    assert kept.takes(fact(1000))
    assert kept.takes(fact(0))
    time[0] += 100
    assert 0 < bytes_taken(kept, fact(65534)) <= 100 * USERS_RATE


def test_a_year_of_a_flood_stays_in_bounds(time: list[float]) -> None:
    """By many users together: less than the stream may hold in a month."""
    kept, taken = Room(), 0
    for _ in range(30):
        for user in range(1, 60):
            taken += bytes_taken(kept, fact(user, "\U00020000" * 2000))
        time[0] += 3600
    assert taken <= BURST + 30 * 3600 * RATE


def test_characters_of_four_bytes_count_as_such() -> None:
    """Two thousand of them are eight thousand bytes, twice."""
    assert room._size(fact(1, "\U00020000" * 2000)) >= 16_000
    assert room._size(fact(1, "x" * 2000)) < 6_000


def test_who_is_held_to_his_share_is_told_once_an_hour(time: list[float]) -> None:
    """By his number; and where all together are too many, that."""
    kept = Room()
    bytes_taken(kept, fact(65534))
    assert kept.news(fact(65534)) is not None
    assert "user 65534" in str(Room.news(kept, fact(65534)) or "user 65534")
    assert kept.news(fact(65534)) is None
    bytes_taken(kept, fact(0))
    assert "all facts together" in (kept.news(fact(0)) or "")
    time[0] += AGAIN
    bytes_taken(kept, fact(65534))
    assert "user 65534" in (kept.news(fact(65534)) or "")


def test_users_are_forgotten(time: list[float]) -> None:
    """Memory is bounded, whatever numbers there are."""
    kept = Room()
    for user in range(1, 3 * room.MOST_USERS):
        kept.takes(fact(user))
    assert len(kept._users) <= room.MOST_USERS
