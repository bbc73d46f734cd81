"""What is done to files is told at once, by whom if that can be seen, and what was lost is looked for."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from support.host import one, python, running, until

from replguard.config import Config, Watch
from replguard.errors import Unavailable
from replguard.events import clock
from replguard.events.event import Event
from replguard.events.hint import Hint
from replguard.sensors import file as module
from replguard.sensors.file import FileSensor
from replguard.sensors.files import growing
from replguard.sensors.files.growing import FIRST
from replguard.sensors.files.places import Root

WRITE = """
import sys
f=open(sys.argv[1],'wb')
f.write(b'x'); f.flush()
print(flush=True)
sys.stdin.readline()
f.truncate(int(sys.argv[2])); f.close()
print(flush=True)
sys.stdin.read()
"""


@dataclass
class Watched:
    folder: Path
    sensor: FileSensor
    events: list[Event]

    def one(self, action: str, name: str, seconds: float = 8.0) -> Event:
        path = str(self.folder / name)
        return one(self.events, action, lambda e: e.file is not None and e.file.path == path, seconds)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    folder = tmp_path.resolve() / "watched"
    (folder / "own").mkdir(parents=True)
    sensor = FileSensor([Root(os.fsencode(folder))], frozenset([os.fsencode(folder / "own")]))
    with running(sensor) as events:
        yield Watched(folder, sensor, events)


def test_a_writer_is_bound_at_create_and_remembered_at_close(watched: Watched) -> None:
    """Within 50 ms of the create in the usual case; the close comes when the descriptor is gone already."""
    path = watched.folder / "out"
    with python(WRITE, str(path), "100000") as child:
        child.stdout.readline()
        create = watched.one("file_create", "out")
        child.stdin.write("\n")
        child.stdin.flush()
        close = watched.one("file_close_write", "out")
    for event in (create, close):
        assert event.process is not None
        assert event.process.pid == child.pid
        assert event.replguard is not None
        assert event.replguard.attribution == "lineage"
    assert close.file is not None
    assert (close.file.size, close.file.type, close.file.inode) == (100_000, "file", path.stat().st_ino)


def test_links_and_renames_are_told_as_such(watched: Watched) -> None:
    """Hard link, symlink, rename and delete, each with what it needs."""
    (watched.folder / "w").write_bytes(b"x")
    os.link(watched.folder / "w", watched.folder / "hard")
    (watched.folder / "soft").symlink_to("w")
    (watched.folder / "w").rename(watched.folder / "noext")
    hard, soft = watched.one("file_link", "hard").file, watched.one("file_link", "soft").file
    (watched.folder / "hard").unlink()
    assert hard is not None
    assert soft is not None
    assert (hard.links, hard.type) == (2, "file")
    assert (soft.type, soft.target_path) == ("symlink", str(watched.folder / "w"))
    renamed = watched.one("file_rename", "noext").file
    assert renamed is not None
    assert renamed.previous == str(watched.folder / "w")
    assert watched.one("file_delete", "hard").process is None


def test_a_copied_tree_is_told_file_by_file(watched: Watched, tmp_path: Path) -> None:
    """Folders that appear are watched at once; what was in them by then is told too, each file once."""
    for name in ("a/b/c/one", "a/two", "three"):
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 100)
    shutil.copytree(tmp_path / "source", watched.folder / "copy")
    for name in ("a/b/c/one", "a/two", "three"):
        watched.one("file_create", f"copy/{name}")
        watched.one("file_close_write", f"copy/{name}")
    creates = [e.file.path for e in watched.events if e.action == "file_create" and e.file is not None]
    assert len(creates) == len(set(creates))


def test_a_folder_moved_in_is_told_with_its_files(watched: Watched, tmp_path: Path) -> None:
    """It is watched from then on; moved within, its files are told with their former names; moved out, it is gone."""
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "w").write_bytes(b"x")
    (tmp_path / "m").rename(watched.folder / "in")
    assert watched.one("file_rename", "in/w").file.previous is None
    (watched.folder / "in").rename(watched.folder / "within")
    assert watched.one("file_rename", "within/w").file.previous == str(watched.folder / "in" / "w")
    (watched.folder / "within" / "new").write_bytes(b"x")
    watched.one("file_close_write", "within/new")
    (watched.folder / "within").rename(tmp_path / "out")
    watched.one("file_delete", "within")
    assert until(lambda: len(watched.sensor._tree.folders) == 1)


def test_a_growing_file_is_told_before_it_is_closed(watched: Watched) -> None:
    """At 16 MiB, with the writer."""
    path = watched.folder / "big"
    code = "import sys; f=open(sys.argv[1],'wb'); f.truncate(int(sys.argv[2])); print(flush=True); sys.stdin.read()"
    with python(code, str(path), str(FIRST)) as child:
        child.stdout.readline()
        grown = watched.one("file_grow", "big")
        assert grown.process is not None
        assert grown.process.pid == child.pid
        assert grown.file.size == FIRST
        assert not [e for e in watched.events if e.action == "file_close_write"]
    watched.one("file_close_write", "big")


def test_a_file_that_was_closed_unseen_is_closed(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is given to a finished file (O_TMPFILE) has no close of its own; it is told when it is quiet."""
    monkeypatch.setattr(growing, "QUIET", 0.05)
    try:
        descriptor = os.open(watched.folder, os.O_TMPFILE | os.O_WRONLY)
    except OSError:
        pytest.skip("this filesystem has no O_TMPFILE")
    os.write(descriptor, b"x" * 10)
    folder = os.open(watched.folder, os.O_DIRECTORY)  # with a folder's descriptor Python lets the kernel follow
    os.link(f"/proc/self/fd/{descriptor}", watched.folder / "late", src_dir_fd=folder)
    os.close(folder)
    os.close(descriptor)
    watched.one("file_create", "late")
    assert watched.one("file_close_write", "late").file.size == 10


