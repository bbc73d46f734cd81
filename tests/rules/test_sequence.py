from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.rulebook import correlation, engine, event, fed, good, rule, run

from replguard.rules.history import LIMIT
from replguard.rules.matches import Match
from replguard.rules.sequence import Sequence

THREE = rule("a", "aa") + rule("b", "bb") + rule("c", "cc")
ORDERED = "type: temporal_ordered, rules: [a, b, c], timespan: 1h"


def judge(tmp_path, body=ORDERED, ours="join: [lineage]"):
    """Return an engine with a sequence of the rules a, b and c."""
    return engine(tmp_path, THREE + correlation("seq", body, ours))


def found(judge, *events):
    return [one for one in fed(judge, events) if one[0] == "seq"]


def test_stages_in_order_raise_once_all_are_there(tmp_path):
    """The evidence is the events of the stages, in order."""
    got = found(judge(tmp_path), run(0, "aa", "x"), run(60, "bb", "x"), run(120, "cc", "x"))
    assert got == [("seq", "high", ("aa", "bb", "cc"))]


@pytest.mark.parametrize("order", [p for p in permutations("abc") if p != ("a", "b", "c")])
def test_order_is_checked_between_every_pair_of_stages(tmp_path, order):
    """Not only against the first stage, which was Hayabusa's fault 1810: no other order of the three is a sequence."""
    events = [run(60 * n, letter * 2, "x") for n, letter in enumerate(order)]
    assert found(judge(tmp_path), *events) == []


@pytest.mark.parametrize("arrival", list(permutations(range(3))))
def test_late_events_take_their_place(tmp_path, arrival):
    """Whatever the order of arrival, the order of event time makes the sequence, and it is raised once."""
    events = [run(0, "aa", "x"), run(60, "bb", "x"), run(120, "cc", "x")]
    assert found(judge(tmp_path), *(events[n] for n in arrival)) == [("seq", "high", ("aa", "bb", "cc"))]


@pytest.mark.parametrize("arrival", list(permutations(range(3))))
def test_a_wrong_order_of_times_is_never_a_sequence(tmp_path, arrival):
    """Arrival in the right order does not help events whose times are not."""
    events = [run(120, "aa", "x"), run(60, "bb", "x"), run(200, "cc", "x")]
    assert found(judge(tmp_path), *(events[n] for n in arrival)) == []


def test_group_by_holds_across_all_rules(tmp_path):
    """Hayabusa's fault 1809 ignored the group: stages of two users are no sequence."""
    body = ORDERED + ", group-by: [user.name]"
    who = ["eve", "bob", "eve"]
    events = [run(60 * n, letter * 2, user__name=who[n]) for n, letter in enumerate("abc")]
    assert found(judge(tmp_path, body, ""), *events) == []
    events = [run(60 * n, letter * 2, user__name="eve") for n, letter in enumerate("abc")]
    assert len(found(judge(tmp_path, body, ""), *events)) == 1


def test_events_of_one_time_are_in_order_of_arrival(tmp_path):
    """Ties are broken by what came first."""
    assert len(found(judge(tmp_path), run(0, "aa", "x"), run(0, "bb", "x"), run(0, "cc", "x"))) == 1
    assert found(judge(tmp_path), run(0, "bb", "x"), run(0, "aa", "x"), run(0, "cc", "x")) == []


def test_one_event_is_not_two_stages(tmp_path):
    """An event that fits every stage is the first of them only; the next continues what is there."""
    judge_ = judge(tmp_path)
    assert found(judge_, run(0, "aa bb cc", "x")) == []
    assert found(judge_, run(1, "bb", "x"), run(2, "cc", "x")) == [("seq", "high", ("aa bb cc", "bb", "cc"))]


def test_the_time_span_runs_from_the_first_stage(tmp_path):
    """Exactly the span is within it, a second more is not; a newer first stage counts anew."""
    assert len(found(judge(tmp_path), run(0, "aa", "x"), run(1800, "bb", "x"), run(3600, "cc", "x"))) == 1
    assert found(judge(tmp_path), run(0, "aa", "x"), run(1800, "bb", "x"), run(3601, "cc", "x")) == []


