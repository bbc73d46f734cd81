"""Who fills a memory pushes out what is its own."""

from hypothesis import given
from hypothesis import strategies as st

from replguard.fair import Fair


def test_a_flood_leaves_others_what_they_have() -> None:
    """A thousand values of one owner, and the one that another put first."""
    kept: Fair[int, str] = Fair(10)
    kept.put(-1, "mine", "agent")
    for number in range(1000):
        kept.put(number, "junk", "flood")
    assert kept.get(-1) == "mine"
    assert len(kept) == 10
    assert kept.evicted == 991
    assert 999 in kept
    assert 5 not in kept


def test_of_many_small_owners_the_oldest_gives_way() -> None:
    """Each has one: then age decides."""
    kept: Fair[int, int] = Fair(3)
    for number in range(5):
        kept.put(number, number, f"owner {number}")
    assert list(kept.values()) == [2, 3, 4]


def test_a_key_that_is_put_again_is_the_newest_and_may_change_hands() -> None:
    """Its former place is free, also with its former owner."""
    kept: Fair[str, int] = Fair(3)
    for key in "abc":
        kept.put(key, 1, "one")
    kept.put("a", 2, "one")
    kept.put("d", 1, "two")
    assert [key in kept for key in "abcd"] == [True, False, True, True]
    kept.put("a", 3, "two")
    assert (kept.get("a"), kept.pop("a"), kept.pop("a"), kept.get("a")) == (3, 3, None, None)


def test_what_an_owner_put_last() -> None:
    """The newest first, and of others nothing."""
    kept: Fair[int, str] = Fair(10)
    for number, owner in enumerate("abaab"):
        kept.put(number, f"{owner}{number}", owner)
    assert kept.of("a", 2) == ["a3", "a2"]
    assert kept.of("b", 9) == ["b4", "b1"]
    assert kept.of("c", 9) == []


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 4), st.booleans())), st.integers(1, 6))
def test_it_is_never_fuller_than_allowed_and_takes_from_the_largest(
    steps: list[tuple[int, int, bool]], most: int
) -> None:
    """Held against shares that are counted anew at each step."""
    kept: Fair[int, int] = Fair(most)
    owners: dict[int, int] = {}
    for key, owner, putting in steps:
        if not putting:
            kept.pop(key)
            owners.pop(key, None)
            continue
        owners.pop(key, None)
        owners[key] = owner
        sizes = [list(owners.values()).count(each) for each in owners.values()]
        kept.put(key, owner, owner)
        gone = [each for each in owners if each not in kept]
        assert len(gone) == (len(owners) > most)
        for each in gone:
            assert sizes[list(owners).index(each)] == max(sizes)
            del owners[each]
        assert sorted(kept.values()) == sorted(owners.values())


def test_what_is_forgotten_is_handed_over() -> None:
    """So that something of it can be kept; what is taken out or written over is not forgotten for want of room."""
    gone: list[str] = []
    kept: Fair[int, str] = Fair(2, gone.append)
    for number, value in enumerate("abc"):
        kept.put(number, value, "one")
    kept.put(2, "d", "one")
    kept.pop(1)
    assert gone == ["a"]


def test_an_owner_may_be_forgotten_whole() -> None:
    """And nobody else with him; that is no want of room."""
    kept: Fair[int, str] = Fair(10)
    for key, owner in ((1, "ann"), (2, "bob"), (3, "ann")):
        kept.put(key, str(key), owner)
    assert (kept.owner(1), kept.owner(2), kept.owner(9)) == ("ann", "bob", None)
    assert kept.disown("ann") == 2
    assert kept.disown("ann") == 0
    assert list(kept.values()) == ["2"]
    assert kept.evicted == 0
