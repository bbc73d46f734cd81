"""The file section, for every type of file and any name."""

import os
import socket
from pathlib import Path

import pytest

from replguard.sensors.files.sections import file_section, lstat


def test_every_type_and_hostile_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Type, links and owner by lstat; bytes that are no UTF-8 become escapes."""
    path = tmp_path / "a\n\udcff"
    path.write_bytes(b"12345")
    os.link(path, tmp_path / "second")
    file = file_section(os.fsencode(path), lstat(os.fsencode(path)), b"/old\xfe")
    assert (file.name, file.previous, file.size, file.links, file.uid, file.type) == (
        "a\n\\xff",
        "/old\\xfe",
        5,
        2,
        os.geteuid(),
        "file",
    )
    assert (file.device, file.inode) == (path.stat().st_dev, path.stat().st_ino)
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        monkeypatch.chdir(tmp_path)  # the address of a socket may have 107 bytes
        listener.bind("socket")
    kinds = {"fifo": "fifo", "socket": "socket", ".": "dir"}
    assert {name: file_section(p, lstat(p)).type for name in kinds if (p := os.fsencode(tmp_path / name))} == kinds
    assert file_section(b"/dev/null", lstat(b"/dev/null")).type == "device"


def test_a_symlink_tells_where_it_leads(tmp_path: Path) -> None:
    """Absolute and through every link on the way; loops and what is not there are no error."""
    (tmp_path / "w").write_bytes(b"x")
    (tmp_path / "one").symlink_to("w")
    (tmp_path / "two").symlink_to("one")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "none").symlink_to("missing")
    targets = {}
    for name in ("two", "none", "loop"):
        path = os.fsencode(tmp_path / name)
        file = file_section(path, lstat(path))
        assert file.type == "symlink"
        targets[name] = file.target_path
    assert targets["two"] == str((tmp_path / "w").resolve())
    assert targets["none"] == str(tmp_path.resolve() / "missing")


def test_what_is_gone_has_only_a_name() -> None:
    """Unknown is None."""
    file = file_section(b"/none/x", lstat(b"/none/x"))
    assert (file.path, file.name, file.size, file.type) == ("/none/x", "x", None, None)


def test_a_way_through_another_root_is_not_left(tmp_path: Path) -> None:
    """A symlink there may lead to a server that hangs us, or to a file of ours."""
    (tmp_path / "f").write_text("x")
    (tmp_path / "out").symlink_to(tmp_path)
    root = b"/proc/%d/root" % os.getpid() + os.fsencode(tmp_path.resolve())
    assert lstat(root + b"/f") is not None
    assert lstat(root + b"/out/f") is None
    assert file_section(root + b"/out", lstat(root + b"/out")).target_path is None
