import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sigma.types import SigmaCasedString, SigmaRegularExpression, SigmaRegularExpressionFlag, SigmaString

from replguard.rules.literals import either, of_regex, of_string, rank


@pytest.mark.parametrize(
    ("text", "sign"),
    [
        ("Bash", ("whole", "bash")),
        ("", ("whole", "")),
        ("*/Bin/SH", ("last", "/sh")),
        ("*dash", ("in", "dash")),
        ("*Curl*", ("in", "curl")),
        ("/bin/*/python?", ("in", "/python")),
        (r"\*", ("whole", "*")),
        ("*", None),
    ],
)
def test_the_sign_of_a_string(text, sign):
    """All of it, the end of a path, or its longest part without wildcards; case is folded."""
    assert of_string(SigmaString(text)) == (sign and frozenset({sign}))


def test_a_cased_string_is_looked_for_anywhere():
    """The field's text is folded, so only a part of it can be asked for."""
    assert of_string(SigmaCasedString("Bash")) == {("in", "bash")}


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        (r"(?:^|\s)ssh\s.*-R", {"ssh"}),
        (r"(?:scp|rsync)\s", {"scp", "rsync"}),
        (r"(?:nc|ncat|netcat)\s", {"nc", "ncat", "netcat"}),
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
    assert of_regex(SigmaRegularExpression(expression)) == (found and frozenset(("in", text) for text in found))


@given(
    st.sampled_from(["kis[sz]", "(?:I|K)x", "sß", "(?:ab|ki)+", "s{2}", "i", "(?:s|ſ)t", "K?it"]),
    st.text("kKKsSſßiIİıtxab", max_size=8),
)
def test_no_match_is_without_its_literal(expression, text):
    """Whatever `re` takes for equal without case, the text that the index looks for is in the folded text."""
    value = SigmaRegularExpression(expression, {SigmaRegularExpressionFlag.IGNORECASE})
    found = of_regex(value)
    if found is not None and re.search(expression, text, re.IGNORECASE):
        assert any(literal in text.casefold() for _, literal in found)


def test_choices():
    """Of alternatives each sign counts, unless one has none; a word of few is commoner than a part of a command."""
    assert either([frozenset({"a"}), frozenset({"b"})]) == {"a", "b"}
    assert either([frozenset({"a"}), None]) is None
    assert rank(("whole", "session")) < rank(("in", "scp")) < rank(("whole", "/usr/bin/scp"))
