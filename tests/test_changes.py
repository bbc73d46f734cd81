"""Whether files changed is told by what the filesystem says of them."""

import os
from pathlib import Path

from replguard import changes


def test_every_change_shows(tmp_path: Path) -> None:
    """Another content, another file of the same name, one more, one less."""
    file, other = tmp_path / "a", tmp_path / "b"
    file.write_text("1")
    seen = [changes.fingerprint([file, other])]
    file.write_text("12")
    seen.append(changes.fingerprint([file, other]))
    (tmp_path / "new").write_text("12")
    (tmp_path / "new").replace(file)
    seen.append(changes.fingerprint([file, other]))
    other.write_text("")
    seen.append(changes.fingerprint([file, other]))
    assert len(set(seen)) == 4
    assert changes.fingerprint([file, other]) == seen[-1]


def test_the_newest_is_found(tmp_path: Path) -> None:
    """Among those that are there."""
    for name, when in (("a", 3e9), ("b", 2e9)):
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (when, when))
    assert changes.newest([tmp_path / "b", tmp_path / "a", tmp_path / "gone"]) == tmp_path / "a"
    assert changes.newest([tmp_path / "gone"]) is None
