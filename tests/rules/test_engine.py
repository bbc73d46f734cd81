import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.rulebook import START, correlation, engine, event, fed, good, rule, run

from replguard.rules.engine import Engine
from replguard.rules.history import TOLERANCE

TWO = rule("a", "aa") + rule("b", "bb")
SEQ = correlation("seq", "type: temporal_ordered, rules: [a, b], timespan: 2h", "join: [lineage]")


def health(seconds, state, **fields):
    return event(seconds, "sensor_health", health__component="clock", health__state=state, **fields)


def names(judge, *events):
    return [name for name, _, _ in fed(judge, events)]


def test_a_rule_is_told_with_its_event(tmp_path):
    """The detection carries the rule, whom it is about, and the event."""
    text = rule("a", "aa", "critical", "tags: [attack.t1005]\nreplguard: {runbook: book}")
    one = run(0, "aa", replguard__actor={"kind": "agent", "id": "agent-1", "principal": "p"})
    (found,) = engine(tmp_path, text).feed(one)
    assert (found.rule.name, found.rule.level, found.rule.tags) == ("a", "critical", ("attack.t1005",))
    assert (found.key, found.events, found.runbook, found.degraded) == ("agent-1", (one,), "book", False)


def test_what_existed_at_the_start_is_no_act(tmp_path):
    """A snapshot is passed over."""
    judge = engine(tmp_path, TWO)
    assert names(judge, run(0, "aa", event={"action": "process_exec", "kind": "state"})) == []
    assert judge.matches == {"a": 0, "b": 0}


def test_every_rule_is_counted_from_zero(tmp_path):
    """Also one that raises nothing by itself."""
    judge = engine(tmp_path, TWO + SEQ)
    assert judge.matches == {"a": 0, "b": 0, "seq": 0}
    assert names(judge, run(0, "aa", "x"), run(1, "bb", "x")) == ["seq"]
    assert judge.matches == {"a": 1, "b": 1, "seq": 1}


def test_generate_lets_the_named_rules_speak(tmp_path):
    """Sigma's `generate`: true, and they alert too; false, the default, and only the correlation does."""
    body = "type: temporal_ordered, rules: [a, b], timespan: 2h, generate: true"
    loud = engine(tmp_path, TWO + correlation("seq", body, "join: [lineage]"))
    assert names(loud, run(0, "aa", "x"), run(1, "bb", "x")) == ["a", "b", "seq"]


def test_correlations_of_correlations(tmp_path):
    """A sequence may be a stage of another, and joins by its ends; the evidence is that of both."""
    outer = correlation("outer", "type: temporal_ordered, rules: [seq, c], timespan: 2h", "join: [lineage]", "critical")
    judge = engine(tmp_path, TWO + rule("c", "cc") + outer + SEQ)
    got = list(fed(judge, [run(0, "aa", "x"), run(1, "bb", "x"), run(2, "cc", "x")]))
    assert got == [("outer", "critical", ("aa", "bb", "cc"))]


def test_an_event_of_long_ago_takes_no_part_in_correlations(tmp_path):
    """It is matched by itself, and counted as late."""
    body = "type: temporal_ordered, rules: [a, b], timespan: 2h, generate: true"
    judge = engine(tmp_path, TWO + correlation("seq", body, "join: [lineage]"))
    assert names(judge, run(TOLERANCE + 10, "bb", "x"), run(9, "aa", "x")) == ["b", "a"]
    assert judge.counters.late == 1
    assert names(judge, run(10, "aa", "x")) == ["a", "seq"]


def test_lost_events_make_detections_degraded(tmp_path):
    """For as long as a window holds the loss; also where the event itself says so."""
    for lost_at, expected in ((5, True), (-7300, False)):
        judge = engine(tmp_path, TWO + SEQ)
        (found,) = [d for e in (health(lost_at, "loss"), run(0, "aa", "x"), run(10, "bb", "x")) for d in judge.feed(e)]
        assert found.degraded is expected
    (found,) = engine(tmp_path, rule("a", "aa")).feed(run(0, "aa", replguard__degraded=True))
    assert found.degraded


