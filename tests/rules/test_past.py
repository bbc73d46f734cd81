from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from support.rulebook import START, correlation, engine, event, fed, good, rule, run

from replguard.rules import past
from replguard.rules.engine import Engine
from replguard.rules.past import Past

TWO = rule("a", "aa") + rule("b", "bb")
SEQ = correlation("seq", "type: temporal_ordered, rules: [a, b], timespan: 1h", "join: [lineage]")


def test_a_sequence_goes_on_after_a_start(tmp_path):
    """Its beginning is found in what was kept, and nothing of that is told or counted again."""
    rules = good(tmp_path, TWO + SEQ)
    before, kept = Engine(rules), Past(Engine(rules).span)
    for one in (run(0, "aa", "x"), run(1, "nothing", "x")):
        before.feed(one)
        kept.keep(one, before)
    after = Engine(rules)
    list(after.resume(kept.before(START + timedelta(minutes=5))))
    assert after.matches == {"a": 0, "b": 0, "seq": 0}
    assert [name for name, _, _ in fed(after, [run(400, "bb", "x")])] == ["seq"]


def test_what_is_too_long_ago_is_left_out(tmp_path):
    """No correlation of the rules looks back on it any more; one of weeks is followed for a day."""
    judge = engine(tmp_path, TWO + SEQ)
    kept, one = Past(judge.span), run(0, "aa", "x")
    judge.feed(one)
    kept.keep(one, judge)
    assert list(kept.before(START + judge.span)) == [one]
    assert list(kept.before(START + judge.span + timedelta(seconds=1))) == []
    assert engine(tmp_path, TWO + SEQ.replace("1h", "30d")).span == timedelta(days=1)


def test_what_is_kept_is_bounded(tmp_path, monkeypatch):
    """The newest stay."""
    monkeypatch.setattr(past, "LIMIT", 3)
    judge = engine(tmp_path, TWO + SEQ)
    kept = Past(judge.span)
    for number in range(5):
        judge.feed(one := run(number, "aa", "x"))
        kept.keep(one, judge)
    assert len(list(kept.before(START))) == 3
    assert kept.lacks(START + timedelta(seconds=9))
    assert not kept.lacks(START + judge.span + timedelta(seconds=9))


def test_nothing_lacks_while_there_is_room(tmp_path):
    """A replay has nothing to tell then."""
    judge = engine(tmp_path, TWO + SEQ)
    kept = Past(judge.span)
    judge.feed(one := run(0, "aa", "x"))
    kept.keep(one, judge)
    assert not kept.lacks(START)


steps = st.lists(
    st.tuples(st.sampled_from(["aa", "bb", "no", "tick"]), st.sampled_from("xy"), st.integers(0, 90)), max_size=25
)


@given(steps, steps)
def test_the_whole_log_and_what_was_kept_of_it_give_the_same(tmp_path_factory, first, then):
    """The daemon goes through its log, a replay keeps what mattered: after a start both find the same."""
    rules = good(tmp_path_factory.mktemp("r"), TWO + SEQ)

    def made(some, base):
        return [
            event(base + time, "sensor_health", health__component="clock", health__state="tick")
            if what == "tick"
            else run(base + time, what, who)
            for what, who, time in some
        ]

    log, live, kept = made(first, 0), Engine(rules), Past(Engine(rules).span)
    for one in log:
        live.feed(one)
        kept.keep(one, live)
    by_log, by_past = Engine(rules), Engine(rules)
    list(by_log.resume(log))
    list(by_past.resume(kept.before(START)))
    later = made(then, 60)
    assert list(fed(by_log, later)) == list(fed(by_past, later))
