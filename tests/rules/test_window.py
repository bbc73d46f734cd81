import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.rulebook import START, correlation, engine, event, fed, good, rule, run

from replguard.rules.engine import Engine
from replguard.rules.history import LIMIT
from replguard.rules.matches import Match
from replguard.rules.window import GROUPS, Window, percentile

ONE = rule("a", "aa")


def judge(tmp_path, body, ours=""):
    """Return an engine that counts the rule a."""
    return engine(tmp_path, ONE + correlation("count", f"rules: a, {body}", ours))


def found(judge, *events):
    return [one for one in fed(judge, events) if one[0] == "count"]


def bytes_of(seconds, number, **fields):
    return run(seconds, "aa", replguard__bytes=number, **fields)


def test_events_are_counted_within_a_sliding_span(tmp_path):
    """Three in ten seconds, wherever they begin; after an alert the count starts anew."""
    body = "type: event_count, timespan: 10s, condition: {gte: 3}"
    assert found(judge(tmp_path, body), run(0, "aa"), run(5, "aa"), run(11, "aa")) == []
    assert len(found(judge(tmp_path, body), run(0, "aa"), run(5, "aa"), run(11, "aa"), run(12, "aa"))) == 1
    assert len(found(judge(tmp_path, body), *(run(n, "aa") for n in range(6)))) == 2


def test_a_late_event_counts_where_it_belongs(tmp_path):
    """It fills a window behind the newest event."""
    body = "type: event_count, timespan: 10s, condition: {gte: 3}"
    assert len(found(judge(tmp_path, body), run(0, "aa"), run(5, "aa"), run(100, "aa"), run(7, "aa"))) == 1
    assert found(judge(tmp_path, body), run(0, "aa"), run(50, "aa"), run(100, "aa"), run(7, "aa")) == []


@pytest.mark.parametrize(("operator", "fires_at"), [("gt", 4), ("gte", 3), ("neq", 1)])
def test_operators_that_each_event_can_judge(tmp_path, operator, fires_at):
    """`gt`, `gte` and `neq` are judged at once."""
    judge_ = judge(tmp_path, f"type: event_count, timespan: 1m, condition: {{{operator}: 3}}")
    fired = [number for number in range(1, 6) if found(judge_, run(number, "aa"))]
    assert fired[0] == fires_at


@pytest.mark.parametrize(
    ("operator", "fires"),
    [("lt", [True, True, False, False]), ("lte", [True] * 3 + [False]), ("eq", [False, False, True, False])],
)
def test_operators_that_only_the_end_can_judge(tmp_path, operator, fires):
    """`lt`, `lte` and `eq` are judged when the span has passed, by whatever event lets time pass."""
    for number, expected in enumerate(fires, 1):
        judge_ = judge(tmp_path, f"type: event_count, timespan: 1m, condition: {{{operator}: 3}}")
        assert found(judge_, *(run(n, "aa") for n in range(number)), run(60, "no")) == []
        assert bool(found(judge_, run(61, "no"))) is expected


def test_time_that_passes_without_events_judges_too(tmp_path):
    """A tick of the clock is enough; a group without events is never judged."""
    judge_ = judge(tmp_path, "type: event_count, timespan: 1m, condition: {lt: 3}")
    judge_.feed(run(0, "aa"))
    later = START.replace(hour=1)
    assert [one.rule.name for one in judge_.expire(later)] == ["count"]
    assert judge_.expire(later.replace(hour=2)) == []


def test_distinct_values_are_counted(tmp_path):
    """The same value twice is one; an event without it is none."""
    body = "type: value_count, timespan: 1m, group-by: [user.name], condition: {gte: 2, field: process.pid}"
    events = [run(n, "aa", user__name="eve", process__pid=pid) for n, pid in enumerate([7, 7, None, 7])]
    assert found(judge(tmp_path, body), *events) == []
    assert len(found(judge(tmp_path, body), *events, run(9, "aa", user__name="eve", process__pid=8))) == 1
    assert found(judge(tmp_path, body), *events, run(9, "aa", user__name="bob", process__pid=8)) == []


@pytest.mark.parametrize(
    ("kind", "condition", "numbers", "fires"),
    [
        ("value_sum", "{gte: 100, field: replguard.bytes}", [40, 40, 20], True),
        ("value_sum", "{gte: 101, field: replguard.bytes}", [40, 40, 20], False),
        ("value_avg", "{gt: 40, field: replguard.bytes}", [10, 30, 90], True),
        ("value_avg", "{gt: 44, field: replguard.bytes}", [10, 30, 90], False),
        ("value_median", "{gte: 30, field: replguard.bytes}", [10, 30, 90], True),
        ("value_median", "{gt: 30, field: replguard.bytes}", [10, 30, 30], False),
        ("value_percentile", "{gte: 90, percentile: 95, field: replguard.bytes}", [10, 30, 90], True),
    ],
)
def test_values_are_summed_and_averaged(tmp_path, kind, condition, numbers, fires):
    """Over the numbers of the events in the span."""
    judge_ = judge(tmp_path, f"type: {kind}, timespan: 1m, condition: {condition}")
    assert bool(found(judge_, *(bytes_of(n, number) for n, number in enumerate(numbers)))) is fires


