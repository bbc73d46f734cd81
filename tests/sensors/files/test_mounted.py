"""What is mounted is marked, and what cannot be is said."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from replguard.errors import Unavailable
from replguard.events import clock
from replguard.kernel import fanotify
from replguard.kernel.fanotify import Group
from replguard.kernel.mounts import Mount
from replguard.sensors.files import mounted
from replguard.sensors.files.mounted import AT_ONCE, Mounted
from replguard.sensors.files.spaces import Space

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


def test_changes_without_end_are_taken_in_now_and_then(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first ones at once, the others later, none not at all; the longer it takes, the longer it rests."""
    try:
        found = Mounted(group, fanotify.CREATE, lambda path, access: True)
    except Unavailable as error:
        pytest.skip(str(error))
    try:
        now = [clock.monotonic() + 100.0]
        monkeypatch.setattr(clock, "monotonic", lambda: now[0])
        monkeypatch.setattr(found.spaces, "look", lambda: False)
        changes = [True] * 20
        monkeypatch.setattr(found.spaces, "changed", lambda: bool(changes) and changes.pop())
        taken = []
        for _ in range(100):
            if found.changed():
                found.arrange()
                taken.append(round(now[0] - 100.0, 1))
            now[0] += 0.1
        assert len(taken) in range(AT_ONCE, AT_ONCE + 3)
        assert not found.changed()
        found._waits, found._rest = True, now[0] + 5
        assert not found.changed()
        now[0] += 6
        assert found.changed()
    finally:
        found.close()


def test_a_walk_enters_no_server_of_another_namespace(group: Group) -> None:
    """Nor what the kernel makes up there."""
    try:
        found = Mounted(group, fanotify.CREATE, lambda path, access: True)
    except Unavailable as error:
        pytest.skip(str(error))
    try:
        mount = Mount(1, "0:999", "/", b"/net", "fuse.sshfs", "x", top=b"/")
        other = Space(7, b"/proc/999999999/root", [mount])
        found.spaces._tables[7] = (7, b"", other)
        found.spaces.left_out.add("mounts beyond 9")
        found.arrange()
        assert {b"/proc", b"/proc/999999999/root/net"} <= found.skip
        assert "mounts beyond 9" in found.refused
        assert found.inside(b"/proc/7/root/a") == b"/a"
        assert found.inside(b"/a") == b"/a"
    finally:
        found.close()
