"""The keys that sign the log."""

import json
import stat

import pytest

from replguard.log.keys import Keys, Verifier, short


def test_each_key_is_followed_by_the_one_that_it_was_told(tmp_path):
    """The new one signs once it was told; the old one is gone from the disk then."""
    path = tmp_path / "state" / "log.key"
    keys = Keys(path)
    assert keys.open(None)
    first, old = keys.public, path.read_bytes()
    coming = keys.succeed()
    assert Verifier(first).holds(b"x", keys.sign(b"x"))
    keys.taken_over()
    assert keys.public == coming != first
    assert Verifier(coming).holds(b"x", keys.sign(b"x"))
    assert not Verifier(first).holds(b"x", keys.sign(b"x"))
    assert json.loads(old)["current"].encode() not in path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("told", [False, True])
def test_a_crash_between_two_keys_loses_none(tmp_path, told):
    """Whether the new one was told or not, the file holds the one that was told last."""
    keys = Keys(tmp_path / "key")
    keys.open(None)
    first, coming = keys.public, keys.succeed()
    again = Keys(tmp_path / "key")
    assert again.open(coming if told else first)
    assert again.public == (coming if told else first)


@pytest.mark.parametrize("data", [None, b"", b"{}", b'{"current":"AAAA"}'])
def test_without_the_key_that_is_told_nobody_vouches(tmp_path, data):
    """A new log has its first key; one whose key was lost goes on with another, and says so."""
    path = tmp_path / "key"
    if data is not None:
        path.write_bytes(data)
    assert Keys(path).open(None)
    other = Keys(tmp_path / "other")
    other.open(None)
    assert not Keys(path).open(other.public)


def test_a_file_that_cannot_be_written_is_told(tmp_path):
    """The keys go on without it."""
    (tmp_path / "file").write_text("")
    keys = Keys(tmp_path / "file" / "key")
    assert keys.open(None)
    assert keys.trouble is not None
    keys.succeed()
    keys.taken_over()
    assert Verifier(keys.public).holds(b"x", keys.sign(b"x"))


def test_what_is_no_key_or_signature(tmp_path):
    """A key that cannot be one is an error, a signature that cannot be one does not hold."""
    for wrong in ("AAAA", "no base64", ""):
        with pytest.raises(ValueError, match=r".+"):
            Verifier(wrong)
    keys = Keys(tmp_path / "key")
    keys.open(None)
    assert len(short(keys.public)) == 16
    for wrong in ("", "AAAA", "no base64", keys.sign(b"y")):
        assert not Verifier(keys.public).holds(b"x", wrong)
