"""Listing folders whatever they hold."""

import os
from pathlib import Path

import pytest
from support import modelfiles

from replguard.weights import walk


def names(root: Path, **how: object) -> list[str]:
    return [Path(found.path).name for found in walk.files(str(root), **how)]  # type: ignore[arg-type]


def test_files_come_in_order_and_oddities_do_not(tmp_path: Path) -> None:
    """FIFOs, dangling links and folders are no files."""
    for name in ("b", "a", "sub/c"):
        modelfiles.write(tmp_path / name, b"x")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "dangling").symlink_to("nowhere")
    assert names(tmp_path) == ["a", "b", "c"]
    assert names(tmp_path / "a") == ["a"]
    assert names(tmp_path / "fifo") == []
    assert names(tmp_path / "absent") == []


def test_loops_of_links_end(tmp_path: Path) -> None:
    """A folder reached twice is walked once."""
    modelfiles.write(tmp_path / "one" / "file", b"x")
    (tmp_path / "one" / "up").symlink_to(tmp_path)
    (tmp_path / "self").symlink_to(tmp_path / "self")
    assert names(tmp_path) == ["file"]


def test_links_are_followed_only_if_asked(tmp_path: Path) -> None:
    """A user's cache must not lead us elsewhere."""
    modelfiles.write(tmp_path / "real" / "file", b"x")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "file").symlink_to(tmp_path / "real" / "file")
    assert names(tmp_path / "cache") == ["file"]
    assert names(tmp_path / "cache", follow=False) == []


def test_depth_and_number_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without an end does not stop the daemon."""
    deep = tmp_path
    for _ in range(40):
        deep /= "d"
    modelfiles.write(deep / "file", b"x")
    assert names(tmp_path) == []
    monkeypatch.setattr(walk, "MOST_FILES", 3)
    for i in range(9):
        modelfiles.write(tmp_path / f"f{i}", b"x")
    assert names(tmp_path) == ["f0", "f1", "f2"]


def test_folders_of_others_are_skipped(tmp_path: Path) -> None:
    """A scaffold's virtual environment is no scaffold."""
    modelfiles.write(tmp_path / "agent.py", b"x")
    modelfiles.write(tmp_path / ".venv" / "lib.py", b"x")
    assert names(tmp_path, skip=walk.THIRD_PARTY) == ["agent.py"]
