"""Expressions that are searched together find what each finds alone."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replguard.rules import families
from replguard.rules.expressions import LONG, Endless
from replguard.rules.families import Searches

COMMAND = r"(?:^|[/;&|(\n][^\S\n]*|\s(?:-c|sudo)\s+)"
TAILS = [
    "kill", r"kill\s+-9", r"(?:pkill|killall)(?:\s|$)", r"\w+\Z", r"[a-z]*=", "é", r"(?P<x>s)h", r"tar\s+-{0,2}[a-z]*c",
    r"\bsh\b", r".*kill", r"[^k]*9", r"\S+x", r"(?=sh)s",
]  # fmt: skip
BEGINNINGS = [COMMAND, r"\s", "-", "(?:a|b)", r"[\w.]", r"^"]
WORDS = [*"kill|-9|sudo|pkill |; |/|sh|x=|é|\n| -c |tar -xc|a|b|ss|9".split("|"), "\udcff"]
texts = st.lists(st.sampled_from(WORDS), max_size=40).map("".join)


@settings(max_examples=400)
@given(
    st.lists(st.tuples(st.sampled_from(BEGINNINGS), st.sampled_from(TAILS)).map("".join), min_size=1, unique=True),
    st.lists(texts, min_size=1, max_size=4),
    st.sampled_from([0, re.IGNORECASE]),
)
def test_together_they_find_what_each_finds(expressions, found, flags):
    """In short texts and in long ones, one after another, whatever else is in their family."""
    searches = Searches()
    tests = [searches.search(expression, flags) for expression in expressions]
    for text in (*found, *(f"{' ' * LONG}{text}" for text in found)):
        expected = [re.search(expression, text, flags) is not None for expression in expressions]
        assert [test(text) for test in tests] == expected, text


def test_a_text_is_gone_through_once(monkeypatch):
    """However many of a family are asked for, and however many rules ask."""
    scans = []
    monkeypatch.setattr(families, "data", lambda text: scans.append(text) or text.encode())
    searches = Searches()
    tests = [searches.search(f"{COMMAND}{word}", 0) for word in ("kill", "tar", "kill", "ssh")]
    for text in (f"{'x' * LONG}; kill", f"{'x' * LONG}; tar"):
        for _ in range(3):
            assert [test(text) for test in tests] == ["kill" in text, "tar" in text, "kill" in text, False]
    assert len(scans) == 2


def test_a_family_is_bounded(monkeypatch):
    """More expressions than one automaton takes begin another."""
    monkeypatch.setattr(families, "MOST", 3)
    searches = Searches()
    tests = [searches.search(rf"\sword{number};", 0) for number in range(10)]
    text = " " * LONG + " ".join(f"word{number};" for number in range(0, 10, 2))
    assert [test(text) for test in tests] == [True, False] * 5


def test_one_that_is_added_later_is_found():
    """Though the others were asked for before."""
    searches = Searches()
    text = f"{'x' * LONG} one two"
    assert searches.search(r"\sone", 0)(text)
    assert searches.search(r"\stwo", 0)(text)
    assert not searches.search(r"\sthree", 0)(text)


def test_what_is_refused_alone_is_refused():
    """A bad expression, and one whose time nothing bounds."""
    with pytest.raises(re.error):
        Searches().search("(", 0)
    with pytest.raises(Endless):
        Searches().search(r"\s(a*)*\1", 0)


@pytest.mark.parametrize("tail", [r".*a.*b", r"[^x]*a[^y]*b", r"\S+\s\S+\s\S+z", r"\w+\s\w+\s\w+z"])
def test_no_family_takes_long(tail):
    """Of expressions that wander over a text each would be under way everywhere: they are searched one by one."""
    searches = Searches()
    tests = [searches.search(rf"\s{chr(97 + number)}{tail}{number}", 0) for number in range(20)]
    text = " a b c d e f" * 2500
    began = time.thread_time()
    assert not any(test(text) for test in tests)
    assert time.thread_time() - began < 0.5
