"""Expressions of the configuration hide what fits them, in every argument and with bounded time."""

from collections.abc import Iterator

import pytest

from replguard.masking import house, mask
from replguard.masking.house import House

TOKEN = "corp_" + "a1" * 12


@pytest.fixture(autouse=True)
def known() -> Iterator[None]:
    """Know a house's token, and forget it again."""
    mask.also((r"corp_[a-z0-9]{20,}", r"(?i)badge-\d+"))
    yield
    mask.also(())


def test_a_token_of_the_house_is_hidden_besides_the_known_ones() -> None:
    """Anywhere in an argument or a text; the rest stays."""
    assert mask.masked(("x", f"a/{TOKEN}/b", "Badge-12", "--password", "q1")) == (
        "x",
        "a/***/b",
        "***",
        "--password",
        "***",
    )
    assert mask.mask(f"x {TOKEN} y") == "x *** y"
    args = ("x", "corp_short")
    assert mask.masked(args) is args


def test_what_was_given_before_is_known_no_more() -> None:
    """A start begins with what its configuration says."""
    mask.also(())
    args = ("x", TOKEN)
    assert mask.masked(args) is args


def test_undecodable_and_strange_text_goes_through() -> None:
    """A lone surrogate too."""
    assert House(("é+",)).hide("a\udcffééb") == "a\udcff***b"


@pytest.mark.parametrize(
    ("source", "word"), [("(", "RE2"), ("a*", "at least"), ("^a", "without"), ("(?=a)", "RE2"), ("a\\C", "without")]
)
def test_an_expression_that_cannot_do_is_refused(source: str, word: str) -> None:
    """And what is wrong with it is said."""
    with pytest.raises(ValueError, match=word):
        house.check(source)
