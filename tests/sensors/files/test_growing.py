"""Files in the making."""

import os
from pathlib import Path

import pytest

from replguard.events import clock
from replguard.sensors.files import growing as module
from replguard.sensors.files.growing import FIRST, SECOND, Growing, Table


def test_sizes_are_told_at_each_step() -> None:
    """16 MiB, 64 MiB, then each doubling; each once."""
    file = Growing(b"x", 1, 2, 0, 0.0)
    told = [size for size in range(0, 300 * 2**20, 2**20) if file.step(size, 1.0)]
    assert told == [FIRST, SECOND, 2 * SECOND, 4 * SECOND]


def test_a_jump_over_several_steps_is_told_once() -> None:
    """The next step lies above what it has."""
    file = Growing(b"x", 1, 2, 0, 0.0)
    assert file.step(5 * SECOND, 1.0)
    assert not file.step(7 * SECOND, 1.0)
    assert file.step(8 * SECOND, 1.0)


def test_grown_and_quiet_and_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table tells what grew, what stopped to, and lets go of what was replaced or removed."""
    table = Table()
    names = ["big", "small", "gone", "other"]
    paths = {name: os.fsencode(tmp_path / name) for name in names}
    for name in names:
        (tmp_path / name).write_bytes(b"")
        table.add(paths[name], os.lstat(paths[name]), None)
    with (tmp_path / "big").open("r+b") as file:
        file.truncate(SECOND)
    (tmp_path / "gone").unlink()
    (tmp_path / "new").write_bytes(b"")
    (tmp_path / "new").rename(tmp_path / "other")
    assert [(what, file.path) for what, file, _ in table.look()] == [("grown", paths["big"])]
    assert len(table) == 2
    later = clock.monotonic() + module.QUIET + 1
    monkeypatch.setattr(clock, "monotonic", lambda: later)
    assert {(what, file.path) for what, file, _ in table.look()} == {("quiet", paths["big"]), ("quiet", paths["small"])}


def test_a_renamed_file_is_followed(tmp_path: Path) -> None:
    """Under its new name."""
    table = Table()
    path = tmp_path / "x"
    path.write_bytes(b"")
    table.add(os.fsencode(path), path.lstat(), None)
    table.rename(os.fsencode(path), b"/new")
    table.rename(b"/unknown", b"/other")
    assert table.pop(os.fsencode(path)) is None
    found = table.pop(b"/new")
    assert found is not None
    assert found.path == b"/new"


def test_the_oldest_are_let_go(tmp_path: Path) -> None:
    """The table is bounded."""
    table = Table(limit=2)
    let_go = [table.add(b"%d" % number, tmp_path.lstat(), None) for number in range(4)]
    assert [file and file.path for file in let_go] == [None, None, b"0", b"1"]
    assert len(table) == 2
    assert table.pop(b"0") is None


def test_files_below_a_folder_are_found(tmp_path: Path) -> None:
    """Those of a folder that only begins alike are not among them."""
    table = Table()
    (tmp_path / "f").write_text("x")
    for name in (b"/a/b/c", b"/a/bc", b"/a/b"):
        table.add(name, (tmp_path / "f").stat(), None)
    assert b"/a/bc" in table
    assert table.below(b"/a/b") == [b"/a/b/c"]
