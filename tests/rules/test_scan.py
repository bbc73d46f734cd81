"""Many expressions in one pass."""

from replguard.rules.scan import Scan

MIB = 2**20


def test_each_is_found_by_its_number():
    """Wherever it stands, and all that are there."""
    scan = Scan(["ab", "c$", r"\d+"], MIB)
    assert scan.known == {0, 1, 2}
    assert [sorted(scan.found(text)) for text in (b"xaby", b"abc", b"7c", b"", b"x")] == [[0], [0, 1], [1, 2], [], []]


def test_what_is_not_known_is_left_out():
    """The numbers of the others stay theirs."""
    scan = Scan(["a", r"(x)\1", "(", "\udcff", "b"], MIB)
    assert scan.known == {0, 4}
    assert sorted(scan.found(b"ab")) == [0, 4]
    assert scan.found(b"xx(") == []


def test_too_many_are_none():
    """Whoever asks looks for them in another way, and sees that it has to."""
    assert Scan([f"text-{number}" * 20 for number in range(2000)], 4096).known == frozenset()
