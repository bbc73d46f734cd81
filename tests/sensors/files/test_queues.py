"""The groups that are kept are gone on with, each of its kind, or all begin anew."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import keeping
from support.keeping import Between

from replguard.errors import Unavailable
from replguard.kernel import fanotify
from replguard.kernel.fanotify import Group
from replguard.sensors.files.memory import Memory
from replguard.sensors.files.opens import Opens
from replguard.sensors.files.queues import Queues
from replguard.sensors.losses import Losses
from replguard.sensors.names import NamesSensor

pytestmark = pytest.mark.root


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Iterator[Between]:
    """Descriptors are kept from one to the next."""
    with keeping.between(monkeypatch) as one:
        yield one


def made(*, older: bool = False) -> Queues:
    losses = Losses(NamesSensor())
    try:
        return Queues("names", Opens(losses), Memory(losses), older=older)
    except Unavailable as error:
        pytest.skip(str(error))


def first() -> None:
    """Leave what is kept of one that was read last when it ended."""
    queues = made()
    queues.group.mark(b"/proc", fanotify.CREATE | fanotify.ONDIR)
    assert not queues.went_on
    assert queues.since is None
    queues.keep()
    queues.read()
    queues.close()


def test_they_go_on_with_their_marks(between: Between) -> None:
    """It is known when they were read last; as often as they are asked for, until all have begun."""
    first()
    for _ in range(2):
        queues = made()
        assert queues.went_on
        assert queues.since is not None
        assert "inotify" not in Path(f"/proc/self/fdinfo/{queues.group.fd}").read_text()
        assert "fanotify ino:" in Path(f"/proc/self/fdinfo/{queues.group.fd}").read_text()
        queues.keep()
        queues.close()
    assert between.adopted == {"names"}
    between.release()
    queues = made()
    assert not queues.went_on
    queues.close()


@pytest.mark.parametrize("part", ["names", "opens", "memory", "beat"])
def test_what_is_of_another_kind_is_given_up(between: Between, part: str) -> None:
    """A group that was made otherwise, a counter in place of a group, a group in place of a counter."""
    first()
    group, counter = Group(fanotify.REPORT_FID | fanotify.REPORT_DIR), os.eventfd(0)
    between.replace("names", part, group.fd if part != "opens" else counter)
    before = sum(1 for _ in Path("/proc/self/fd").iterdir())
    queues = made()
    assert not queues.went_on
    assert "names" in between.unfit
    queues.close()
    assert sum(1 for _ in Path("/proc/self/fd").iterdir()) == before - 4  # those that had been handed in
    group.close()
    os.close(counter)


def test_an_older_way_does_not_go_on_with_a_newer(between: Between) -> None:
    """Who asks for the names of 5.15 would get records that it cannot pair."""
    first()
    queues = made(older=True)
    assert not queues.went_on
    assert "names" in between.unfit
    queues.close()
