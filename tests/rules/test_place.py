from sigma.exceptions import SigmaLevelError, SigmaTimespanError, SigmaValueError

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
