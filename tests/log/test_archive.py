import fcntl
import os

import pytest
import zstandard

from replguard.config import Stream
from replguard.log.archive import Archive, compress

DAY = 86400.0


def fill(folder, number, size=1000, age=0.0):
    path = folder / f"raw-{number:06d}.jsonl"
    path.write_bytes(os.urandom(size // 2).hex().encode())
    os.utime(path, (10 * DAY - age, 10 * DAY - age))
    return path


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_compress_keeps_content_time_and_rights(tmp_path):
    """The plain file gives way to one that holds the same, with its time and mode."""
    path = fill(tmp_path, 1)
    path.chmod(0o640)
    data, before = path.read_bytes(), path.stat()
    compress(path)
    packed = tmp_path / "raw-000001.jsonl.zst"
    assert names_in(tmp_path) == [packed.name]
    with packed.open("rb") as file:
        assert zstandard.ZstdDecompressor().stream_reader(file).read() == data
    assert (packed.stat().st_mtime_ns, packed.stat().st_mode) == (before.st_mtime_ns, before.st_mode)


def test_a_segment_still_written_is_left_alone(tmp_path):
    """A segment that another process holds open for writing is not compressed."""
    path = fill(tmp_path, 1)
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        with pytest.raises(BlockingIOError):
            compress(path)
        Archive(tmp_path, "raw", Stream(), 0).run_once(2, 1)
    assert names_in(tmp_path) == [path.name]


def test_the_oldest_go_when_the_stream_outgrows_its_size(tmp_path):
    """The newest segments that fit stay, as large as they are now; the open one and other streams are never touched."""
    for number in range(1, 6):
        fill(tmp_path, number, 1000)
    assert Archive(tmp_path, "raw", Stream(max_size=500), room=0).oldest(5, 10 * DAY) == 5
    (tmp_path / "evidence-000001.jsonl").write_bytes(b"x" * 5000)
    archive = Archive(tmp_path, "raw", Stream(max_size=2500), room=1000)
    oldest = archive.oldest(5, 10 * DAY)
    assert oldest == 4
    archive.run_once(5, oldest)
    assert names_in(tmp_path) == [
        "evidence-000001.jsonl",
        "raw-000004.jsonl.zst",
        "raw-000005.jsonl",
    ]
    assert archive.removed == 3


def test_old_segments_go(tmp_path):
    """What is older than max_age is removed."""
    fill(tmp_path, 1, age=3 * DAY)
    fill(tmp_path, 2, age=1 * DAY)
    archive = Archive(tmp_path, "raw", Stream(max_age=2 * DAY), room=0)
    archive.run_once(3, archive.oldest(3, 10 * DAY))
    assert names_in(tmp_path) == ["raw-000002.jsonl.zst"]


def test_leftovers_of_a_crash_are_removed(tmp_path):
    """A half-written compressed file does not stay, nor stops the next attempt."""
    fill(tmp_path, 1)
    (tmp_path / "raw-000001.jsonl.zst.part").write_bytes(b"half")
    Archive(tmp_path, "raw", Stream(), 0).run_once(2, 1)
    assert names_in(tmp_path) == ["raw-000001.jsonl.zst"]


def test_the_thread_survives_a_missing_folder(tmp_path):
    """A folder that cannot be listed does not end the thread; later work is done."""
    folder = tmp_path / "log"
    archive = Archive(folder, "raw", Stream(), 0)
    archive.tidy(2, 1)
    folder.mkdir()
    fill(folder, 1)
    archive.tidy(2, 1)
    archive.stop(5)
    assert names_in(folder) == ["raw-000001.jsonl.zst"]


def test_one_file_cannot_make_all_before_it_go(tmp_path):
    """A hole of a terabyte counts for nothing, an old time for its file alone, a large file for a segment."""
    for number in range(1, 6):
        fill(tmp_path, number)
    archive = Archive(tmp_path, "raw", Stream(max_size=16 * 2**20, max_age=DAY), room=1000)
    assert archive.oldest(6, 10 * DAY) == 1
    with (tmp_path / "raw-000003.jsonl").open("ab") as file:
        file.truncate(2**40)
    os.utime(tmp_path / "raw-000003.jsonl", (0, 0))
    assert archive.oldest(6, 10 * DAY) == 1
    (tmp_path / "raw-000004.jsonl").write_bytes(bytes(30 * 2**20))
    assert archive.oldest(6, 10 * DAY) == 1
    os.utime(tmp_path / "raw-000001.jsonl", (0, 0))
    assert archive.oldest(6, 10 * DAY) == 2
