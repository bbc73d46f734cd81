"""When bytes of a flow are told: at once if they are many, in the end in any case, and never twice."""

from replguard.sensors.sockets import flows as module
from replguard.sensors.sockets.flows import LARGE, RESTS, Amount, Flows


def test_the_kernel_crosses_a_mark() -> None:
    """What is new is told with the total; a sum that was told already is not."""
    flows = Flows()
    assert flows.passed(b"a", 300_000) == Amount(b"a", 300_000, 300_000)
    assert flows.passed(b"a", 700_000) == Amount(b"a", 400_000, 700_000)
    assert flows.passed(b"a", 600_000) is None
    assert flows.passed(b"b", 10) == Amount(b"b", 10, 10)


def test_the_rest_is_told_once_it_has_stopped_growing() -> None:
    """A growing flow waits for the next sweep, a large one does not."""
    flows = Flows()
    assert list(flows.sweep([(b"a", 10), (b"b", LARGE)])) == [Amount(b"b", LARGE, LARGE)]
    assert list(flows.sweep([(b"a", 20), (b"b", LARGE)])) == []
    assert list(flows.sweep([(b"a", 20), (b"b", LARGE)])) == [Amount(b"a", 20, 20)]
    assert list(flows.sweep([(b"a", 20), (b"b", LARGE)])) == []


def test_a_flow_that_rests_is_forgotten_by_the_kernel_but_not_its_total() -> None:
    """The kernel begins at nothing when it is used again; so it does when the programs are loaded anew."""
    flows = Flows()
    for _ in range(RESTS + 1):
        list(flows.sweep([(b"a", 20)]))
    assert flows.resting() == [b"a"]
    assert flows.passed(b"a", 5) == Amount(b"a", 5, 25)
    flows.restart()
    assert flows.passed(b"a", 3) == Amount(b"a", 3, 28)


class Notes:
    """Where it is noted how much was told."""

    def __init__(self) -> None:
        self.told: dict[bytes, int] = {}

    def note(self, key: bytes, amount: int) -> None:
        self.told[key] = amount

    def forget(self, key: bytes) -> None:
        del self.told[key]


def test_what_was_told_is_noted_and_gone_on_from() -> None:
    """By the next who reads the kernel's sums; what rests is forgotten there too."""
    notes = Notes()
    first = Flows()
    first.restart(notes)  # type: ignore[arg-type]
    first.passed(b"a", 300_000)
    list(first.sweep([(b"b", LARGE)]))
    assert notes.told == {b"a": 300_000, b"b": LARGE}
    second = Flows()
    second.restart(notes)  # type: ignore[arg-type]
    for key, told in notes.told.items():
        second.went_on(key, told)
    assert second.passed(b"a", 300_000) is None
    assert second.passed(b"a", 300_001) == Amount(b"a", 1, 300_001)
    for _ in range(RESTS + 1):
        list(second.sweep([(b"b", LARGE)]))
    assert second.resting() == [b"b"]
    assert notes.told == {b"a": 300_001}


def test_only_what_rests_is_given_up() -> None:
    """Not one that grew a moment ago."""
    flows = Flows()
    for looks in range(RESTS + 1):
        list(flows.sweep([(b"a", 20), (b"b", looks)]))
    assert flows.resting() == [b"a"]
    list(flows.sweep([(b"b", looks)]))
    assert flows.resting() == []


def test_bytes_without_room_are_added_here() -> None:
    """The total counts them with those that the kernel added up."""
    flows = Flows()
    assert flows.alone(b"a", 7) == Amount(b"a", 7, 7)
    assert flows.alone(b"a", 7) == Amount(b"a", 7, 14)
    assert flows.passed(b"a", 100) == Amount(b"a", 100, 114)


def test_it_is_bounded() -> None:
    """The oldest flow is forgotten, and its total begins again."""
    flows = Flows()
    for number in range(module.KEPT + 1):
        flows.passed(number.to_bytes(4, "little"), 1)
    assert len(flows._flows) == module.KEPT
    assert flows.passed(bytes(4), 1) == Amount(bytes(4), 1, 1)
