"""Accounts: thresholds, thirty days by the time of events, and floods that push out only what is their maker's."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replguard.provenance.accounts import KEEPS, MOST_MODELS, Account, Accounts, Line, threshold

START = datetime(2026, 1, 1, 23, 30, tzinfo=UTC)
LIMIT = 50
DAY = timedelta(days=1)


def line() -> Line:
    return Line(principal="p", owner="o", model="llama", destination="far")


def account(accounts: Accounts, principal: str = "p", now: datetime = START) -> Account:
    found = accounts.find(principal, now)
    assert found is not None
    return found


@given(st.integers(0, 10**12), st.integers(1, 10**6))
def test_the_threshold_is_the_last_doubling_of_the_limit(total: int, limit: int) -> None:
    """None below the limit; else the largest that is not above the total."""
    passed = threshold(total, limit)
    if total < limit:
        assert passed == 0
    else:
        assert passed <= total < 2 * passed
        assert (passed // limit).bit_count() == 1
        assert passed % limit == 0


def test_each_threshold_is_news_once() -> None:
    """At the limit, its double, its quadruple; a step over two of them is one."""
    counted = line()
    news = [total for total in range(10, 500, 10) if counted.count(10, "tcp", START, LIMIT)]
    assert news == [50, 100, 200, 400]
    leaps = line()
    assert leaps.count(10 * LIMIT, "tcp", START, LIMIT)
    assert not leaps.news(START, LIMIT)


def test_bytes_go_by_after_thirty_days() -> None:
    """By the time of the events; since is when the first that still counts was sent."""
    counted = line()
    for day in range(40):
        counted.count(1, "tcp", START + day * DAY, LIMIT)
    now = START + 39 * DAY
    assert counted.total(now) == 30
    assert counted.since(now) == START + 10 * DAY
    assert len(counted.days) == 30
    assert counted.total(now + 29 * DAY) == 1
    assert counted.total(now + 30 * DAY) == 0
    assert counted.since(now + 30 * DAY) is None


def test_what_was_told_is_news_again_once_it_has_gone_by() -> None:
    """Not each time that a steady flow passes the limit anew."""
    counted = line()
    steady = [day for day in range(120) if counted.count(2, "tcp", START + day * DAY, LIMIT)]
    assert steady == [24]
    later = START + 200 * DAY
    assert not counted.count(LIMIT - 1, "tcp", later, LIMIT)
    assert counted.count(1, "tcp", later, LIMIT)


def test_what_is_taken_back_is_as_if_it_had_not_been() -> None:
    """What was told of it can be told again."""
    counted = line()
    assert counted.count(LIMIT, "tcp", START, LIMIT)
    counted.take_back(LIMIT, START, LIMIT)
    assert counted.total(START) == 0
    assert counted.count(LIMIT, "udp", START, LIMIT)
    assert counted.protocols == ["tcp", "udp"]


def test_a_touch_holds_thirty_days() -> None:
    """Then there is no account; a touch within them renews it, and each model has its own."""
    accounts = Accounts()
    assert accounts.touch("p", "o", "llama", "/m/llama", START) is None
    assert accounts.touch("p", "o", "llama", None, START + DAY) == START
    accounts.touch("p", "o", "phi", "/m/phi", START + 10 * DAY)
    assert account(accounts).touched["llama"].path == "/m/llama"
    assert account(accounts).models(START + 11 * DAY) == ["phi", "llama"]
    assert account(accounts).models(START + DAY + KEEPS) == ["phi"]
    assert accounts.find("p", START + 10 * DAY + KEEPS) is None
    assert accounts.find("nobody", START) is None


def test_a_touch_is_taken_back() -> None:
    """Where another came before, that one holds; where one came since, that one does."""
    accounts = Accounts()
    accounts.touch("p", "o", "llama", None, START)
    accounts.touch("p", "o", "llama", None, START + DAY)
    mine = account(accounts)
    mine.untouch("llama", START, None)
    assert mine.touched["llama"].when == START + DAY
    mine.untouch("llama", START + DAY, START)
    assert mine.touched["llama"].when == START
    mine.untouch("llama", START, None)
    assert mine.touched == {}
    assert accounts.find("p", START) is None


def test_of_many_models_the_last_are_known() -> None:
    """The account itself stays, and with it all that was sent."""
    accounts = Accounts()
    for number in range(MOST_MODELS + 9):
        accounts.touch("p", "o", f"model {number}", None, START)
    assert len(account(accounts).touched) == MOST_MODELS


def test_a_flood_of_destinations_pushes_out_its_own() -> None:
    """Another's line stays, and the total of the flood's maker says what all of them got."""
    accounts = Accounts(lines=10)
    for principal in ("quiet", "flood"):
        accounts.touch(principal, principal, "llama", None, START)
    accounts.line(account(accounts, "quiet"), "llama", "far").count(7, "tcp", START, LIMIT)
    for number in range(100):
        accounts.line(account(accounts, "flood"), "llama", f"host {number}").count(1, "tcp", START, LIMIT)
        account(accounts, "flood").total.count(1, "tcp", START, LIMIT)
    assert accounts.line(account(accounts, "quiet"), "llama", "far").total(START) == 7
    assert account(accounts, "flood").total.total(START) == 100
    assert accounts.evicted == 91


def test_a_flood_of_principals_cannot_shake_off_what_was_sent() -> None:
    """A user runs a thousand programs of other names: others keep theirs, and his bytes stay with him."""
    accounts = Accounts(accounts=10)
    accounts.touch("unit:a.service", "unit:a.service", "llama", None, START)
    for number in range(100):
        accounts.touch(f"1000:/tmp/{number}", "user:1000", "llama", None, START)
        account(accounts, f"1000:/tmp/{number}").total.count(3, "tcp", START + timedelta(hours=number), LIMIT)
    assert accounts.find("unit:a.service", START) is not None
    rest = accounts.rest("user:1000")
    assert rest is not None
    kept = sum(one.total.total(START + 4 * DAY) for one in accounts)
    assert rest.total(START + 4 * DAY) + kept == 300
    assert rest.since(START + 4 * DAY) == START
    assert accounts.rest("user:0") is None


@pytest.mark.parametrize("now", [START, START + 3 * DAY])
def test_what_was_kept_comes_back(now: datetime) -> None:
    """Accounts, lines and rests, each with its owner."""
    accounts = Accounts(accounts=1)
    for principal in ("a", "b"):
        accounts.touch(principal, "o", "llama", None, START)
        accounts.line(account(accounts, principal), "llama", "far").count(5, "tcp", START, LIMIT)
        account(accounts, principal).total.count(5, "tcp", START, LIMIT)
    again = Accounts(accounts=1)
    again.load(list(accounts), list(accounts.lines()), list(accounts.rests()))
    rest = again.rest("o")
    assert rest is not None
    assert rest.total(now) == 5
    assert again.line(account(again, "b", now), "llama", "far").total(now) == 5
    assert account(again, "b", now).total.total(now) == 5
