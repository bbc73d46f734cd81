import pytest
from support.rulebook import correlation, rule, ruleset

RULES = rule("a", "aa") + rule("b", "bb")
SEQ = "type: temporal_ordered, rules: [a, b], timespan: 1h"
COUNT = "type: event_count, rules: [a], timespan: 1h, condition: {gte: 3}"
SUM = "type: value_sum, rules: [a], timespan: 1h, condition: {gte: 3, field: replguard.score}, group-by: [user.name]"


def faults(tmp_path, text):
    """Return line and text of every fault."""
    return [(problem.line, problem.text) for problem in ruleset(tmp_path, text).problems]


@pytest.mark.parametrize(
    ("body", "ours", "told"),
    [
        (SEQ, "joins: [unit]", "unknown key 'joins', did you mean 'join'?"),
        (SEQ, "join: [unit, pid]", "'join': 'pid' is none of lineage, unit, session, artefact"),
        (SEQ, "levels: {a: hihg}", "'a': 'hihg' is none of"),
        (SEQ, "levels: {c: high}", "'levels' names 'c', which is not among the correlation's rules"),
        (SEQ, "optional: [c]", "'optional' names 'c'"),
        (SEQ, "optional: [a]", "a sequence needs at least two rules that are not optional"),
        (SEQ, "sum: score", "'sum: score' goes with value_sum, not with temporal_ordered"),
        (SEQ, "score: -1", "'score' must be 0 or more"),
        (SEQ, "distinct_rules: 3", "go with 'sum: score'"),
        (SEQ + ", condition: {gte: 1}", "", "temporal_ordered needs every rule in its order"),
        (COUNT, "until: b", "'until' goes with temporal and temporal_ordered, not with event_count"),
        (SUM, "sum: score, join: [unit]", "adds up by 'group-by', not by 'join'"),
        (f"type: temporal, rules: [{', '.join(['a', 'b'] * 9)}], timespan: 1h", "", "18 stages; 16 is the most"),
    ],
)
def test_faults_of_a_correlation_are_told_at_its_line(tmp_path, body, ours, told):
    """Unknown words, wrong combinations and too many stages, each with the sentence that helps."""
    text = RULES + correlation("c", body, ours)
    ((line, said),) = faults(tmp_path, text)
    assert told in said
    assert 21 <= line <= 27


@pytest.mark.parametrize(
    ("ours", "told"),
    [
        ("{scroe: 5}", "unknown key 'scroe', did you mean 'score'?"),
        ("{score: high}", "'score'"),
        ("{score: -5}", "'score' must be 0 or more"),
        ("{blind_spots: one}", "'blind_spots'"),
        ("just text", "expected keys and values"),
        ("{join: [unit]}", "unknown key 'join'"),
    ],
)
def test_faults_of_a_single_event_rule(tmp_path, ours, told):
    """A single-event rule knows fewer keys than a correlation."""
    ((line, said),) = faults(tmp_path, rule("a", "aa", "low", f"replguard: {ours}"))
    assert told in said
    assert line == 9


def test_a_sequence_may_repeat_what_sigma_has_as_default(tmp_path):
    """`condition: {gte: 2}` of two rules says nothing new."""
    assert faults(tmp_path, RULES + correlation("c", SEQ + ", condition: {gte: 2}")) == []
