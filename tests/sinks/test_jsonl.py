import errno
import json
import os
import resource

import pytest
from support.making import alert, kept

from replguard.events import wire
from replguard.sinks.jsonl import Settings
from replguard.sinks.jsonl import open as open_sink


@pytest.fixture
def made(tmp_path):
    """Return the sink and its file, in a folder that is not there yet."""
    path = tmp_path / "log" / "alerts.jsonl"
    (sink,) = open_sink(Settings(path=str(path)))
    yield sink, path
    sink.close()


def test_a_line_each_at_once(made):
    """Each alert is one object on one line, there as soon as it was sent, for the group only."""
    sink, path = made
    for number in range(3):
        sink.send(alert(number))
        assert len(path.read_text().splitlines()) == number + 1
    first = json.loads(path.read_text().splitlines()[0])
    assert first["rule"]["level"] == "high"
    assert first["event"]["kind"] == "alert"
    assert path.stat().st_mode & 0o007 == 0


def test_checkpoints_where_they_are_asked_for(tmp_path):
    """A file that something ships elsewhere may hold them; by default each line is an alert."""
    assert not open_sink(Settings(path="/x"))[0].checkpoints
    (sink,) = open_sink(Settings(path=str(tmp_path / "alerts.jsonl"), checkpoints=True))
    assert sink.checkpoints
    sink.keep(kept(4))
    sink.close()
    (line,) = (tmp_path / "alerts.jsonl").read_text().splitlines()
    found = json.loads(line)
    assert (found["event"]["kind"], found["checkpoint"]["note"]) == ("state", kept(4).checkpoint.note)


def test_hostile_names_forge_no_line(made):
    """A file name cannot add a line, nor drive the terminal of who reads the file."""
    sink, path = made
    sink.send(alert(1, target='/tmp/"}\n{"rule": {"level": "low"}}\x1b[2J\u2028\x85'))
    text = path.read_text()
    assert len(text.splitlines()) == 1
    assert text.rstrip("\n").isprintable()


@pytest.mark.parametrize("how", ["rename", "unlink", "folder"])
def test_rotation(made, how, tmp_path):
    """After the file was moved, removed, or its folder was, the next alert goes to a new one."""
    sink, path = made
    sink.send(alert(1))
    if how == "rename":
        path.rename(path.with_name("alerts.jsonl.1"))
    elif how == "unlink":
        path.unlink()
    else:
        path.parent.rename(tmp_path / "old")
    sink.send(alert(2))
    assert wire.alert(path.read_bytes()) == alert(2)


def test_copy_and_truncate(made):
    """A file that is emptied in place is written from its new beginning."""
    sink, path = made
    sink.send(alert(1))
    os.truncate(path, 0)
    sink.send(alert(2))
    assert wire.alert(path.read_bytes()) == alert(2)


def test_an_unwritable_place_is_an_oserror(made, tmp_path):
    """Trouble is an error that the queue retries; when the place is there the line is written."""
    sink, path = made
    (tmp_path / "log").write_text("in the way")
    with pytest.raises(OSError, match=r"."):
        sink.send(alert(1))
    (tmp_path / "log").unlink()
    sink.send(alert(1))
    assert wire.alert(path.read_bytes()) == alert(1)


def test_a_full_disk_leaves_no_half_line(made):
    """What does not fit whole is cut off and raised (RLIMIT_FSIZE stands for the disk)."""
    sink, path = made
    sink.send(alert(1))
    size = path.stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 50, before[1]))
    try:
        with pytest.raises(OSError, match=r"No space|too large") as caught:
            sink.send(alert(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.errno in (errno.ENOSPC, errno.EFBIG)
    assert path.stat().st_size == size
    sink.send(alert(2))
    assert len(path.read_text().splitlines()) == 2


def test_another_writers_half_line_is_ended(made):
    """Behind a line that someone left unfinished a new one begins."""
    sink, path = made
    path.parent.mkdir()
    path.write_bytes(b'{"half":')
    sink.send(alert(1))
    half, whole = path.read_bytes().splitlines()
    assert half == b'{"half":'
    assert wire.alert(whole) == alert(1)


def test_no_path_is_a_fault():
    """An empty path is told when the configuration is read."""
    with pytest.raises(ValueError, match="empty"):
        open_sink(Settings(path=""))


def test_a_pipe_in_its_place_is_refused(made):
    """Nobody reads it, and an alert in it is an alert lost."""
    sink, path = made
    path.parent.mkdir()
    os.mkfifo(path)
    with pytest.raises(OSError, match="is a pipe"):
        sink.send(alert())
    path.unlink()
    sink.send(alert())
    assert path.stat().st_size


@pytest.mark.root
def test_a_link_that_another_user_made_is_refused(made, tmp_path):
    """Root's alerts must not be led into a file of somebody's choice."""
    sink, path = made
    path.parent.mkdir()
    target = tmp_path / "precious"
    target.write_text("precious")
    path.symlink_to(target)
    os.lchown(path, 65534, 65534)
    with pytest.raises(OSError, match="belongs to user 65534"):
        sink.send(alert())
    assert target.read_text() == "precious"
    os.lchown(path, 0, 0)
    sink.send(alert())
    assert target.read_text() != "precious"
