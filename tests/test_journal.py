"""A memory on disk: what was written is read, and what is damaged, cut or another's is left out and told."""

import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some

from replguard.journal import LONG, Heading, Journal

HEADING = Heading("test", 1, "machine", "boot")


def kept(path: Path) -> dict[str, bytes]:
    return Journal(path, HEADING).read().records


def written(path: Path, *pieces: dict[str, bytes]) -> Journal:
    journal = Journal(path, HEADING)
    journal.replace({})
    for piece in pieces:
        journal.add(piece)
    return journal


def test_the_last_of_each_key_counts(tmp_path: Path) -> None:
    """Whatever was written before it."""
    path = tmp_path / "state" / "memory"
    written(path, {"a": b"1", "b": b"1"}, {"a": b"2"})
    found = Journal(path, HEADING).read()
    assert found == (HEADING, {"a": b"2", "b": b"1"}, None)
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_did_not_change_is_not_written(tmp_path: Path) -> None:
    """The file stays as long as it was."""
    journal = written(tmp_path / "memory", {"a": b"1" * 1000})
    size = (tmp_path / "memory").stat().st_size
    journal.add({"a": b"1" * 1000})
    assert (tmp_path / "memory").stat().st_size == size


def test_a_long_one_is_written_whole(tmp_path: Path) -> None:
    """It says so when most of it counts no more, and is short again."""
    path = tmp_path / "memory"
    journal = written(path)
    number = 0
    while not journal.is_long:
        number += 1
        journal.add({"a": os.urandom(LONG // 10)})
    assert 10 <= number <= 30
    journal.replace({"a": b"1"})
    assert not journal.is_long
    assert path.stat().st_size < 200
    assert kept(path) == {"a": b"1"}


def test_nothing_there_is_no_trouble(tmp_path: Path) -> None:
    """The first start has nothing to read; without a path nothing is kept at all."""
    assert Journal(tmp_path / "memory", HEADING).read() == (None, {}, None)
    assert Journal(None, HEADING).read() == (None, {}, None)
    nowhere = Journal(None, HEADING)
    nowhere.replace({"a": b"1"})
    nowhere.add({"a": b"2"})
    assert nowhere.trouble is None


@pytest.mark.parametrize("data", [b"", b"\0" * 64, b"not this", b'{"json": 1}', b"\xff" * 5000])
def test_anything_else_counts_for_nothing(tmp_path: Path, data: bytes) -> None:
    """And is told."""
    path = tmp_path / "memory"
    path.write_bytes(data)
    found = Journal(path, HEADING).read()
    assert (found.heading, found.records) == (None, {})
    assert found.trouble == "it is damaged, or was written by something else"


def test_another_version_counts_for_nothing(tmp_path: Path) -> None:
    """What an older or a newer one meant nobody knows."""
    other = Journal(tmp_path / "memory", msgspec.structs.replace(HEADING, version=2))
    other.replace({"a": b"1"})
    found = Journal(tmp_path / "memory", HEADING).read()
    assert (found.heading, found.records) == (None, {})
    assert found.trouble == "it is of another version (test 2)"


def test_another_boot_is_told_by_the_heading(tmp_path: Path) -> None:
    """What of it still counts is for its owner to say."""
    other = Journal(tmp_path / "memory", msgspec.structs.replace(HEADING, boot="before"))
    other.replace({"a": b"1"})
    found = Journal(tmp_path / "memory", HEADING).read()
    assert found.heading is not None
    assert found.heading.boot == "before"
    assert found.records == {"a": b"1"}


@given(some.data())
def test_a_file_that_is_cut_or_changed_gives_what_is_before(
    tmp_path_factory: pytest.TempPathFactory, data: some.DataObject
) -> None:
    """At whatever byte: never an error, never a record that was not written."""
    path = tmp_path_factory.mktemp("journal") / "memory"
    written(path, {"a": b"1"}, {"b": b"2"}, {"a": b"3", "c": b"4"})
    whole = bytearray(path.read_bytes())
    at = data.draw(some.integers(0, len(whole) - 1))
    if data.draw(some.booleans()):
        del whole[at:]
    else:
        whole[at] ^= data.draw(some.integers(1, 255))
    path.write_bytes(whole)
    found = Journal(path, HEADING).read()
    assert found.records in ({}, {"a": b"1"}, {"a": b"1", "b": b"2"}, {"a": b"3", "b": b"2", "c": b"4"})


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/etc/passwd")])
def test_what_is_no_file_is_not_read(tmp_path: Path, make: object) -> None:
    """A pipe without a writer holds up no start, and no link is followed."""
    make(tmp_path / "memory")  # type: ignore[operator]
    found = Journal(tmp_path / "memory", HEADING).read()
    assert found.heading is None
    assert found.trouble is not None
    assert found.trouble.startswith("it cannot be read")


def test_what_could_not_be_written_is_written_whole_next(tmp_path: Path) -> None:
    """The file is gone in between: the next writing brings all of it back."""
    path = tmp_path / "memory"
    journal = written(path, {"a": b"1"})
    path.unlink()
    journal.add({"b": b"2"})
    assert journal.trouble == "it cannot be written: No such file or directory"
    assert journal.is_long
    journal.replace({"a": b"1", "b": b"2"})
    assert journal.trouble is None
    assert kept(path) == {"a": b"1", "b": b"2"}
