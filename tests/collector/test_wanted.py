"""The names that the collector lets through are those that the rules ask for, and hardly any other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replguard.collector.wanted import Wants
from replguard.rules.evaluable import EVERYTHING
from replguard.rules.load import load
from replguard.rules.paths import Paths

PATHS = Paths(load([], makes=EVERYTHING).rules)


def test_before_anything_is_known_every_name_is_wanted() -> None:
    """And where a rule cannot be decided by its path."""
    assert Wants()("/tmp/x")
    assert not Wants([])("/tmp/x")


@pytest.mark.parametrize(
    ("place", "path", "wanted"),
    [
        ("whole", "/etc/crontab", True),
        ("whole", "/ETC/CRONTAB", True),
        ("whole", "/etc/crontab.d", False),
        ("last", "/home/a/etc/crontab", False),
        ("in", "/mnt/etc/crontab.bak", True),
        ("word", "/mnt/etc/crontabs", True),
    ],
)
def test_a_sign_is_looked_for_where_it_is_asked_for(place: str, path: str, wanted: bool) -> None:
    """All of it, its last part, or anywhere."""
    assert Wants([(place, "/etc/crontab")])(path) is wanted


def test_what_is_special_to_an_expression_is_not_here() -> None:
    """Signs are texts."""
    assert not Wants([("in", "a.c")])("/abc")
    assert Wants([("in", "a.c"), ("in", "[x")])("/a.c")


@given(st.text(alphabet="abcdef/.-_syntemuhork", max_size=40), st.sampled_from(sorted(PATHS.asked)))
def test_no_name_that_a_rule_asks_for_is_held_back(text: str, sign: tuple[str, str]) -> None:
    """Whatever the rules' own filter lets through passes here too."""
    names = Wants(PATHS.asked)
    for path in (text, f"/{text}{sign[1]}", f"/{text}{sign[1]}{text}"):
        assert names(path) >= PATHS(path)


def test_what_is_no_text_is_left_to_the_rule() -> None:
    """A name may hold any byte."""
    assert Wants([("in", "cron")])("/a\udcff")