def test_a_date_in_the_far_future_does_not_end_correlating(tmp_path):
    """Once ticks tell the time, an event that claims another cannot make all others late."""
    judge = engine(tmp_path, TWO + SEQ)
    events = [health(0, "tick"), run(10_000_000, "aa", "y"), run(1, "aa", "x"), health(2, "tick"), run(3, "bb", "x")]
    assert names(judge, *events) == ["seq"]
    assert judge.counters.late == 0


def test_a_clock_that_is_set_back_is_followed(tmp_path):
    """Ticks are the time, whichever way they jump."""
    judge = engine(tmp_path, TWO + SEQ)
    events = [health(100_000, "tick"), health(0, "tick"), run(1, "aa", "x"), run(2, "bb", "x")]
    assert names(judge, *events) == ["seq"]


def test_state_is_forgotten_in_time(tmp_path):
    """Two hours and the tolerance later nothing is kept."""
    judge = engine(tmp_path, TWO + SEQ)
    judge.feed(run(0, "aa", "x"))
    assert judge.counters.partials == 1
    judge.expire(START.replace(hour=3))
    assert judge.counters.partials == 0


def test_a_reload_keeps_the_sequences_of_unchanged_rules(tmp_path):
    """A changed correlation starts anew, the others go on; counts go on too."""
    old = engine(tmp_path, TWO + SEQ)
    old.feed(run(0, "aa", "x"))
    same = Engine(good(tmp_path, TWO + SEQ))
    same.adopt(old)
    assert same.matches["a"] == 1
    assert names(same, run(1, "bb", "x")) == ["seq"]
    changed = Engine(good(tmp_path, TWO + SEQ.replace("2h", "1h")))
    changed.adopt(old)
    assert names(changed, run(1, "bb", "x")) == []


def test_a_time_without_a_zone_is_utc(tmp_path):
    """A record of another tool may lack it; the host's own zone plays no part."""
    judge = engine(tmp_path, TWO + SEQ)
    second = run(1, "bb", "x")
    naive = msgspec.structs.replace(second, timestamp=second.timestamp.replace(tzinfo=None))
    assert names(judge, run(0, "aa", "x"), naive) == ["seq"]


FAMILIES = {
    "ordered": "type: temporal_ordered, rules: [a, b], timespan: 10s",
    "together": "type: temporal, rules: [a, b], timespan: 10s",
    "counted": "type: event_count, rules: [a, b], timespan: 10s, condition: {gte: 4}",
    "few": "type: event_count, rules: [a], timespan: 10s, condition: {lt: 3}",
}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    text = TWO + "".join(correlation(name, body, "join: [lineage]") for name, body in FAMILIES.items())
    return good(tmp_path_factory.mktemp("mixed"), text)


@given(
    st.lists(st.tuples(st.sampled_from(["aa", "bb", "no"]), st.sampled_from("xyz"), st.integers(0, 60)), max_size=30)
)
def test_the_same_events_give_the_same_detections(mixed, events):
    """Twice over, and in pieces with a reload between: nothing depends on chance or on the engine's age."""

    def told(judge, some):
        return list(fed(judge, [run(time, text, who) for text, who, time in some]))

    once, twice, pieces = Engine(mixed), Engine(mixed), Engine(mixed)
    half = len(events) // 2
    first = told(pieces, events[:half])
    again = Engine(mixed)
    again.adopt(pieces)
    assert told(once, events) == told(twice, events) == first + told(again, events[half:])


def test_correlations_remember_the_beginning_of_a_giant_argv(tmp_path):
    """Thousands of matches are kept for hours; each by no more than it takes."""
    judge = engine(tmp_path, TWO + SEQ)
    giant = "aa " + "x" * 128 * 1024
    first, second = run(0, giant, "l"), run(1, "bb", "l")
    found = [*judge.feed(first), *judge.feed(second)]
    (events,) = [one.events for one in found if one.rule.name == "seq"]
    assert [event.event.id for event in events] == [first.event.id, second.event.id]
    assert len(events[0].process.command_line) < 8192
