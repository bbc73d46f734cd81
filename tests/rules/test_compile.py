import pytest
from hypothesis import given
from hypothesis import strategies as st
from sigma.exceptions import SigmaError
from sigma.rule import SigmaRule
from support import plainsigma

from replguard.rules.compile import compile_rule, fields_of
from replguard.rules.fields import Layout, mapping_field

LETTERS = "abAB/ ßΣςi"
texts = st.text(LETTERS, max_size=8)
fields = st.sampled_from(["x", "y"])
patterns = st.text(LETTERS + "*?", max_size=6)
regexes = st.sampled_from(
    ["a+b", "^a", "b$", "(a|b)/", "[ab]{2}i", "(?:ab|ba)+", "a?b", "ß", "x", "(?i)AB", "(?:/a|/b)i*"]
)
items = st.one_of(
    st.tuples(
        fields,
        st.sampled_from(["", "|contains", "|startswith", "|endswith", "|contains|all", "|cased", "|contains|cased"]),
        st.one_of(patterns, st.lists(patterns, min_size=1, max_size=4)),
    ),
    st.tuples(fields, st.sampled_from(["|re", "|re|i"]), st.one_of(regexes, st.lists(regexes, min_size=1, max_size=3))),
    st.tuples(fields, st.just(""), st.sampled_from([None, 0, 1, True, [None, "a"]])),
)
mappings = st.lists(items, min_size=1, max_size=3).map(lambda found: {f + m: v for f, m, v in found})
selections = st.one_of(mappings, st.lists(mappings, min_size=1, max_size=2))
conditions = st.recursive(
    st.sampled_from(["s1", "s2", "s3"]),
    lambda inner: st.one_of(
        st.tuples(st.just("not"), inner),
        st.tuples(st.sampled_from(["and", "or"]), inner, inner),
        st.tuples(st.sampled_from(["and", "or"]), inner, inner, inner),
    ),
    max_leaves=5,
)
values = st.one_of(st.none(), texts, st.sampled_from([0, 1]), st.lists(texts, min_size=1, max_size=3).map(tuple))


def compiled(detections, condition):
    """Return the layout and the compiled rule of a detection."""
    document = {
        "title": "t",
        "logsource": {"category": "process_creation"},
        "detection": {**detections, "condition": condition},
    }
    layout = Layout(mapping_field)
    return layout, compile_rule(SigmaRule.from_dict(document), layout)


@given(
    st.fixed_dictionaries({"s1": selections, "s2": selections, "s3": selections}),
    conditions,
    st.lists(st.fixed_dictionaries({"x": values, "y": values}), min_size=1, max_size=5),
)
def test_the_compiled_rule_agrees_with_a_plain_evaluator(detections, condition, events):
    """On random rules and events both say the same, and what a rule needs is there."""
    layout, node = compiled(detections, plainsigma.written(condition))
    for event in events:
        plain, low = layout.rows(event)
        expected = plainsigma.holds(condition, detections, event)
        assert node.test(plain, low) is expected
        needed = all(any(_there(sign, low[slot]) for slot, sign in clause) for clause in node.needs)
        assert needed or not expected
        assert expected or not (needed and node.exact)


def _there(sign, value):
    """Tell whether a sign is in a field."""
    return any(plainsigma.sign(sign, part) for part in ([value] if isinstance(value, str) else value or ()))


@pytest.mark.parametrize(
    ("condition", "event", "matches"),
    [
        ("1 of sel_*", {"x": "a"}, True),
        ("1 of sel_*", {"x": "c"}, False),
        ("all of sel_*", {"x": "a", "y": "b"}, True),
        ("all of sel_*", {"x": "a"}, False),
        ("all of them", {"x": "a", "y": "b", "z": "f"}, True),
        ("1 of them and not filter", {"x": "a", "z": "f"}, False),
        ("sel_1 and not (sel_2 or filter)", {"x": "a"}, True),
        (["sel_1", "sel_2"], {"y": "b"}, True),
    ],
)
def test_selectors_and_lists_of_conditions(condition, event, matches):
    """`1 of`, `all of`, `them` and several conditions are what Sigma says."""
    detections = {"sel_1": {"x": "a"}, "sel_2": {"y": "b"}, "filter": {"z": "f"}}
    layout, node = compiled(detections, condition)
    assert node.test(*layout.rows(event)) is matches


def test_keywords_are_found_anywhere():
    """Values without a field match inside any text; `|all` needs each of them."""
    layout, node = compiled({"s": ["needle", 404]}, "s")
    assert node.test(*layout.rows({"m": "hay NEEDLE hay"}))
    assert node.test(*layout.rows({"m": {"n": [404]}}))
    assert not node.test(*layout.rows({"m": "hay"}))
    layout, node = compiled({"s": {"|all": ["one", "two"]}}, "s")
    assert node.test(*layout.rows({"a": "one", "b": "two"}))
    assert not node.test(*layout.rows({"a": "one"}))


def test_a_condition_that_names_nothing_is_an_error():
    """A selection that does not exist is told, not dropped."""
    with pytest.raises(SigmaError):
        compiled({"s": {"x": "a"}}, "s and t")


def test_the_fields_of_a_rule_are_known():
    """Compared fields are listed too, in order of appearance."""
    document = {
        "title": "t",
        "logsource": {"category": "process_creation"},
        "detection": {"s": {"a|fieldref": "b", "c": 1}, "condition": "s"},
    }
    assert fields_of(SigmaRule.from_dict(document)) == ("a", "b", "c")
