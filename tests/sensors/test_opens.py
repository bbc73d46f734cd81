"""Which opens are news, and which inodes are marked."""

import os
import struct
from pathlib import Path

import pytest

from replguard.events import clock
from replguard.events.hint import Hint
from replguard.kernel import fanotify
from replguard.sensors import opens as module
from replguard.sensors.opens import Opens

pytestmark = pytest.mark.root


class Waiting:
    """A group in which opens wait."""

    fd = -1

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
    made = Opens()
    try:
        made.start()
    except OSError as error:
        pytest.skip(f"fanotify does not work here: {error}")
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
