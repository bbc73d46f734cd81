"""The keys that sign the log."""

import json
import stat

import pytest

from replguard.log.keys import EARLIER, Keys, Verifier, short


def test_each_key_is_followed_by_the_one_that_it_was_told(tmp_path):
    """The new one signs once it was told; the old one is gone from the disk once nobody may need it."""
    path = tmp_path / "state" / "log.key"
    keys = Keys(path)
    assert keys.open(None)
    keys.prepare()
    first, (old, new) = keys.public, json.loads(path.read_bytes())["held"]
    coming = keys.succeed()
    assert Verifier(first).holds(b"x", keys.sign(b"x"))
    keys.taken_over()
    keys.forget()
    keys.prepare()
    assert keys.public == coming != first
    assert Verifier(coming).holds(b"x", keys.sign(b"x"))
    assert not Verifier(first).holds(b"x", keys.sign(b"x"))
    held = json.loads(path.read_bytes())["held"]
    assert (held[0], old in held, len(held)) == (new, False, 2)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("told", [False, True])
def test_a_crash_between_two_keys_loses_none(tmp_path, told):
    """Whether the new one was told or not, the file holds the one that was told last."""
    keys = Keys(tmp_path / "key")
    keys.open(None)
    first, coming = keys.public, keys.succeed()
    if told:
        keys.taken_over()
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
    keys.prepare()
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


def test_only_the_newest_header_is_known(tmp_path):
    """By its key and by who vouches for it: the first key vouches for the second, and no header tells of the first."""
    keys = Keys(tmp_path / "key")
    assert not keys.are_there
    keys.open(None)
    keys.prepare()
    first, second = keys.public, keys.succeed()
    assert keys.are_there
    assert keys.knows(second, first)
    assert not any(keys.knows(*pair) for pair in ((first, None), (first, second), (second, None), (second, second)))
    keys.taken_over()
    keys.forget()
    keys.prepare()
    assert keys.knows(second, first)
    assert keys.knows(keys.succeed(), second)


def test_no_more_keys_are_held_than_a_few(tmp_path):
    """While no header gets onto the disk each segment adds one."""
    path = tmp_path / "key"
    keys = Keys(path)
    keys.open(None)
    for _ in range(3 * EARLIER):
        keys.prepare()
        keys.taken_over()
    keys.prepare()
    assert len(json.loads(path.read_bytes())["held"]) == EARLIER + 2
