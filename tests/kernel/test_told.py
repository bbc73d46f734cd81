"""What was told is noted where it outlives us, and where it cannot be nothing fails."""

import os
from collections.abc import Iterator

import pytest

from replguard.errors import Unavailable
from replguard.kernel import bpf, libbpf
from replguard.kernel.bpf import process
from replguard.kernel.libbpf import Programs
from replguard.kernel.told import Told


@pytest.fixture
def programs() -> Iterator[Programs]:
    try:
        libbpf.check()
        left = {hook.program: "" for hook in process.HOOKS if hook.program != "process_exit"}
        made = Programs(bpf.image(process.OBJECT), left=left)
    except Unavailable as error:
        pytest.skip(str(error))
    yield made
    made.close()


@pytest.mark.root
def test_amounts_are_there_for_the_next(programs: Programs) -> None:
    """By the descriptor that was kept; what was forgotten is not."""
    first = Told(programs, 8, 64)
    kept = os.dup(first.descriptor)
    first.note(b"a" * 8, 2**40)
    first.note(b"b" * 8, 1)
    first.note(b"b" * 8, 2)
    first.note(first.counter(b"los", 3), 7)
    first.forget(b"a" * 8)
    first.close()
    second = Told(programs, 8, 64, kept)
    assert second.amounts() == {b"b" * 8: 2, second.counter(b"los", 3): 7}
    second.close()
    second.close()


class Refusing(Programs):
    """Programs of a kernel that makes no map."""

    def __init__(self) -> None:
        """Load nothing."""

    def create(self, kind: int, name: str, key: int, value: int, most: int) -> int:
        raise PermissionError(kind, name, key, value, most)


def test_where_it_cannot_be_nothing_fails() -> None:
    """It is noted nowhere, and the next start begins at nothing."""
    told = Told(Refusing(), 8, 64)
    told.note(b"a" * 8, 1)
    told.forget(b"a" * 8)
    told.close()
    assert told.descriptor == -1
