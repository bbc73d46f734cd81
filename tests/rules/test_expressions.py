import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replguard.rules.expressions import LONG, Endless, _linear, searcher

HOSTILE = [
    (r"(x+x+)+y", "x" * 100),
    (r"(a|a)*b", "a" * 100),
    (r"(a|aa)+$", "a" * 100 + "!"),
    (r"^(\w+\s?)*$", "word " * 20 + "!"),
    (r"(.*)*!", "x" * 100),
    (r"a?" * 40 + "a" * 40, "a" * 39),
    (r"(a?){40}a{40}", "a" * 39),
    (r"(?:a|b|ab)(?:a|b|ab)" * 20 + "c", "ab" * 60),
    (r".*a.*b.*c.*d.*e", "abcd" * 30),
    (r"\s+\s+\s+\s+x", " " * 100),
    (r"(?:a{1,9}){1,9}b", "a" * 90),
]


@pytest.mark.parametrize("times", [1, 300])
@pytest.mark.parametrize(("expression", "text"), HOSTILE)
def test_no_expression_takes_long(expression, text, times):
    """Whatever grows without bound in ``re`` ends at once, on short texts and on long ones."""
    found = searcher(expression, 0)
    began = time.thread_time()
    found(text * times)
    assert time.thread_time() - began < 0.5


@pytest.mark.parametrize(
    "expression", [r"(x+x+)+(?=y)", r"(a*)*\1", r"(?<!b)(?:a|a)*b(?!c)", r"(?=(a+)+b)a", r"(.)\1*.*.*.*x"]
)
def test_what_nothing_bounds_is_refused(expression):
    """Looking around and back is what RE2 cannot, and loops in loops what ``re`` cannot: the sentence says so."""
    with pytest.raises(Endless, match="could grow without bound"):
        searcher(expression, 0)


@pytest.mark.parametrize(
    ("expression", "matching", "other"),
    [
        (r"^(?!.*safe).*rm -rf", "sudo rm -rf /", "safe rm -rf"),
        (r"(?<!\w)nc\s", "/bin/sh -c nc x", "rsync x"),
        (r"(['\"])x\1", "a 'x' b", "a 'x\" b"),
    ],
)
def test_looking_around_is_known_where_its_time_is_bounded(expression, matching, other):
    """Also at the end of a long text, of which both ends are searched."""
    found = searcher(expression, 0)
    assert found(matching)
    assert not found(other)
    long = "y" * 30_000
    began = time.thread_time()
    assert found(f"{long} {matching}") is (
        "^" not in expression or re.search(expression, f"{long} {matching}") is not None
    )
    assert time.thread_time() - began < 0.5


def test_a_bad_expression_is_an_error():
    """As ``re`` tells it."""
    with pytest.raises(re.error):
        searcher("(", 0)


PIECES = (
    r"\w \W \d \D \s \S [\w-] [^\s/] [\S] [^\S\n] [\d.] []a] [^]a] [a[b] [\]x] a . $ ^ \Z é \. [$] (?:a|b) \\".split()
)
pieces = st.sampled_from(PIECES)
expressions = st.lists(
    st.tuples(pieces, st.sampled_from(["", "*", "+", "?", "{2}"])).map(
        lambda one: one[0] + ("" if one[0] in ("$", "^", r"\Z") else one[1])
    ),
    min_size=1,
    max_size=4,
).map("".join)
texts = st.text("ab-_1.$]\\[ é٣½\n\t\v\x1c\x85\u2003\u2028\udcff文²", max_size=8)


@settings(max_examples=1000)
@given(expressions, texts, st.sampled_from([0, re.IGNORECASE, re.MULTILINE, re.DOTALL]))
def test_re2_finds_what_re_finds(expression, text, flags):
    """The classes of Unicode, brackets and the ends of texts and lines mean the same: a long text is judged alike."""
    linear = _linear(expression, flags)
    assert linear is not None
    assert linear(text) is (re.search(expression, text, flags) is not None)


def test_long_texts_are_judged_as_short_ones_are():
    """What is searched by RE2 past the limit is found, Unicode's blanks among it."""
    found = searcher(r"\snc\s+\w+$", 0)
    for blank in " \t\u2003\x85":
        assert found(f"{'x' * 2 * LONG}{blank}nc{blank}hôte")
        assert found(f"{blank}nc{blank}hôte\n")
        assert not found(f"{'x' * 2 * LONG}{blank}nc{blank}-")


@given(
    st.text("ab -ßé文_", max_size=12),
    st.sampled_from([r"\ba", r"b\b", r"\Ba-?b", r"\b\w+\b b", r"^.\b", r"[^b]\ba", r"\b(?:a|_b)"]),
)
def test_the_edges_of_words_are_unicodes(text, expression):
    """RE2 knows those of ASCII; letters of other alphabets are letters all the same."""
    assert _linear(expression, 0)(text) is (re.search(expression, text) is not None)
