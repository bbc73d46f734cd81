"""How far the log is written outlives the process, and harms nobody where it cannot be kept."""

from pathlib import Path

import pytest

from replguard.analyser.position import FILE, Position


def test_it_is_read_by_the_next(tmp_path: Path) -> None:
    """Also over a longer one that stood there."""
    Position(tmp_path / "state").note("ab" * 8, 123456)
    Position(tmp_path / "state").note("cd" * 8, 7)
    assert Position(tmp_path / "state").read() == ("cd" * 8, 7)


@pytest.mark.parametrize("data", [b"", b"x", b"run -5\n", b"run \xff\n", b"\0" * 64, b"run 1e9"])
def test_nonsense_is_no_position(tmp_path: Path, data: bytes) -> None:
    """Then the last frames are in the log twice, and none is missing."""
    (tmp_path / FILE).write_bytes(data)
    assert Position(tmp_path).read()[1] == 0


def test_without_a_folder_nothing_is_kept(tmp_path: Path) -> None:
    """And nothing fails."""
    (tmp_path / "state").write_text("in the way")
    position = Position(tmp_path / "state")
    position.note("r", 1)
    assert position.read() == ("", 0)
