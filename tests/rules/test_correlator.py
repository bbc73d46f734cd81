from support.rulebook import correlation, event, good, rule

from replguard.rules.history import TOLERANCE
from replguard.rules.matches import Match
from replguard.rules.together import Together

BODY = "type: temporal, rules: [a, b], timespan: 1h, group-by: [user.name]"


def made(tmp_path):
    return Together(good(tmp_path, rule("a", "a") + rule("b", "b") + correlation("c", BODY)).correlations[0])


def match(name, seconds, **fields):
    return Match(name, (float(seconds), seconds), (event(seconds, **fields),))


def test_a_match_that_joins_nothing_is_not_kept(tmp_path):
    """Without a value of the group there is no state."""
    correlator = made(tmp_path)
    assert correlator.feed(match("a", 0)) == []
    assert len(correlator) == 0


def test_what_no_late_event_can_complete_is_swept_away(tmp_path):
    """State is kept for the span and the tolerance for late events, and no longer."""
    correlator = made(tmp_path)
    correlator.feed(match("a", 0, user__name="eve"))
    correlator.sweep(3600 + TOLERANCE)
    assert len(correlator) == 1
    correlator.sweep(3601 + TOLERANCE)
    assert len(correlator) == 0


def test_later_stages_of_one_event_come_first(tmp_path):
    """An event that fits two stages continues before it begins."""
    correlator = made(tmp_path)
    assert min([match("a", 1), match("b", 1)], key=correlator.rank).name == "b"
    assert min([match("b", 2), match("a", 1)], key=correlator.rank).name == "a"
