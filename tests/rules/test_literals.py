import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sigma.types import SigmaCasedString, SigmaRegularExpression, SigmaRegularExpressionFlag, SigmaString
from support import plainsigma

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
        (r"(?:^|\s)ssh\s.*-R", {("word", "ssh")}),
        (r"(?:^|[/;&|(\n][^\S\n]*|\s(?:sudo|env)\s+)(?:nc|socat)(?:\s|$)", {("word", "nc"), ("word", "socat")}),
        (r"(?:scp|rsync)\s", {("end", "scp"), ("end", "rsync")}),
        (r"(?:scp|rsync)\b", {("in", "scp"), ("in", "rsync")}),
        (r"(?:nc|ncat|netcat)\s", {("end", "nc"), ("end", "ncat"), ("end", "netcat")}),
        (r"\s--(?:on-|unit)", {("begin", "--on-"), ("begin", "--unit")}),
        (r"-(W|R)\s?(\s|'|\")\d", {("end", "-w"), ("end", "-r")}),
        (r"a*", None),
        (r"(?:x)?longer", {("in", "longer")}),
        (r"(?:ab){2,}", {("in", "ab")}),
        (r"\d+", None),
        (r"one|\d", None),
        (r"[a]bc", {("in", "abc")}),
        (r"[^a]bc", {("in", "bc")}),
        (r"(?:nc|x\d)\s", {("end", "nc"), ("in", "x")}),
        (r"\s*word", {("in", "word")}),
        (r"^\s*word", {("begin", "word")}),
        (r"(?m)$\nword", {("in", "\nword")}),
        (r"(", None),
        (r"(?i)kill -9", {("in", "ll -9")}),
        (r"(?i)\skill\s", {("end", "ll")}),
    ],
)
def test_what_a_regular_expression_must_find(expression, found):
    """A run of characters that every match holds, or one for each alternative, and the edges that it stands between."""
    if expression == "(":
        with pytest.raises(re.error):
            re.compile(expression)
        return
    assert of_regex(SigmaRegularExpression(expression)) == found


pieces = st.sampled_from(
    ["ab", "s", "_", r"\s", r"\s+", r"\s?", "^", "$", r"\b", ".", ".*", "-", "[/;]", r"[^\S\n]*", "[ab]", "[^a]"]
)
groups = st.one_of(
    pieces,
    st.lists(pieces, min_size=1, max_size=3).map(lambda found: f"(?:{'|'.join(found)})"),
    st.tuples(pieces, pieces).map(lambda found: f"({''.join(found)})"),
    st.lists(pieces, min_size=1, max_size=2).map(lambda found: f"(?:{''.join(found)})?"),
)


@settings(max_examples=500)
@given(
    st.lists(groups, min_size=1, max_size=6).map("".join),
    st.text("abSs_ \n-/;ſK\u2003", max_size=10),
    st.sets(st.sampled_from([SigmaRegularExpressionFlag.IGNORECASE, SigmaRegularExpressionFlag.MULTILINE])),
)
def test_what_matches_has_the_sign(expression, text, flags):
    """Random expressions on random texts: whatever matches has one of the signs, between the edges that are told."""
    value = SigmaRegularExpression(expression, flags)
    found = of_regex(value)
    given_flags = sum(SigmaRegularExpression.sigma_to_python_flags[flag] for flag in flags)
    if found is not None and re.search(expression, text, given_flags):
        assert any(plainsigma.sign(one, text.casefold()) for one in found)


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
