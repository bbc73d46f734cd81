"""Small files that may be run: which are told, and that there is an end to it."""

import pytest

from replguard.events import clock
from replguard.sensors.files.scripts import Allowance, Scripts

DRIVEN, OTHER, UNKNOWN = 5, 6, 7


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    time = [100.0]
    monkeypatch.setattr(clock, "monotonic", lambda: time[0])
    return time


def made(now: list[float]) -> Scripts:
    found = Scripts()
    found.drives = {DRIVEN: True, OTHER: False}.get
    return found


def test_an_allowance_fills_up_again(now: list[float]) -> None:
    """At its rate, to what it may hold."""
    some = Allowance(3, 2)
    assert [some.take() for _ in range(4)] == [True, True, True, False]
    now[0] += 1
    assert [some.take() for _ in range(3)] == [True, True, False]
    now[0] += 1000
    assert [some.take() for _ in range(4)] == [True, True, True, False]


@pytest.mark.parametrize(
    ("path", "mode", "driven", "other"),
    [
        (b"/srv/a.sh", 0o644, True, True),
        (b"/srv/a.py", 0o644, True, True),
        (b"/srv/tool", 0o755, True, True),
        (b"/srv/notes", 0o644, True, False),
    ],
)
def test_what_may_be_run_is_told(now: list[float], path: bytes, mode: int, *, driven: bool, other: bool) -> None:
    """Of what a model may drive also what nothing marks: an interpreter takes any file."""
    assert made(now).tells(path, mode, DRIVEN) is driven
    assert made(now).tells(path, mode, OTHER) is other
    assert made(now).tells(path, mode, UNKNOWN) is driven


def test_others_cannot_use_up_what_is_kept_for_agents(now: list[float]) -> None:
    """Nor do files that nothing marks crowd out scripts."""
    one = made(now)
    assert [one.tells(b"/srv/%d.sh" % n, 0o644, OTHER) for n in range(200)].count(True) == 128
    assert [one.tells(b"/srv/%d" % n, 0o644, DRIVEN) for n in range(500)].count(True) == 256
    assert one.tells(b"/srv/last.sh", 0o644, DRIVEN)


def test_asked_twice_of_one_file_it_says_the_same(now: list[float]) -> None:
    """A file is decided on in a hurry first, and then told in full."""
    one = made(now)
    one._marked[False] = Allowance(1, 0)
    assert one.tells(b"/srv/a.sh", 0o644, OTHER)
    assert one.tells(b"/srv/a.sh", 0o644, OTHER)
    assert not one.tells(b"/srv/a.sh", 0o644, OTHER)
