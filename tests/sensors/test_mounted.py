"""What is mounted is marked, and what cannot be is said."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from replguard.errors import Unavailable
from replguard.kernel import fanotify
from replguard.kernel.fanotify import Group
from replguard.sensors import mounted
from replguard.sensors.mounted import Mounted

pytestmark = pytest.mark.root


@pytest.fixture
def group() -> Iterator[Group]:
    try:
        made = Group(fanotify.NAMES)
    except OSError as error:
        pytest.skip(f"fanotify does not work here: {error}")
    yield made
    made.close()


def test_it_begins_with_all_that_is_mounted(group: Group) -> None:
    """And skips what a walk must not enter; a second arrangement finds nothing new."""
    try:
        found = Mounted(group, fanotify.CREATE, lambda path, access: True)
    except Unavailable as error:
        pytest.skip(str(error))
    assert b"/proc" in found.skip
    found.changed()
    known = {seat.path for superblock in found.superblocks.by_device.values() for seat in superblock.seats}
    assert b"/" in known
    found.refused = [f"/m{number} (x)" for number in range(7)]
    assert found.unwatched() == f"not watched for names: {'; '.join(found.refused[:5])}; and 2 more."
    found.refused = []
    assert found.unwatched() is None
    found.close()


def test_a_host_whose_root_refuses_is_not_watched_at_all(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    """The portable tier sees more then; nothing stays open."""
    monkeypatch.setattr(mounted.Superblocks, "watches_root", lambda self, own: False)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(Unavailable, match="the filesystem at /"):
        Mounted(group, fanotify.CREATE, lambda path, access: True)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
