import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sigma.types import SigmaRegularExpression, SigmaRegularExpressionFlag, SigmaString

from replguard.rules.literals import best, either, of_regex, of_string


@pytest.mark.parametrize(
    ("text", "found"),
    [("*Curl*", {"curl"}), ("/bin/*/python?", {"/python"}), ("*", None), ("", None), (r"\*", {"*"})],
)
def test_the_longest_plain_part_of_a_string(text, found):
    """Wildcards are left out, case is folded."""
    assert of_string(SigmaString(text)) == (found and frozenset(found))


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        (r"(?:^|\s)ssh\s.*-R", {"ssh"}),
        (r"(?:scp|rsync)\s", {"scp", "rsync"}),
        (r"a*", None),
        (r"(?:x)?longer", {"longer"}),
        (r"(?:ab){2,}", {"ab"}),
        (r"\d+", None),
        (r"one|\d", None),
        (r"[a]bc", {"abc"}),
        (r"(", None),
        (r"(?i)kill -9", {"ll -9"}),
    ],
)
def test_what_a_regular_expression_must_find(expression, found):
    """A run of characters that every match holds, or one for each alternative."""
    if expression == "(":
        with pytest.raises(re.error):
            re.compile(expression)
        return
    assert of_regex(SigmaRegularExpression(expression)) == (found and frozenset(found))


@given(
    st.sampled_from(["kis[sz]", "(?:I|K)x", "sß", "(?:ab|ki)+", "s{2}", "i", "(?:s|ſ)t", "K?it"]),
    st.text("kKKsSſßiIİıtxab", max_size=8),
)
def test_no_match_is_without_its_literal(expression, text):
    """Whatever `re` takes for equal without case, the text that the index looks for is in the folded text."""
    value = SigmaRegularExpression(expression, {SigmaRegularExpressionFlag.IGNORECASE})
    found = of_regex(value)
    if found is not None and re.search(expression, text, re.IGNORECASE):
        assert any(literal in text.casefold() for literal in found)


def test_choices():
    """Of several that must hold the rarest is taken; of alternatives all, unless one has none."""
    assert best([None, frozenset({"ab"}), frozenset({"abcd", "efgh"})]) == {"abcd", "efgh"}
    assert best([None]) is None
    assert either([frozenset({"a"}), frozenset({"b"})]) == {"a", "b"}
    assert either([frozenset({"a"}), None]) is None
