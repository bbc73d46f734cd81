import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.rulebook import good, rule, ruleset

from replguard.rules.parse import Source, parse
from replguard.yamlfile import Document

HEAD = "title: t\nlogsource: {product: linux, category: process_creation}\n"
BODY = "detection:\n  s: {CommandLine: x}\n  condition: s\n"


COUNT = """title: t
correlation: {type: event_count, rules: [a], timespan: 1h, group-by: [User], condition: {gte: 1}}
"""


def faults(tmp_path, text):
    return [(problem.line, problem.text) for problem in ruleset(tmp_path, text).problems]


def test_a_rule_is_read_whole(tmp_path):
    """Every key that people and alerts need."""
    extra = """id: 5f1a0a0e-7f0e-4a39-9a0e-0d0b6a6f8f11
status: stable
description: what it is
tags: [attack.t1005]
falsepositives: [backup]
references: [https://example.org]
replguard: {score: 7, runbook: book, triage: look, blind_spots: [night]}"""
    found = good(tmp_path, rule("a", "x", "critical", extra)).rules[0]
    assert (found.id, found.name, found.title) == ("5f1a0a0e-7f0e-4a39-9a0e-0d0b6a6f8f11", "a", "a")
    assert (found.level, found.score, found.status) == ("critical", 7, "stable")
    assert (found.tags, found.falsepositives, found.blind_spots) == (("attack.t1005",), ("backup",), ("night",))
    assert (found.triage, found.runbook, found.description) == ("look", "book", "what it is")
    assert found.fields == ("CommandLine",)
    assert found.actions == {"process_exec"}


def test_what_a_rule_does_not_say_has_a_default(tmp_path):
    """The file gives the name, medium is the level, the level gives the score."""
    found = good(tmp_path, HEAD + BODY).rules[0]
    assert (found.name, found.id, found.level, found.score) == ("own", "own", "medium", 20)


def test_levels_of_the_configuration_win(tmp_path):
    """By name or id, and the score follows the level."""
    found = good(tmp_path, rule("a", "x", "low"), levels={"a": "high"}).rules[0]
    assert (found.level, found.score) == ("high", 60)


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        (HEAD + BODY + "level: hihg\n", 6, "hihg"),
        (HEAD + BODY + "status: new\n", 6, "new"),
        (HEAD + BODY + "id: 7\n", 6, "'id' must be text: put it in quotes"),
        (HEAD + BODY + "name: [a]\n", 6, "'name' must be text: put it in quotes"),
        (HEAD + BODY.replace("condition: s", f"condition: {'not ' * 300}s"), 5, "nested too deeply"),
        (HEAD + BODY + "id: no-uuid\n", 6, "UUID"),
        (HEAD + BODY + "lvel: high\n", 6, "unknown key 'lvel', did you mean 'level'?"),
        (HEAD + BODY.replace("condition: s", "condition: t"), 5, "'t' not defined"),
        (HEAD + BODY.replace("condition: s", "condition: s and"), 5, ""),
        (HEAD + BODY.replace("condition: s", "condition: s | count() > 5"), 5, "pipe"),
        (HEAD, 1, "detection"),
        (HEAD + "detection: [1]\n", 3, "map"),
        (HEAD + "detection: {condition: s}\n", 3, "No detections"),
        ("title: t\n" + BODY, 1, "log source"),
        ("title: t\nlogsource: linux\n" + BODY, 2, ""),
        ("title: t\ncorrelation: text\n", 2, "dict"),
        ("title: t\ncorrelation: {type: temporl, rules: [a, b], timespan: 1h}\n", 2, "temporl"),
        (COUNT.replace("1h", "soon"), 2, "soon"),
        ("title: t\ncorrelation: {type: temporal, rules: [a, b], timespan: 1h, condition: a and b}\n", 2, "in words"),
        (COUNT.replace("gte: 1", "gte: 1000000"), 2, "100000"),
        (COUNT.replace("gte: 1", "gte: many"), 2, "many"),
        (COUNT.replace("User", "Usr"), 2, "did you mean 'User'?"),
        ("title: t\nfilter: text\nlogsource: {product: linux}\n", 2, ""),
        ("title: t\nfilter: {rules: any, s: {Image: x}}\nlogsource: {product: linux}\n", 2, "condition"),
        ("action: global\n", 1, "'action'"),
        ("just text\n", 1, "expected a Sigma rule"),
        ("[1, 2]\n", 1, "expected a Sigma rule"),
        (HEAD + "detection:\n  s:\n    CommandLine|re: '('\n    Image|nope: x\n  condition: s\n", 5, "is invalid"),
    ],
)  # fmt: skip
def test_every_fault_has_its_line(tmp_path, text, line, told):
    """Whatever is wrong is told in a sentence, at its line or the rule's."""
    found = faults(tmp_path, text)
    assert any(at == line and told in said for at, said in found), found


def test_all_faults_of_a_rule_are_told_at_once(tmp_path):
    """Not only the first, and none twice."""
    text = (
        HEAD
        + "level: hihg\nstatus: new\ndetection:\n  s:\n    CommandLine|re: '('\n    Image|nope: x\n  condition: s\n"
    )
    assert [line for line, _ in faults(tmp_path, text)] == [7, 8, 3, 4]


leaves = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.dates())
keys = st.sampled_from(
    "title id name level status tags date logsource detection correlation filter replguard condition type rules "
    "timespan generate group-by aliases category product s Image CommandLine|re Image|contains|all a|cidr a|expand "
    "score join until".split()
)
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=5)),
    max_leaves=15,
)


@given(st.dictionaries(keys, trees, max_size=6))
def test_no_document_raises(value):
    """Anything that YAML can hold is a rule or a problem, never an exception."""
    problems = []
    made = parse(Document("r.yml", value), Source("r", "0", shipped=False, levels={}), problems)
    assert made is not None or problems
