from itertools import permutations

import pytest
from support.rulebook import correlation, engine, fed, rule, run

THREE = rule("a", "aa") + rule("b", "bb") + rule("c", "cc")


def judge(tmp_path, body="", ours="", rules="[a, b, c]"):
    """Return an engine with an unordered correlation of three rules within an hour."""
    full = f"type: temporal, rules: {rules}, timespan: 1h{', ' + body if body else ''}"
    return engine(tmp_path, THREE + correlation("both", full, ours))


def found(judge, *events):
    return [one for one in fed(judge, events) if one[0] == "both"]


@pytest.mark.parametrize("order", list(permutations("abc")))
def test_any_order_will_do(tmp_path, order):
    """All rules within the span, whatever came first."""
    assert len(found(judge(tmp_path), *(run(n, letter * 2) for n, letter in enumerate(order)))) == 1


def test_all_lie_within_the_span(tmp_path):
    """The first and the last are at most the span apart; an older match is replaced by a newer one of its rule."""
    assert found(judge(tmp_path), run(0, "aa"), run(1800, "bb"), run(3601, "cc")) == []
    assert len(found(judge(tmp_path), run(0, "aa"), run(1800, "bb"), run(1801, "aa"), run(3601, "cc"))) == 1


def test_a_late_event_closes_a_window_behind_it(tmp_path):
    """Events that arrived before but happened after are in its span too."""
    assert len(found(judge(tmp_path), run(0, "aa"), run(100, "cc"), run(50, "bb"))) == 1


def test_a_group_that_fired_starts_anew(tmp_path):
    """The next alert needs every rule again."""
    events = [run(n, text) for n, text in enumerate(["aa", "bb", "cc", "cc", "cc", "aa", "bb"])]
    assert len(found(judge(tmp_path), *events)) == 2


def test_groups_do_not_mix(tmp_path):
    """Each user for itself."""
    users = ["eve", "bob", "eve"]
    events = [run(n, letter * 2, user__name=users[n]) for n, letter in enumerate("abc")]
    assert found(judge(tmp_path, "group-by: [user.name]"), *events) == []


def test_a_condition_asks_for_some_of_the_rules(tmp_path):
    """Two of three are enough where the rule says so; the same rule twice is one."""
    assert len(found(judge(tmp_path, "condition: {gte: 2}"), run(0, "aa"), run(1, "cc"))) == 1
    assert found(judge(tmp_path, "condition: {gte: 2}"), run(0, "aa"), run(1, "aa")) == []


def test_optional_rules_and_levels(tmp_path):
    """An optional rule that is there may raise the level."""
    ours = "optional: [c], levels: {c: critical}"
    assert found(judge(tmp_path, "", ours), run(0, "aa"), run(1, "bb")) == [("both", "high", ("aa", "bb"))]
    got = found(judge(tmp_path, "", ours), run(0, "cc"), run(1, "aa"), run(2, "bb"))
    assert got == [("both", "critical", ("cc", "aa", "bb"))]


def test_joined_matches_meet_through_one_another(tmp_path):
    """A and C share nothing, and both share with B; strangers stay out. With join every further match is told."""
    ours = "join: [lineage]"
    events = [run(0, "aa", "x"), run(1, "cc", "y"), run(2, "bb", "x", "y")]
    assert len(found(judge(tmp_path, "", ours), *events)) == 1
    assert found(judge(tmp_path, "", ours), run(0, "aa", "x"), run(1, "cc", "z"), run(2, "bb", "x", "y")) == []
    assert len(found(judge(tmp_path, "", ours), *events, run(3, "bb", "x", "y"))) == 2


def test_until_takes_away_what_was_before_it(tmp_path):
    """What it joins has to happen again."""
    text = THREE + rule("stop", "stop")
    text += correlation("both", "type: temporal, rules: [a, b], timespan: 1h", "join: [lineage], until: stop")
    assert found(engine(tmp_path, text), run(0, "aa", "x"), run(1, "stop", "x"), run(2, "bb", "x")) == []
    assert len(found(engine(tmp_path, text), run(0, "aa", "x"), run(1, "stop", "y"), run(2, "bb", "x"))) == 1
