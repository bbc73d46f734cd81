"""An act becomes the sections of an event."""

import os
from pathlib import Path

from replguard.sensors.files.sections import lstat
from replguard.sensors.files.shown import context, section
from replguard.sensors.files.written import Act


def test_the_path_is_the_one_inside_and_the_rest_is_from_the_host(tmp_path: Path) -> None:
    """Of another namespace; a symlink there leads where it says."""
    (tmp_path / "s").symlink_to("../x/y")
    access = os.fsencode(tmp_path / "s")
    act = Act("file_link", b"/in/side/s", access, lstat(access), 7)
    file = section(act)
    assert (file.path, file.name, file.type, file.target_path) == ("/in/side/s", "s", "symlink", "/in/x/y")
    assert file.inode == (tmp_path / "s").lstat().st_ino
    assert context(act, known=True).host_path == str(tmp_path / "s")


def test_a_file_that_is_gone_keeps_its_identity() -> None:
    """As far as it was known."""
    act = Act("file_delete", b"/gone/f", b"/gone/f", None, 0, key=(1, 2))
    file = section(act)
    assert (file.path, file.device, file.inode, file.size) == ("/gone/f", 1, 2, None)
    about = context(act, known=False)
    assert (about.attribution, about.host_path, about.read_time) == (None, None, True)
