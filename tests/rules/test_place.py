import pytest
from sigma.exceptions import SigmaLevelError, SigmaTimespanError, SigmaTypeError, SigmaValueError
from support.rulebook import rule, ruleset

from replguard import yamlfile
from replguard.rules.place import fault

DOCUMENT = yamlfile.parse(b"title: t\nlevel: hihg\ndetection:\n  s: {a: 1}\n", "r.yml")[0]


def test_an_error_is_placed_at_the_key_that_it_speaks_of():
    """The classes of pySigma say which key; where they do not, the rule begins."""
    assert str(fault(DOCUMENT, SigmaLevelError("no level"))) == "r.yml:2: no level, did you mean 'high'?"
    assert fault(DOCUMENT, SigmaValueError("bad")).line == 1


def test_what_to_do_is_said():
    """Where pySigma's sentence says only what is wrong."""
    assert str(fault(DOCUMENT, SigmaTimespanError("Timespan '2hours' is invalid."))) == (
        "r.yml:1: Timespan '2hours' is invalid; write for example 30s, 10m, 2h or 1d"
    )


def test_a_place_that_is_known_wins():
    """The checker that found it knows better, and an error of several lines becomes one."""
    assert fault(DOCUMENT, ValueError("two\n lines"), ("detection", "s", "a")) == yamlfile.Problem(
        "r.yml", 4, "two lines"
    )
    assert fault(DOCUMENT, KeyError()).text == "KeyError"


def test_a_key_that_only_the_sentence_names_is_found():
    """Two classes of pySigma are used for many keys."""
    document = yamlfile.parse(b"title: t\nname: [a]\ntags: [foo]\n", "r.yml")[0]
    assert fault(document, SigmaTypeError("Sigma rule name must be a string")).line == 2
    assert fault(document, SigmaValueError("Sigma tag must start with namespace")).line == 3
    assert fault(document, SigmaTypeError("Sigma rule status must be a string")).line == 1


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ("s and", "the condition cannot be read to its end: a name is missing there"),
        ("s )) s", "the condition cannot be read from ')) s' on"),
    ],
)
def test_a_condition_that_cannot_be_read_says_from_where(tmp_path, condition, told):
    """Rather than in the signs of a parser; also where the selections are faulty themselves."""
    text = rule("a", "x").replace("condition: selection", f"condition: {condition}").replace("selection:", "s:")
    for extra in ("{", "{Image|re: '(', "):
        problems = ruleset(tmp_path, text.replace("s: {", f"s: {extra}")).problems
        assert told in [problem.text for problem in problems]