def test_a_stage_joins_the_first_or_the_last_and_nothing_else(tmp_path):
    """A shares with B, B with C: a sequence. C that shares only with a middle stage is a stranger."""
    body = "type: temporal_ordered, rules: [a, b, c, d], timespan: 1h"
    text = THREE + rule("d", "dd") + correlation("seq", body, "join: [lineage]")
    chain = [run(0, "aa", "x"), run(1, "bb", "x", "y"), run(2, "cc", "y", "z"), run(3, "dd", "z")]
    assert len(found(engine(tmp_path, text), *chain)) == 1
    by_first = [run(0, "aa", "x"), run(1, "bb", "x", "y"), run(2, "cc", "y"), run(3, "dd", "x")]
    assert len(found(engine(tmp_path, text), *by_first)) == 1
    by_middle = [run(0, "aa", "x"), run(1, "bb", "x", "y"), run(2, "cc", "x"), run(3, "dd", "y")]
    assert found(engine(tmp_path, text), *by_middle) == []


def test_an_artefact_joins_two_lineages(tmp_path):
    """What was made in the sequence carries it on to whoever starts it."""
    events = [
        run(0, "aa", "x"),
        run(1, "bb", "x", replguard__artefacts=["copy"]),
        run(2, "cc", "elsewhere", replguard__artefacts=["copy"]),
    ]
    assert len(found(judge(tmp_path, ORDERED, "join: [lineage, artefact]"), *events)) == 1
    assert found(judge(tmp_path), *events) == []


def test_with_join_every_artefact_may_be_the_one(tmp_path):
    """Two shards are copied; the start of either completes the sequence."""
    shards = [run(n, "bb", "x", replguard__artefacts=[f"shard{n}"]) for n in (1, 2)]
    for n in (1, 2):
        started = run(9, "cc", "elsewhere", replguard__artefacts=[f"shard{n}"])
        got = found(judge(tmp_path, ORDERED, "join: [lineage, artefact]"), run(0, "aa", "x"), *shards, started)
        assert len(got) == 1


def test_a_start_is_of_what_it_starts_and_not_of_what_was_made_since(tmp_path):
    """Its actor is the same for all that he made; the artefact tells which of it."""
    rules = judge(tmp_path, ORDERED, "join: [lineage, artefact]")
    made = [run(n, "bb", "x", replguard__artefacts=[f"copy{n}"]) for n in (1, 2, 3)]
    last = run(9, "cc", "x", replguard__artefacts=["copy2"])
    raised = [one for event in (run(0, "aa", "x"), *made, last) for one in rules.feed(event)]
    assert [one.events[1].replguard.artefacts for one in raised] == [("copy2",)]


def test_what_is_started_counts_for_more_than_who_is_near(tmp_path):
    """Another copy was made by who shares more with the starter than only the artefact."""
    rules = judge(tmp_path, ORDERED, "join: [lineage, artefact]")
    events = [
        run(0, "aa", "x"),
        run(1, "bb", "x", "y", "z", replguard__artefacts=["other"]),
        run(2, "bb", "x", replguard__artefacts=["served"]),
        run(3, "bb", "x", "y", "z", replguard__artefacts=["later"]),
        run(9, "cc", "x", "y", "z", replguard__artefacts=["served"]),
    ]
    raised = [one for event in events for one in rules.feed(event)]
    assert [one.events[1].replguard.artefacts for one in raised] == [("served",)]


def test_optional_stages_may_be_left_out(tmp_path):
    """They are evidence when met in their place; at the end they raise anew."""
    ours = "join: [lineage], optional: [a]"
    assert found(judge(tmp_path, ORDERED, ours), run(1, "bb", "x"), run(2, "cc", "x")) == [
        ("seq", "high", ("bb", "cc"))
    ]
    got = found(judge(tmp_path, ORDERED, ours), run(0, "aa", "x"), run(1, "bb", "x"), run(2, "cc", "x"))
    assert got == [("seq", "high", ("aa", "bb", "cc"))]
    got = found(
        judge(tmp_path, ORDERED, "join: [lineage], optional: [c]"),
        run(0, "aa", "x"),
        run(1, "bb", "x"),
        run(2, "cc", "x"),
    )
    assert [evidence for _, _, evidence in got] == [("aa", "bb"), ("aa", "bb", "cc")]


def test_levels_raise_at_their_stage(tmp_path):
    """A stage with a level alerts when it is reached, not by the first stage alone; the last one may have its own."""
    ours = "join: [lineage], levels: {a: low, b: medium, c: critical}"
    got = found(judge(tmp_path, ORDERED, ours), run(0, "aa", "x"), run(1, "bb", "x"), run(2, "cc", "x"))
    assert got == [("seq", "medium", ("aa", "bb")), ("seq", "critical", ("aa", "bb", "cc"))]


