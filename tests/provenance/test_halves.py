"""Both ends of a rename, each told by itself."""

import pytest
from support.story import Host

from replguard.events.event import Event, Meta
from replguard.events.file import File
from replguard.provenance import halves
from replguard.provenance.halves import Halves
from replguard.weights.inventory import Protected

KNOWN = Protected("/models/w", "llama", 5, 7, 1000)
FOUND = File(path="/srv/w", device=5, inode=7, size=1000)
WENT = File(path="/models/w", device=5, inode=7)


def event(file: File) -> Event:
    return Event(timestamp=Host().now, event=Meta(action="file_create", provider="file"), file=file)


def test_the_end_that_comes_second_puts_them_together() -> None:
    """In either order; and only once."""
    one, told = Halves(), event(FOUND)
    assert not one.found(told, FOUND, KNOWN)
    assert one.went(WENT, KNOWN) is told
    assert one.went(WENT, KNOWN) is None
    assert one.found(told, FOUND, KNOWN)
    assert not one.found(told, FOUND, KNOWN)


@pytest.mark.parametrize("file", [File(path="/srv/w", device=5, inode=7, size=size) for size in (None, 0, 999)])
def test_a_file_of_another_size_is_another_file(file: File) -> None:
    """The kernel gives numbers of removed files to new ones."""
    one = Halves()
    one.went(WENT, KNOWN)
    assert not one.found(event(file), file, KNOWN)


def test_the_name_that_went_has_to_be_the_one_it_was_protected_by() -> None:
    """A second name may go at any time."""
    one = Halves()
    one.found(event(FOUND), FOUND, KNOWN)
    assert one.went(File(path="/other/w", device=5, inode=7), KNOWN) is None


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest end is let go."""
    monkeypatch.setattr(halves, "MOST", 2)
    one = Halves()
    for inode in (1, 2, 3):
        one.went(File(path="/models/w", device=5, inode=inode), Protected("/models/w", "llama", 5, inode, 1000))
    assert len(one._went) == 2
    assert not one.found(event(FOUND), FOUND, Protected("/models/w", "llama", 5, 1, 1000))
