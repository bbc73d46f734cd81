from support.rulebook import event

from replguard.rules.history import COMPONENT, History
from replguard.rules.matches import Match


def match(number, *keys):
    """Return a match at a time with some join keys."""
    return Match(f"m{number}", (float(number), number), (event(number),), keys=tuple(((), "k", key) for key in keys))


def names(found):
    return [one.name for one in found]


def test_joined_matches_are_found_step_by_step():
    """One hop finds what shares a key, two what shares a key with that; the order is that of time."""
    history = History()
    first, second, third = match(3, "a"), match(2, "a", "b"), match(1, "b")
    for one in (first, second, third, match(0, "z")):
        history.add(one)
    assert names(history.joined(first, 1)) == ["m2", "m3"]
    assert names(history.joined(first, 2)) == ["m1", "m2", "m3"]


def test_the_oldest_is_evicted_and_counted():
    """State is bounded, and what is thrown out is counted."""
    history = History(limit=3)
    matches = [match(number, "a") for number in range(5)]
    for one in matches:
        history.add(one)
    assert len(history) == 3
    assert history.evicted == 2
    assert names(history.joined(matches[-1], 1)) == ["m2", "m3", "m4"]


def test_what_is_dropped_or_expired_is_gone():
    """Dropping twice is no fault."""
    history = History()
    matches = [match(number, "a") for number in range(4)]
    for one in matches:
        history.add(one)
    history.drop([matches[0], matches[0]])
    history.expire(2.0)
    assert names(history.joined(matches[3], 1)) == ["m2", "m3"]


def test_a_crowd_is_looked_at_up_to_a_bound():
    """A key that everybody shares costs no more than the bound, and the newest are preferred."""
    history = History()
    for number in range(2 * COMPONENT):
        history.add(match(number, "a"))
    found = history.joined(match(10_000, "a"), 5)
    assert len(found) == COMPONENT
    assert found[-2].name == f"m{2 * COMPONENT - 1}"
