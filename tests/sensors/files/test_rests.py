"""Which sums of reading are told although they came to no mark."""

from replguard.kernel.bpf.volume import READ, Amount
from replguard.sensors.files.rests import HEAD, PART, RESTS, Rests, mark

MIB = 2**20
FILES = {1: mark(16 * MIB, 512 * MIB)}


def amount(total: int, *, pid: int = 7, start: int = 5, coverage: int = 1, slot: int = 1) -> Amount:
    return Amount(READ, pid, 0, start, 0, 0, slot, total, 0, coverage, None)


def swept(rests: Rests, *amounts: Amount) -> list[int]:
    return [told.bytes for told in rests.sweep(amounts, FILES)]


def test_more_than_a_head_is_told_and_then_what_is_added() -> None:
    """A MiB at the beginning is a look; elsewhere much less is not; no file that is not watched is told of."""
    rests = Rests()
    assert swept(rests, amount(HEAD), amount(PART, pid=8, coverage=3), amount(9 * MIB, slot=2)) == []
    assert swept(rests, amount(HEAD + 1), amount(PART + 1, pid=8, coverage=3), amount(9 * MIB, slot=2)) == [
        HEAD + 1,
        PART + 1,
    ]
    assert swept(rests, amount(2 * HEAD + 1)) == []
    assert swept(rests, amount(2 * HEAD + 2)) == [2 * HEAD + 2]


def test_what_the_kernel_tells_is_not_told_again() -> None:
    """From the first mark on it tells by itself, but seldom: each tenth of the file is told, and where reading ends."""
    rests = Rests()
    rests.told(amount(15 * MIB))
    assert swept(rests, amount(15 * MIB)) == []
    assert swept(rests, amount(16 * MIB)) == []
    assert swept(rests, amount(66 * MIB)) == []
    assert swept(rests, amount(67 * MIB)) == [67 * MIB]
    assert swept(rests, amount(80 * MIB)) == []
    assert swept(rests, amount(80 * MIB)) == [80 * MIB]
    assert swept(rests, amount(80 * MIB)) == []
    rests.told(amount(512 * MIB))
    assert swept(rests, amount(512 * MIB)) == []
    assert swept(rests, amount(900 * MIB)) == []


def test_another_process_with_the_pid_and_a_sum_that_began_anew_are_new() -> None:
    """The kernel's entries give way when there are too many; that is counted."""
    rests = Rests()
    assert swept(rests, amount(9 * MIB)) == [9 * MIB]
    assert swept(rests, amount(8 * MIB, start=6)) == [8 * MIB]
    assert swept(rests, amount(7 * MIB, start=6)) == [7 * MIB]
    assert swept(rests, amount(7 * MIB, start=6)) == []
    assert rests.evicted == 0
    assert swept(rests) == []
    assert rests.evicted == 1


def test_what_is_told_is_noted() -> None:
    """By process, number of the file and kind, with the start of the process."""
    noted: list[tuple[object, ...]] = []
    rests = Rests(lambda key, start, told: noted.append((key, start, told)))
    swept(rests, amount(HEAD))
    assert noted == []
    swept(rests, amount(HEAD + 1))
    rests.told(amount(16 * MIB, pid=8, start=6))
    assert noted == [((7, 1, READ), 5, HEAD + 1), ((8, 1, READ), 6, 16 * MIB)]


def test_what_does_not_grow_is_asked_about_now_and_then() -> None:
    """Until it is forgotten, which is no loss."""
    rests = Rests()
    for _ in range(RESTS):
        swept(rests, amount(2))
        assert rests.resting() == []
    swept(rests, amount(2))
    assert rests.resting() == [(7, 1, READ)]
    rests.forget((7, 1, READ))
    swept(rests)
    assert rests.evicted == 0


def test_the_head_of_a_small_file_is_more_of_its_parts() -> None:
    """Of one of 24 MiB three 64ths hold the first MiB, of one below a MiB all do."""
    assert [mark(1, size).head for size in (64 * MIB, 24 * MIB, 1000, 0)] == [1, 7, 2**64 - 1, 2**64 - 1]
