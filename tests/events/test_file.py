"""A file's numbers are real even when they are zero."""

import msgspec

from replguard.events.file import File


def test_unknown_is_absent_and_zero_is_kept():
    """An empty file owned by root is not a file of which nothing is known."""
    assert msgspec.to_builtins(File(path="/x")) == {"path": "/x"}
    assert msgspec.to_builtins(File(path="/x", size=0, uid=0, inode=0)) == {
        "path": "/x",
        "size": 0,
        "uid": 0,
        "inode": 0,
    }


def test_large_inodes_and_sizes_survive():
    """64-bit values come back exactly."""
    made = File(path="/x", inode=2**64 - 1, size=2**63 - 1, device=2**32)
    assert msgspec.json.decode(msgspec.json.encode(made), type=File) == made
