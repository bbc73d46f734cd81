import re

import pytest
from support.rulebook import ruleset

from replguard.rules.dialect import POLICY, Either

RULE = """
title: a
logsource: {product: linux, category: process_creation}
detection:
  s: {CommandLine|re: 'EXPRESSION'}
  condition: s
"""


@pytest.mark.parametrize("text", ["a.*b", r"\bcurl\b", "(?i)x", "(?=.*a)b", r"(a)\1", "(?<!x)y", "(?>a+)b"])
def test_what_either_knows_is_right(tmp_path, text):
    """SigmaHQ's rules look around here and there; pySigma's own choice refuses that."""
    assert Either().compile(text)
    assert ruleset(tmp_path, RULE.replace("EXPRESSION", text)).problems == []


@pytest.mark.parametrize("text", ["(", "a{2,1}", "[b-a]", "*"])
def test_what_neither_knows_is_told_once_in_words(tmp_path, text, capfd):
    """At its line, and RE2 writes nothing on standard error by itself."""
    with pytest.raises(re.error):
        Either().compile(text)
    (problem,) = ruleset(tmp_path, RULE.replace("EXPRESSION", text)).problems
    assert problem.line == 5
    assert problem.text.startswith(f"Regular expression '{text}' is invalid: ")
    assert "b'" not in problem.text
    assert capfd.readouterr().err == ""


def test_flags_go_with_it():
    """Those that Sigma has."""
    assert Either().compile("a.b", re.IGNORECASE | re.DOTALL).search("A\nB")
    assert not Either().compile("a.b").search("A\nB")
    assert POLICY.regex_engine == Either()


def test_many_stars_in_a_selector_take_no_time(tmp_path):
    """Selections are found by such expressions: whoever writes a rule must not be able to stop the daemon with one."""
    text = RULE.replace("EXPRESSION", "x").replace("condition: s", f"{'a' * 60}b: {{Image: x}}\n  condition: CONDITION")
    for stars, last in (("a*" * 40, []), ("a*" * 40 + "c", [7])):
        problems = ruleset(tmp_path, text.replace("CONDITION", f"1 of {stars}")).problems
        assert [problem.line for problem in problems] == last
