from datetime import timedelta

from msgspec.structs import replace
from support.making import at, copy_fact, detection

from replguard.alerts.build import alert
from replguard.alerts.rate import Rate
from replguard.alerts.story import tell


def made(number, level="low"):
    found = detection(copy_fact(number), level=level)
    return alert(found, tell(found), "i", level, None)


def test_room_for_so_many_an_hour():
    """The limit holds for any hour, and room comes back as the oldest leave it."""
    rate = Rate(2, timedelta(minutes=10), None)
    assert [rate.has_room(at(t), "low") for t in (0, 1800, 1900, 3600, 3700)] == [True, True, False, True, False]


def test_high_and_critical_have_room_of_their_own():
    """Any number of lower alerts takes none of it, and they take none of the lower ones' room."""
    rate = Rate(2, timedelta(minutes=10), None)
    assert [rate.has_room(at(t), "medium") for t in range(50)] == [True, True] + [False] * 48
    assert [rate.has_room(at(60), level) for level in ("high", "critical", "high")] == [True, True, False]
    assert [rate.has_room(at(3600 + t), "low") for t in range(3)] == [True, True, False]
    assert [rate.has_room(at(3660), "high") for _ in range(3)] == [True, True, False]


def test_the_summary_is_told_first_then_each_window_then_resolved():
    """It begins at once, grows quietly, is told again each window, and ends after a quiet hour."""
    rate = Rate(1, timedelta(minutes=10), None)
    (first,) = rate.fold(made(1), at(0))
    assert (first.replguard.count, first.replguard.state, first.rule.level) == (1, "firing", "low")
    assert rate.fold(made(2), at(1)) == []
    assert rate.tick(at(599)) == []
    (second,) = rate.tick(at(600))
    assert (second.event.id, second.replguard.count) == (first.event.id, 2)
    assert second.message.startswith(
        "2 alerts (2 low) above the limit of 1 an hour are folded into this one: Weights copied (2)."
    )
    assert rate.tick(at(1200)) == []
    (last,) = rate.tick(at(3601))
    assert (last.event.id, last.replguard.state) == (first.event.id, "resolved")
    assert rate.firing() is None
    assert rate.tick(at(9000)) == []


def test_it_is_as_loud_as_the_loudest():
    """A higher level is told at once; in mode observe the real one is kept."""
    rate = Rate(1, timedelta(minutes=10), None)
    rate.fold(made(1), at(0))
    (louder,) = rate.fold(made(2, "high"), at(1))
    assert (louder.rule.level, louder.event.severity, rate.firing()) == ("high", 73, "high")
    quiet = made(3, "high")
    quiet = replace(quiet, replguard=replace(quiet.replguard, real_level="critical"))
    rate.fold(quiet, at(2))
    (told,) = rate.tick(at(700))
    assert told.replguard.real_level == "critical"
    assert told.message.startswith("3 alerts (1 critical, 1 high, 1 low) above")
    rate.tick(at(9000))
    (fresh,) = rate.fold(made(4), at(9001))
    assert fresh.message.startswith("1 alerts (1 low) above")
