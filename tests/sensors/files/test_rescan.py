"""After a loss the folders are read again, for what changed since."""

import os
from pathlib import Path

import pytest

from replguard.events import clock
from replguard.sensors.files import rescan as module
from replguard.sensors.files.rescan import Rescan
from replguard.sensors.files.tree import Folder


def aged(path: Path, seconds: float) -> None:
    """Give a file an old modification time; its change time stays new."""
    old = clock.now().timestamp() - seconds
    os.utime(path, (old, old))


def test_only_what_changed_since_the_last_good_moment(tmp_path: Path) -> None:
    """A forged modification time does not hide a file: the change time counts too."""
    (tmp_path / "forged").write_bytes(b"x")
    aged(tmp_path / "forged", 9999)
    folder = Folder(os.fsencode(tmp_path))
    rescan = Rescan()
    rescan.good(clock.now().timestamp() - 5)
    rescan.begin([folder, Folder(os.fsencode(tmp_path / "none"))])
    assert [(f, path.rpartition(b"/")[2]) for f, path, _ in rescan.step(5)] == [(folder, b"forged")]
    rescan.good(clock.now().timestamp() + 60)
    rescan.begin([folder])
    assert list(rescan.step(5)) == []


def test_a_second_loss_while_reading_keeps_the_earlier_moment(tmp_path: Path) -> None:
    """What was not yet read again stays suspect."""
    (tmp_path / "file").write_bytes(b"x")
    rescan = Rescan()
    rescan.begin([Folder(os.fsencode(tmp_path))])
    rescan.good(clock.now().timestamp() + 60)
    rescan.begin([Folder(os.fsencode(tmp_path))])
    assert len(list(rescan.step(5))) == 1


def test_it_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many files and no more; and a slice of time at once."""
    monkeypatch.setattr(module, "MOST", 3)
    for number in range(5):
        (tmp_path / str(number)).write_bytes(b"")
    rescan = Rescan()
    rescan.begin([Folder(os.fsencode(tmp_path))])
    assert list(rescan.step(0)) == []
    assert len(list(rescan.step(5))) == 3