def test_until_ends_the_sequences_that_it_joins(tmp_path):
    """Only those, and only what was before it; an end that arrives late spares what came after."""
    text = THREE + rule("stop", "stop") + correlation("seq", ORDERED, "join: [lineage], until: stop")
    start, middle, end = run(0, "aa", "x"), run(10, "bb", "x"), run(20, "cc", "x")
    assert found(engine(tmp_path, text), start, middle, run(15, "stop", "x"), end) == []
    assert len(found(engine(tmp_path, text), start, middle, run(15, "stop", "other"), end)) == 1
    assert found(engine(tmp_path, text), start, middle, run(17, "nothing", "x"), run(5, "stop", "x"), end) == []
    assert len(found(engine(tmp_path, text), run(0, "stop", "x"), run(1, "aa", "x"), middle, end)) == 1


def test_a_rule_may_be_several_stages(tmp_path):
    """Three of one kind and then another."""
    body = "type: temporal_ordered, rules: [a, a, b], timespan: 1h, group-by: [user.name]"
    events = [run(0, "aa", user__name="eve"), run(1, "aa", user__name="eve"), run(2, "bb", user__name="eve")]
    assert len(found(judge(tmp_path, body, ""), *events)) == 1
    assert found(judge(tmp_path, body, ""), events[0], events[2]) == []


def test_state_is_bounded_and_evictions_are_counted(tmp_path):
    """A flood of first stages costs no more than the bound."""
    judge_ = judge(tmp_path)
    for number in range(LIMIT + 100):
        judge_.feed(run(number / 1000, "aa", f"x{number}"))
    assert judge_.counters.partials == LIMIT
    assert judge_.counters.evicted >= 100
    assert found(judge_, run(100, "bb", f"x{LIMIT}"), run(101, "cc", f"x{LIMIT}"))


events_of_two_groups = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(["g", "h", None]), st.integers(0, 12)), max_size=14
)


def eql(sequence, span, events):
    """Return the sequences that EQL finds in events that are in order, written after its reference implementation."""
    lookups = [{} for _ in sequence]
    results = []
    for place, (name, group, time) in events:
        for table in lookups:
            for key in [key for key, held in table.items() if held[0][1] < time - span]:
                del table[key]
        for position in reversed(range(len(sequence))):
            if name != sequence[position] or group is None:
                continue
            held = [] if position == 0 else lookups[position].pop(group, None)
            if held is None:
                continue
            held = [*held, (place, time)]
            if position == len(sequence) - 1:
                results.append(tuple(which for which, _ in held))
            else:
                lookups[position + 1][group] = held
    return results


@pytest.fixture(scope="module")
def plain_sequences(tmp_path_factory):
    """Return the loaded sequences by their stages, grouped and not joined."""
    made = {}
    for stages in ("abc", "ab", "aab", "aba"):
        body = f"type: temporal_ordered, rules: [{', '.join(stages)}], timespan: 5s, group-by: [user.name]"
        made[stages] = good(tmp_path_factory.mktemp(stages), THREE + correlation("seq", body)).correlations[0]
    return made


def hits(rule_, events):
    """Return the sequences that ours finds, as places of events in the order in which they were written."""
    ours = Sequence(rule_)
    found_ = []
    for arrival, (place, (name, group, time)) in enumerate(events):
        one = event(time, **({"user__name": group} if group else {}), process__pid=place)
        got = ours.feed(Match(name, (float(time), arrival), (one,)))
        found_ += [tuple(match.evidence[0].process.pid for match in hit.matches) for hit in got]
    return found_


@given(stages=st.sampled_from(["abc", "ab", "aab", "aba"]), events=events_of_two_groups)
def test_in_order_we_find_what_eql_finds(plain_sequences, stages, events):
    """Random events in order of time: the same sequences, one by one."""
    ordered = list(enumerate(sorted(events, key=lambda one: one[2])))
    assert hits(plain_sequences[stages], ordered) == eql(stages, 5, ordered)


@given(stages=st.sampled_from(["abc", "ab"]), events=events_of_two_groups, shuffle=st.randoms())
def test_out_of_order_what_eql_finds_in_the_end_is_found(plain_sequences, stages, events, shuffle):
    """Events of distinct times in any order of arrival: no last stage that EQL completes goes without an alert."""
    distinct = list({time: (name, group, time) for name, group, time in events}.values())
    arrived = list(enumerate(distinct))
    shuffle.shuffle(arrived)
    ordered = sorted(arrived, key=lambda one: one[1][2])
    expected = {one[-1] for one in eql(stages, 5, ordered)}
    assert expected <= {one[-1] for one in hits(plain_sequences[stages], arrived)}
