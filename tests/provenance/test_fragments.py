"""Parts that tell nothing alone add up by who made them."""

import pytest
from support.story import MIB, Host

from replguard.provenance.fragments import Fragments
from replguard.weights.fingerprint import Match


def trace(share: float, size: int = 100 * MIB, model: str = "llama") -> Match:
    return Match(model, "/models/w", 5, 1, share, 1, 100, size)


def test_the_parts_of_one_actor_make_a_copy() -> None:
    """Five files of a hundredth each; the share told is that of all of them."""
    host = Host()
    actor, sums = host.login(), Fragments()
    for number in range(4):
        assert not list(sums.found((5, number), actor, (trace(0.01),), lambda _: 100 * MIB))
    (found,) = sums.found((5, 4), actor, (trace(0.01),), lambda _: 100 * MIB)
    assert found.share == pytest.approx(0.05, rel=0.01)


def test_the_same_file_and_other_actors_and_models_add_nothing() -> None:
    """A file that is examined five times is one; what nobody was seen to make is nobody's."""
    host = Host()
    one, two, sums = host.login(), host.login(), Fragments()
    for number in range(5):
        assert not list(sums.found((5, 1), one, (trace(0.02),), lambda _: 100 * MIB))
        assert not list(sums.found((5, number), None, (trace(0.02),), lambda _: 100 * MIB))
    assert not list(sums.found((5, 2), two, (trace(0.04),), lambda _: 100 * MIB))
    assert not list(sums.found((5, 2), one, (trace(0.04, model="other"),), lambda _: 100 * MIB))


def test_a_large_model_is_copied_from_64_mib_on() -> None:
    """Which is less than 5 % of it."""
    host = Host()
    actor, sums, size = host.login(), Fragments(), 100 * 1024 * MIB
    found = [
        list(sums.found((5, number), actor, (trace(MIB / size * 4.01, size),), lambda _: size)) for number in range(16)
    ]
    assert [bool(each) for each in found] == [False] * 15 + [True]
