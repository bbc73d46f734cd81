import pytest
from support.rulebook import correlation, good, rule, run

from replguard.rules.engine import Engine
from replguard.rules.tally import Tally, counted, times

TWO = rule("a", "aa") + rule("b", "bb") + rule("c", "cc")
ORDERED = "type: temporal_ordered, rules: [a, b, c], timespan: 10m, group-by: [User]"


@pytest.fixture
def told(tmp_path):
    """Return what is said of a rule after two engines have seen the events, half each."""

    def tell(name, text, *events, alerts=0):
        found = good(tmp_path, text)
        tally = Tally()
        for half in (events[: len(events) // 2], events[len(events) // 2 :]):
            judge = Engine(found)
            for one in half:
                tally.see(one)
                judge.feed(one)
            tally.take(judge)
        return list(tally.told(found.find(name), found, alerts))

    return tell


def test_a_rule_that_matched(told):
    """How often, over all starts, and what came of it."""
    events = [run(n, "aa") for n in range(5)]
    assert told("a", TWO, *events, alerts=2) == ["a matched 5 times, 2 alerts"]
    assert told("a", TWO, *events[:1], alerts=1) == ["a matched once, 1 alert"]
    seq = correlation("s", "type: event_count, rules: [a], timespan: 1h, condition: {gte: 9}")
    assert told("a", TWO + seq, *events) == [
        "a matched 5 times, no alerts; it raises none by itself, because a correlation names it"
    ]


def test_a_rule_that_did_not(told):
    """Whether there was anything to match says whether the rule or the log is to blame."""
    assert told("a", TWO, run(0, "x"), run(1, "y")) == ["a matched none of 2 events of its kind (process_exec)"]
    assert told("a", TWO) == ["a matched nothing: the log has no event of its kind (process_exec)"]


def test_a_correlation_that_did_not_come_about(told):
    """Which of its rules matched; when all did, what it asks for besides."""
    seq = correlation("s", ORDERED, "optional: [c]")
    assert told("s", TWO + seq, run(0, "aa"), run(1, "aa")) == [
        "s did not come about; of its rules", "  a matched 2 times", "  b matched nothing",
        "  c (optional) matched nothing",
    ]  # fmt: skip
    *_, last = told("s", TWO + seq, run(0, "bb"), run(1, "aa"))
    assert last == "  each that it needs matched, but not as it asks: in this order, within 10m, with the same User"
    count = correlation(
        "s", "type: event_count, rules: [a], timespan: 1h, condition: {gte: 9}", "join: [unit, session]"
    )
    *_, last = told("s", TWO + count, run(0, "aa"), run(1, "aa"))
    assert last.endswith("as it asks: matches gte 9, within 1h, sharing one of unit, session")


def test_what_came_too_late_is_told(told):
    """It may be the reason."""
    seq = correlation("s", ORDERED)
    lines = told("s", TWO + seq, run(0, "x"), run(0, "x"), run(9000, "aa"), run(1, "bb"))
    assert lines[-1] == "  1 event came too late to take part"


def test_counts_are_in_words():
    """As a person says them."""
    assert [times(1), times(1234), counted(0, "alert"), counted(1, "alert"), counted(2345, "event")] == [
        "once", "1,234 times", "no alerts", "1 alert", "2,345 events",
    ]  # fmt: skip