def test_hinted_files_tell_who_opens_them(watched: Watched, tmp_path: Path) -> None:
    """Also outside every watched folder, and only while hinted."""
    path = tmp_path / "weights"
    path.write_bytes(b"x")
    found = path.stat()
    watched.sensor.watch(Hint(kind="inode", path=str(path), device=found.st_dev, inode=found.st_ino))
    assert until(lambda: any(known.file for known in watched.sensor._tree.folders.values()))
    with python("import sys; f=open(sys.argv[1]); print(flush=True); sys.stdin.read()", str(path)) as child:
        child.stdout.readline()
        opened = one(watched.events, "file_open", lambda e: e.file.inode == found.st_ino)
    assert opened.process.pid == child.pid
    assert (opened.replguard.mode, opened.replguard.attribution) == ("read", "lineage")


def test_our_own_files_answer_nothing(watched: Watched) -> None:
    """A daemon that watches what it writes answers each event with another."""
    (watched.folder / "own" / "log").write_bytes(b"x")
    (watched.folder / "after").write_bytes(b"x")
    watched.one("file_close_write", "after")
    assert not [e for e in watched.events if e.file is not None and e.file.name == "log"]


def test_hostile_names_arrive_as_valid_text(watched: Watched) -> None:
    """Newlines and bytes that are no UTF-8 in names of files and folders."""
    folder = watched.folder / "d\n\udcff"
    folder.mkdir()
    (folder / "f\x1b[2J\udcfe").write_bytes(b"x")
    event = one(watched.events, "file_close_write", lambda e: e.file.name == "f\x1b[2J\\xfe")
    assert event.file.path.endswith("d\n\\xff/f\x1b[2J\\xfe")
    assert msgspec.json.decode(msgspec.json.encode(event))


def test_an_overflow_is_a_loss_and_the_folders_are_read_again(watched: Watched) -> None:
    """What happened while the kernel dropped events is found by its change time, new folders included."""
    tree = watched.sensor._tree
    put, tree._put = tree._put, lambda record: None
    (watched.folder / "missed").write_bytes(b"x")
    (watched.folder / "dir").mkdir()
    (watched.folder / "dir" / "below").write_bytes(b"x")
    until(lambda: False, 0.2)
    tree._put = put
    tree.on_queue_overflow()
    loss = one(watched.events, "sensor_health", lambda e: e.health.state == "loss")
    assert (loss.health.stage, loss.health.reason, loss.health.lost) == ("kernel", "inotify overflow", None)
    watched.one("file_create", "missed")
    watched.one("file_create", "dir/below")
    assert watched.sensor.counters.dropped["kernel", "inotify overflow"] >= 1
    (watched.folder / "dir" / "later").write_bytes(b"x")
    watched.one("file_close_write", "dir/later")


def test_what_is_left_unwatched_is_told(tmp_path: Path) -> None:
    """How many, for example which, and why; as an event and in the sensor's own reason."""
    for name in ("a/b", "c"):
        (tmp_path / name).mkdir(parents=True)
    sensor = FileSensor([Root(os.fsencode(tmp_path))], limit=2)
    with running(sensor) as events:
        told = one(events, "sensor_health", lambda e: e.health.state == "degraded")
    assert "max_user_watches" in told.health.reason
    assert str(tmp_path) in told.health.reason
    assert sensor.why is not None
    assert "folders are not watched" in sensor.why


def test_nothing_to_watch_is_unavailable(tmp_path: Path) -> None:
    """A sensor that sees nothing says so instead of running."""
    sensor = FileSensor([Root(os.fsencode(tmp_path / "none"))])
    with pytest.raises(Unavailable, match="none of the folders"):
        sensor.start()
    sensor.stop()


def test_a_root_that_appears_later_is_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A models folder may be mounted or made after the start."""
    monkeypatch.setattr(module, "ROOTS_EVERY", 0.0)
    (tmp_path / "now").mkdir()
    later = tmp_path / "later"
    sensor = FileSensor([Root(os.fsencode(tmp_path / "now")), Root(os.fsencode(later))])
    with running(sensor) as events:
        later.mkdir()
        assert until(lambda: len(sensor._tree.folders) == 2)
        (later / "x").write_bytes(b"x")
        one(events, "file_close_write", lambda e: e.file.path == str(later / "x"))


def test_many_small_files_cost_little(watched: Watched) -> None:
    """An archive of 2,000 files is told whole; looking for writers stays within its share."""
    code = "import sys\nfor i in range(2000): open(f'{sys.argv[1]}/{i}','wb').write(b'x')"
    began = clock.monotonic()
    subprocess.run([sys.executable, "-c", code, str(watched.folder)], check=True)
    assert until(lambda: sum(e.action == "file_close_write" for e in list(watched.events)) == 2000)
    assert watched.sensor.counters.cpu_seconds < 1.0 + (clock.monotonic() - began) / 2


def test_the_sensor_opens_from_the_configuration(tmp_path: Path) -> None:
    """With the roots and exclusions of the configuration."""
    config = msgspec.structs.replace(Config(), watch=Watch(paths=(str(tmp_path),)))
    sensor = module.open(config)
    assert os.fsencode(tmp_path.resolve()) in {root.path for root in sensor._roots}
    assert sensor._own
