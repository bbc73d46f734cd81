"""Which opens are news, and which inodes are marked."""

import errno
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from replguard.events import clock
from replguard.events.hint import Hint
from replguard.kernel import fanotify
from replguard.sensors.files import opens as module
from replguard.sensors.files.opens import Opens
from replguard.sensors.losses import Losses
from replguard.sensors.names import NamesSensor

pytestmark = pytest.mark.root


SENSOR = NamesSensor()


class Waiting:
    """A group in which opens wait."""

    fd = -1
    unreadable = 0

    def __init__(self, *records: bytes) -> None:
        self.data = b"".join(records)

    def read(self) -> bytes:
        data, self.data = self.data, b""
        return data


def opened(handle: bytes, pid: int) -> bytes:
    body = struct.pack("=BBH", 1, 0, 4 + len(handle)) + handle
    return struct.pack("=IBBHQii", 24 + len(body), 3, 0, 24, fanotify.OPEN, -1, pid) + body


@pytest.fixture
def opens(tmp_path: Path) -> Opens:
    path = tmp_path / "w"
    path.write_text("x")
    made = Opens(Losses(SENSOR))
    made.start()
    if made.why is not None:
        pytest.skip(made.why)
    made.take(hint(path), os.fsencode(path))
    made.stop()
    if not made.by_handle:
        pytest.skip("the filesystem of the temporary folder has no handles")
    return made


def hint(path: Path, *, drop: bool = False) -> Hint:
    found = path.stat()
    return Hint(kind="inode", path=str(path), device=found.st_dev, inode=found.st_ino, drop=drop)


def read(opens: Opens, *pids: int, entity: str | None = "one") -> list[int]:
    (handle,) = opens.by_handle
    opens._group = Waiting(*(opened(handle, pid) for pid in pids))  # type: ignore[assignment]
    return [one.pid for one in opens.read(lambda pid: entity)]


def test_each_process_is_told_once_in_a_while(opens: Opens, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process at once, also one that has the pid of one that ended; the same again after a minute."""
    now = clock.monotonic()
    monkeypatch.setattr(clock, "monotonic", lambda: now)
    assert read(opens, 5, 5, 6) == [5, 6]
    assert read(opens, 5) == []
    now += 2 * module.MOMENT
    assert read(opens, 5) == []
    assert read(opens, 5, entity="another") == []  # asked for a moment ago
    now += 2 * module.MOMENT
    assert read(opens, 5, entity="another") == [5]
    now += module.OPEN_AGAIN
    assert read(opens, 5, 6) == [5, 6]


def test_a_path_that_is_another_file_by_now_is_not_marked(opens: Opens, tmp_path: Path) -> None:
    """The identity decides; a file that is known is followed to its new name."""
    (watched,) = opens.files.values()
    opens.renamed(watched.path, b"/inside/v", watched.access, os.fsencode(tmp_path / "v"))
    assert (watched.path, watched.access) == (b"/inside/v", os.fsencode(tmp_path / "v"))
    (tmp_path / "v").write_text("another")
    opens.start()
    assert watched.handle is None
    opens.take(hint(tmp_path / "w", drop=True), b"")
    assert not opens.files
    opens.stop()
    opens.stop()


def test_marks_are_set_anew(opens: Opens) -> None:
    """After a restart, for what is known by then; nodes that do not exist are waited for."""
    opens.nodes([b"/dev/null", b"/dev/none-such"])
    opens.start()
    assert {watched.path for watched in opens.by_handle.values()} >= {b"/dev/null"}
    assert opens.fileno() >= 0
    opens.stop()
    assert opens.fileno() == -1


def lost(opens: Opens) -> dict[tuple[str, str], int]:
    return dict(opens._losses._untold)


def test_what_is_lost_is_counted(opens: Opens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full queue, a full table, and a mark that the kernel refuses: the latter once for each file."""
    opens._group = Waiting(struct.pack("=IBBHQii", 24, 3, 0, 24, fanotify.OVERFLOW, -1, 0))  # type: ignore[assignment]
    assert not list(opens.read(lambda pid: None))
    assert lost(opens) == {("kernel", "opens: fanotify overflow"): 1}
    monkeypatch.setattr(module, "_MOST_HINTS", 1)
    (tmp_path / "more").write_text("x")
    opens.take(hint(tmp_path / "more"), os.fsencode(tmp_path / "more"))
    assert len(opens.files) == 1
    opens.start()

    def refused(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(opens._group, "mark", refused)
    opens.again()
    opens.again()
    opens.stop()
    assert sorted(lost(opens).values()) == [1, 1, 1]
    assert ("watch", "a file takes no mark on its opens: No space left on device") in lost(opens)


def test_a_file_whose_path_has_gone_keeps_its_mark(opens: Opens, tmp_path: Path) -> None:
    """The mark is on the inode; a hint with a new way there leads there again."""
    opens.start()
    (tmp_path / "w").rename(tmp_path / "moved")
    opens.again()
    assert len(opens.by_handle) == 1
    opened_by = subprocess.Popen([sys.executable, "-c", f"open({str(tmp_path / 'moved')!r})"])
    assert opened_by.wait() == 0
    assert opened_by.pid in {one.pid for one in opens.read(lambda pid: None)}
    opens.take(hint(tmp_path / "moved"), os.fsencode(tmp_path / "moved"))
    (watched,) = opens.by_handle.values()
    assert watched.access == os.fsencode(tmp_path / "moved")
    opens.stop()


def test_without_a_group_it_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its sensor goes on without it."""

    def refused(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(module, "Group", refused)
    made = Opens(Losses(SENSOR))
    made.start()
    assert "max_user_groups" in (made.why or "")
    assert made.fileno() == -1
    assert not list(made.read(lambda pid: None))
