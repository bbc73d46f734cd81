"""A hint says what to watch from now on, and can take it back."""

import msgspec
import pytest

from replguard.events.hint import Hint


def test_a_hint_watches_unless_it_drops():
    """Watching is the default; dropping is said."""
    assert Hint(kind="inode", device=1, inode=2).drop is False
    assert Hint(kind="inode", device=1, inode=2, drop=True) != Hint(kind="inode", device=1, inode=2)


def test_hints_can_be_kept_in_sets():
    """The same hint twice is one."""
    assert len({Hint(kind="endpoint", port=80), Hint(kind="endpoint", port=80)}) == 1


def test_another_kind_is_refused():
    """A sensor need not expect any other."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"kind": "user"}, Hint)
