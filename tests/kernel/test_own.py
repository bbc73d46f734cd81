"""The daemon knows which processes it is itself."""

import os
from collections.abc import Iterator

import pytest

from replguard.kernel import own


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    yield
    own.know()


def test_a_peer_takes_the_place_of_the_one_before() -> None:
    """The pid of one that is gone may be anybody's."""
    own.know(1 << 22)
    own.know((1 << 22) + 1)
    assert own.pids == {os.getpid(), (1 << 22) + 1}


def test_who_started_us_as_a_part_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not any parent: a shell is not the daemon."""
    own.know()
    assert own.pids == {os.getpid()}
    monkeypatch.setenv(own.SUPERVISED, str(os.getppid()))
    own.know()
    assert own.pids == {os.getpid(), os.getppid()}
    monkeypatch.setenv(own.SUPERVISED, "1")
    own.know()
    assert own.pids == {os.getpid()}
