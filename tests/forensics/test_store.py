"""Segments become columns once, in a folder that nobody else writes to."""

import os
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import duckdb
import pytest
import zstandard
from support import asked, logs

from replguard.errors import ReplguardError
from replguard.events import wire
from replguard.forensics import store
from replguard.forensics.store import Store
from replguard.log import archive, names, reader


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Give a log, whoever asks for it does not change it."""
    place = tmp_path_factory.mktemp("told")
    return asked.made(place / "log", place / "state")


@pytest.fixture
def log(told, tmp_path):
    """Give a copy of it, to be changed."""
    return logs.copied(told.folder, tmp_path / "log")


@pytest.fixture
def cache(tmp_path):
    """Give a place for the cache."""
    return tmp_path / "cache"


def filled(log, cache):
    """Make what is not there yet, and return all parts and the names of those that were made."""
    one = Store(log, cache)
    parts = one.parts()
    made = [part.segment.path.name for part in one.make(parts)]
    one.prune(parts)
    one.close()
    return parts, made


def rows(parts, columns="stream, segment, line, record, fault", where="true"):
    """Return what the files of some segments hold."""
    files = [str(part.file) for part in parts]
    found = f"SELECT {columns} FROM read_parquet(?) WHERE {where} ORDER BY stream, segment, line"
    return duckdb.connect().execute(found, [files]).fetchall()


def test_each_record_has_its_place(told, cache):
    """Each line of the log that is a record is there as it stands, at its line; headers and seals are not."""
    parts, made = filled(told.folder, cache)
    assert len(made) == len(parts) > 5
    for part in parts:
        path = part.segment.path
        data = path.read_bytes()
        lines = (zstandard.ZstdDecompressor().decompress(data) if part.segment.packed else data).split(b"\n")
        for _, _, line, record, fault in rows([part]):
            assert fault is None
            assert lines[line - 1].decode() == record
    kept = [record for stream, *_, record, _ in rows(parts) if stream == "raw"]
    assert kept == [wire.encode(event).decode() for event in told.raw]


def test_a_segment_is_read_once(log, cache):
    """What was not changed is there; what is written goes on is read anew, and what it replaced removed."""
    parts, _ = filled(log, cache)
    assert filled(log, cache)[1] == []
    newest = max(log.glob("raw-*.jsonl"))
    with newest.open("ab") as out:
        out.write(wire.encode(logs.event(1)) + b"\n")
    again, made = filled(log, cache)
    assert made == [newest.name]
    assert len(list(again[0].file.parent.iterdir())) == len(again) == len(parts)
    assert len(rows(again)) == len(rows([p for p in parts if p.file.exists()])) + len(
        rows([p for p in again if p.segment.path == newest])
    )


def test_a_segment_that_was_packed_or_removed(log, cache):
    """A packed one takes the place of the plain one; what is no segment any more goes from the cache."""
    before = rows(filled(log, cache)[0])
    newest = max(log.glob("evidence-*.jsonl"))
    archive.compress(newest)
    parts, made = filled(log, cache)
    assert made == [newest.name + names.ZSTD]
    assert rows(parts) == before
    min(log.glob("raw-*")).unlink()
    parts, made = filled(log, cache)
    assert made == []
    assert len(list(parts[0].file.parent.iterdir())) == len(parts)


DAMAGE = [b"{", b"", b"not json", b'{"a":1}', b"[1,2]", b'"x"', b"\xff\xfe", b'{"event":"x"}', b"null", b"[" * 5000]


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: repr(damage[:12]))
def test_a_damaged_line_costs_itself_alone(log, cache, damage):
    """It is kept as a fault at its line, and every other line is there."""
    logs.plain(log)
    path = log / names.name("raw", 2)
    before = rows(filled(log, cache)[0])
    lines = path.read_bytes().split(b"\n")
    lines[2] = damage
    path.write_bytes(b"\n".join(lines))
    after = rows(filled(log, cache)[0])
    wrong = [row for row in after if row[4] is not None]
    assert [row[:3] for row in wrong] == ([("raw", 2, 3)] if damage else [])
    assert [row for row in after if row[4] is None] == [row for row in before if row[:3] != ("raw", 2, 3)]


def test_values_of_the_wrong_kind_are_unknown(log, cache):
    """A record whose fields hold something else keeps what can be read."""
    logs.plain(log)
    path = log / names.name("raw", 2)
    lines = path.read_bytes().split(b"\n")
    lines[2] = (
        b'{"@timestamp":"soon","event":{"action":"file_create","sequence":"x"},"process":{"pid":1e400,"parent":[]},'
        b'"file":{"path":["a"],"inode":18446744073709551615,"size":-1},"replguard":{"lineage":"no"},"message":"a\\u0000b"}'
    )
    path.write_bytes(b"\n".join(lines))
    found = rows(
        filled(log, cache)[0],
        "action, time, sequence, inode, size, message, fault",
        "stream = 'raw' AND segment = 2 AND line = 3",
    )
    assert found == [("file_create", None, None, 2**64 - 1, -1, "a\x00b", None)]


def test_a_cut_off_segment_and_a_torn_line(log, cache):
    """What is there of it is read, and it is told where it ends."""
    packed = log / (names.name("raw", 3) + names.ZSTD)
    packed.write_bytes(packed.read_bytes()[:-20])
    newest = max(log.glob("raw-*.jsonl"))
    newest.write_bytes(newest.read_bytes()[:-30])
    faults = rows(filled(log, cache)[0], where="fault IS NOT NULL")
    assert {row[1] for row in faults} == {3, int(newest.name[4:10])}


def test_a_file_that_unpacks_to_more_than_a_segment(log, cache, monkeypatch):
    """It is read to a limit, and told."""
    monkeypatch.setattr(reader, "LARGEST", 2000)
    found = rows(filled(log, cache)[0], where="fault IS NOT NULL")
    assert found
    assert all("more than any segment holds" in row[4] for row in found)


def test_links_and_pipes_are_passed_over(log, cache, tmp_path):
    """Only regular files are segments."""
    (tmp_path / "other").write_text("x")
    (log / names.name("raw", 77)).symlink_to(tmp_path / "other")
    os.mkfifo(log / names.name("raw", 78))
    assert 77 not in {part.segment.number for part in filled(log, cache)[0]}


def test_several_processes_give_the_same(told, cache, tmp_path, monkeypatch):
    """What is made by a pool is what is made in this process."""
    alone = rows(filled(told.folder, cache)[0])
    monkeypatch.setattr(store, "SMALL", 0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    assert rows(filled(told.folder, tmp_path / "other")[0]) == alone


def test_a_process_that_is_killed_is_told(told, cache, monkeypatch):
    """As by the kernel, when memory runs out: a sentence, and what was made until then stays."""

    class Killed:
        def __init__(self, *_):
            pass

        def map(self, _, parts):
            yield store.made(parts[0])
            raise BrokenProcessPool("a child died")

        def shutdown(self, **_):
            pass

    monkeypatch.setattr(store, "SMALL", 0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(store, "ProcessPoolExecutor", Killed)
    with pytest.raises(ReplguardError, match="was killed"):
        filled(told.folder, cache)
    assert len(list(cache.rglob("*.parquet"))) == 1


def test_the_cache_is_ours_alone(told, cache):
    """Files and folders are readable by their owner only."""
    parts, _ = filled(told.folder, cache)
    assert {part.file.stat().st_mode & 0o777 for part in parts} == {0o600}
    assert parts[0].file.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o703])
def test_a_cache_that_others_can_write_to_is_refused(told, cache, mode):
    """Whoever can put a file there could say what the log says."""
    cache.mkdir()
    cache.chmod(mode)
    with pytest.raises(ReplguardError, match="others may write to"):
        Store(told.folder, cache)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_cache_of_another_user_is_refused(told, cache):
    """As under sudo with the home folder of the user who calls it."""
    cache.mkdir()
    os.chown(cache, 1000, 1000)
    with pytest.raises(ReplguardError, match="others may write to"):
        Store(told.folder, cache)


def test_a_cache_that_cannot_be(told, tmp_path):
    """Is told with what to do."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ReplguardError, match="Name another by --cache"):
        Store(told.folder, tmp_path / "file" / "cache")