def test_what_is_no_number_is_not_summed(tmp_path):
    """A name, a missing value and an infinity are passed over."""
    body = "type: value_sum, timespan: 1m, condition: {gte: 1, field: user.name}"
    assert (
        found(judge(tmp_path, body), *(run(n, "aa", user__name=name) for n, name in enumerate(["eve", "inf", "nan"])))
        == []
    )
    assert found(judge(tmp_path, body), run(0, "aa")) == []
    assert len(found(judge(tmp_path, body), run(0, "aa", user__name="1.5"))) == 1


def test_joined_counts_are_kept_for_each_key(tmp_path):
    """Three in one lineage, whatever their own processes are; one alert, not one for each shared ancestor."""
    body = "type: event_count, timespan: 1m, condition: {gte: 3}"
    events = [run(n, "aa", f"own{n}", "shell", "root") for n in range(3)]
    assert len(found(judge(tmp_path, body, "join: [lineage]"), *events)) == 1
    assert found(judge(tmp_path, body, "join: [lineage]"), *(run(n, "aa", f"own{n}") for n in range(3))) == []


def test_groups_and_matches_are_bounded(tmp_path):
    """A flood of groups, or of matches in one, evicts the oldest and counts them."""
    judge_ = judge(tmp_path, "type: event_count, timespan: 1d, group-by: [process.pid], condition: {gte: 99999}")
    rule_ = judge_.ruleset.correlations[0]
    window = Window(rule_)
    for number in range(GROUPS + 10):
        window.feed(Match("a", (float(number), number), (event(number, process__pid=number),)))
    assert window.evicted == 10
    assert len(window) == GROUPS
    few = Window(
        good(
            tmp_path,
            ONE
            + correlation(
                "count", "rules: a, type: value_count, timespan: 1d, condition: {gte: 9, field: process.pid}"
            ),
        ).correlations[0]
    )
    same = event(0, process__pid=1)
    for number in range(LIMIT + 10):
        few.feed(Match("a", (float(number), number), (same,)))
    assert few.evicted == 10


def test_what_is_too_old_is_forgotten(tmp_path):
    """A sweep leaves nothing that no event can complete."""
    window = Window(judge(tmp_path, "type: event_count, timespan: 1m, condition: {gte: 9}").ruleset.correlations[0])
    for number in range(5):
        window.feed(Match("a", (float(number * 60), number), (event(),)))
    window.expire(100.0)
    assert len(window) == 3
    window.expire(1000.0)
    assert len(window) == 0


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=50), st.integers(1, 100))
def test_the_percentile_is_a_value_that_enough_do_not_exceed(values, percent):
    """Nearest rank: at least `percent` of the values are no larger, and no smaller value does it."""
    found_ = percentile(values, percent)
    assert found_ in values
    share = 100 * sum(value <= found_ for value in values) / len(values)
    below = 100 * sum(value < found_ for value in values) / len(values)
    assert below < percent <= share + 1e-9


@pytest.mark.parametrize(
    ("kind", "condition"),
    [
        ("event_count", "{gte: 4}"),
        ("value_count", "{gte: 3, field: replguard.bytes}"),
        ("value_sum", "{gte: 60, field: replguard.bytes}"),
        ("value_avg", "{gt: 20.5, field: replguard.bytes}"),
        ("value_median", "{gte: 25, field: replguard.bytes}"),
        ("value_percentile", "{gte: 30, percentile: 90, field: replguard.bytes}"),
    ],
)
def test_in_any_order_the_spans_that_hold_are_found(tmp_path, monkeypatch, kind, condition):
    """What tells cheaply that a span cannot hold leaves out none that does."""
    text = ONE + correlation("count", f"rules: a, type: {kind}, timespan: 10s, condition: {condition}")
    ruleset, chance = good(tmp_path, text), random.Random(9)
    for _ in range(60):
        times = [chance.randint(0, 40) for _ in range(25)]
        events = [bytes_of(time, chance.choice([1, 5, 5, 20, 31])) for time in times]
        quick = found(Engine(ruleset), *events)
        with monkeypatch.context() as patch:
            patch.setattr("replguard.rules.window._Sliding.may_hold", lambda *_: True)
            assert found(Engine(ruleset), *events) == quick
