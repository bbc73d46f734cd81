"""The segment that is being written."""

import errno
import os

import pytest

from replguard.log.opened import Opened


@pytest.fixture
def opened(tmp_path):
    """Give a new segment."""
    made = Opened(tmp_path / "raw-000007.jsonl", 7)
    yield made
    made.finish()


def test_whole_lines_are_counted(opened):
    """In bytes, as they stand there."""
    assert opened.append([b"{1}\n", b"{22}\n"]) == (2, None)
    assert opened.append([b"{3}\n"]) == (1, None)
    opened.sync()
    assert (opened.size, opened.path.read_bytes()) == (13, b"{1}\n{22}\n{3}\n")


def test_a_name_that_is_taken_is_left_alone(tmp_path):
    """Whatever is there: a file, or a link that leads elsewhere."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("file", "link"):
        with pytest.raises(FileExistsError):
            Opened(tmp_path / name, 1)
    assert ((tmp_path / "file").read_text(), (tmp_path / "elsewhere").exists()) == ("x", False)


def test_its_name_may_be_taken_from_it(opened):
    """Removed, or another file in its place."""
    assert opened.is_in_place
    opened.path.rename(opened.path.with_name("other"))
    assert not opened.is_in_place
    opened.path.write_text("")
    assert not opened.is_in_place


@pytest.mark.parametrize("truncates", [True, False])
@pytest.mark.parametrize(("room", "stand"), [(0, 0), (3, 0), (4, 1), (9, 2), (10, 2)])
def test_what_stands_whole_is_told(opened, monkeypatch, truncates, room, stand):
    """And half a line is cut off, where that is possible."""
    opened.append([b"{0}\n"])
    real, left = os.write, [room]

    def full(fd, data):
        part, left[0] = bytes(data)[: left[0]], max(0, left[0] - len(data))
        if not part:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(fd, part)

    def refused(*_):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        if not truncates:
            patch.setattr(os, "ftruncate", refused)
        found, error = opened.append([b"{1}\n", b"{22}\n", b"{333}\n"])
    assert (found, error.errno) == (stand, errno.ENOSPC)
    whole = b"{0}\n{1}\n{22}\n"[: 4 + (0, 4, 9)[stand]]
    there = opened.path.read_bytes()
    assert there == whole if truncates else there.startswith(whole)


def test_a_header_alone_is_not_kept(opened, monkeypatch):
    """Nor an empty file: a full disk would fill with them."""
    real, left = os.write, [4]

    def full(fd, data):
        part, left[0] = bytes(data)[: left[0]], max(0, left[0] - len(data))
        if not part:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(fd, part)

    monkeypatch.setattr(os, "write", full)
    assert opened.append([b"{h}\n", b"{1}\n"])[0] == 0
    assert not opened.path.exists()