def test_a_folder_without_a_log(tmp_path, cache):
    """Is told as such, and so is one that is not there."""
    for folder in (tmp_path, tmp_path / "nowhere"):
        one = Store(folder, cache)
        with pytest.raises(ReplguardError, match="--log"):
            one.parts()
        one.close()


def test_what_somebody_else_asks_is_left_alone(log, cache):
    """As long as another one has the cache open nothing is removed from it."""
    parts, _ = filled(log, cache)
    other = Store(log, cache)
    min(log.glob("raw-*")).unlink()
    filled(log, cache)
    assert len(list(parts[0].file.parent.iterdir())) == len(parts)
    other.close()
    filled(log, cache)
    assert len(list(parts[0].file.parent.iterdir())) == len(parts) - 1


def test_gaps_are_told(log, cache):
    """Of each stream by itself."""
    (log / (names.name("raw", 2) + names.ZSTD)).unlink()
    (log / (names.name("raw", 3) + names.ZSTD)).unlink()
    assert store.missing(filled(log, cache)[0]) == ["raw segments 2 to 3 are missing"]


def test_the_default_place(monkeypatch):
    """Where the desktop says that caches lie, else below the home folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/c")
    assert store.default() == Path("/var/c/replguard")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/ann")
    assert store.default() == Path("/home/ann/.cache/replguard")
