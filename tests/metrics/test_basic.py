import base64

import bcrypt
import pytest

from replguard.events import clock
from replguard.metrics import basic
from replguard.metrics.basic import Users

HASH = bcrypt.hashpw(b"right: and long", bcrypt.gensalt(4))


def header(text: str | bytes, kind: str = "Basic") -> str:
    return f"{kind} {base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()}"


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that goes on by a second at each look: a guess takes one."""
    time = [1000.0]

    def look() -> float:
        time[0] += 1
        return time[0]

    monkeypatch.setattr(clock, "monotonic", look)
    return time


def test_who_knows_the_password_comes_in() -> None:
    """A name with its password, whatever the case of the scheme; a colon may be in it."""
    assert Users({"me": HASH}).allows(header("me:right: and long"), "a") == "yes"
    assert Users({"me": HASH}).allows(header("me:right: and long", "bAsIc"), "a") == "yes"
    assert Users({}).allows(None, "a") == "yes"


@pytest.mark.parametrize(
    "given",
    [None, "", "Basic", "Basic ?", header("me"), header(b"\xff:x"), "Bearer abc", header("me:wrong"),
     header("you:right: and long"), header("me:"), header("me:" + "x" * 200), header(b"me:a\0b"), "Basic é"],
)  # fmt: skip
def test_nobody_else_does(given: str | None) -> None:
    """Nor does anything that is no header make an error."""
    assert Users({"me": HASH}).allows(given, "a") == "no"


def test_a_good_password_costs_a_hash_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scrape each second is not to cost a tenth of a second; a wrong one is never taken for it."""
    users, asked = Users({"me": HASH}), []
    fits = basic._fits
    monkeypatch.setattr(basic, "_fits", lambda *given: asked.append(given) or fits(*given))
    assert [users.allows(header("me:right: and long"), "a") for _ in range(5)] == ["yes"] * 5
    assert len(asked) == 1
    assert users.allows(header("me:right: and lonG"), "b") != "yes"


def test_guessing_costs_a_twentieth_of_a_core_and_a_fifth_for_all(now: list[float]) -> None:
    """Whoever guesses rests nineteen times as long; others wait four times, and who is known does not wait."""
    users = Users({"me": HASH})
    assert users.allows(header("me:1"), "a") == "no"
    assert users.allows(header("me:2"), "a") == "later"
    assert users.allows(header("me:2"), "b") == "later"
    now[0] += 5
    assert users.allows(header("me:2"), "a") == "later"
    assert users.allows(header("me:right: and long"), "b") == "yes"
    assert users.allows(header("me:right: and long"), "a") == "yes"
    now[0] += 20
    assert users.allows(header("me:2"), "a") == "no"


def test_one_guess_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second one does not take another core."""
    monkeypatch.setattr(basic, "_WAIT", 0.01)
    users = Users({"me": HASH})
    users._guess.acquire()
    assert users.allows(header("me:right: and long"), "a") == "later"
    users._guess.release()


def test_any_number_of_addresses_takes_no_memory(monkeypatch: pytest.MonkeyPatch, now: list[float]) -> None:
    """Those that rest no more are forgotten."""
    monkeypatch.setattr(basic, "_fits", lambda *_: False)
    users = Users({"me": HASH})
    for number in range(3 * basic._MOST):
        now[0] += 5
        users.allows(header("me:x"), str(number))
    assert len(users._rest) <= basic._MOST
