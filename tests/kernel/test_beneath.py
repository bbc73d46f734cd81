"""What lies below another's root is reached without being led elsewhere."""

import os
import stat
from pathlib import Path

import pytest

from replguard.kernel import beneath

ROOT = b"/proc/self/root"


@pytest.fixture(params=[True, False])
def folder(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a file, a pipe and symlinks, on a kernel with openat2 and on one without."""
    if not request.param:
        monkeypatch.setattr(beneath, "_OPENAT2", 100_000)
    place = tmp_path.resolve()
    (place / "d").mkdir()
    (place / "d" / "f").write_text("x")
    (place / "out").symlink_to("/")
    (place / "soft").symlink_to(place / "d" / "f")
    os.mkfifo(place / "pipe")
    return place


def raw(path: Path) -> bytes:
    return os.fsencode(path)


def test_folders_and_files_are_entered(folder: Path) -> None:
    """For reading, if they lie on the filesystem that is expected."""
    device = folder.stat().st_dev
    for place in (folder / "d", folder / "d" / "f", folder):
        descriptor = beneath.entered(ROOT, raw(place), device)
        try:
            assert os.path.samestat(os.fstat(descriptor), place.stat())
        finally:
            os.close(descriptor)


def test_symlinks_pipes_and_other_filesystems_are_not(folder: Path) -> None:
    """Neither as the last name nor on the way; and nothing stays open."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    for place in (
        folder / "out",
        folder / "soft",
        folder / "pipe",
        folder / "out" / "etc",
        folder / "d" / ".." / "gone",
    ):
        with pytest.raises(OSError):  # noqa: PT011 - each has a number of its own
            beneath.entered(ROOT, raw(place), None)
    with pytest.raises(OSError, match="another filesystem"):
        beneath.entered(ROOT, b"/proc", folder.stat().st_dev)
    with pytest.raises(OSError, match="another filesystem"):
        beneath.entered(b"", b"/", Path("/proc").stat().st_dev)
    os.close(beneath.entered(b"", b"/", Path("/").stat().st_dev))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_names_are_looked_at_the_same_way(folder: Path) -> None:
    """A symlink is itself; what lies behind one is not there, and neither is what lies on another filesystem."""
    device, pid = folder.stat().st_dev, os.getpid()
    through = b"/proc/%d/root" % pid
    found = beneath.lstat(through + raw(folder / "soft"), device)
    assert found is not None
    assert stat.S_ISLNK(found.st_mode)
    assert beneath.lstat(through + raw(folder / "d" / "f")) is not None
    assert beneath.lstat(through + raw(folder / "out") + raw(folder / "d" / "f")) is None
    assert beneath.lstat(through + raw(folder / "d" / "f"), device + 1) is None
    assert beneath.lstat(raw(folder / "d" / "f"), device + 1) is None
    assert beneath.lstat(raw(folder / "d" / "f"), device) is not None
    assert beneath.lstat(b"/proc/self/root\0") is None


def test_ways_through_another_root_are_told_apart() -> None:
    """All others are our own."""
    assert beneath.parted(b"/proc/7/root/a/b") == (b"/proc/7/root", b"/a/b")
    assert beneath.parted(b"/proc/7/root") == (b"/proc/7/root", b"/")
    assert [beneath.parted(path) for path in (b"/a", b"/proc/7/rootx", b"/proc/self/root/a", b"/proc/7")] == [None] * 4
