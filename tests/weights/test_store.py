"""Keys and indexes on disk."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
import zstandard
from support.fingerprints import KEY, MIB, sampled

from replguard.weights import store
from replguard.weights.fingerprint import Stream
from replguard.weights.index import Index
from replguard.weights.store import StoreError

ENTRY = np.uint64(0xFFFFFFFF00FFFFFF)
NOW = 1_800_000_000.0


def test_the_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    """Another install has another."""
    key = store.key(tmp_path / "state")
    assert store.key(tmp_path / "state") == key
    assert len(key) == 32
    assert (tmp_path / "state" / store.KEY).stat().st_mode & 0o777 == 0o600
    assert store.key(tmp_path / "other") != key
    (tmp_path / "state" / store.KEY).write_bytes(b"cut off")
    assert len(store.key(tmp_path / "state")) == 32


def test_looking_makes_nothing(tmp_path: Path) -> None:
    """`weights list` leaves no trace."""
    store.cached(tmp_path / "state", NOW, make=False)
    assert not (tmp_path / "state").exists()


def test_a_saved_index_finds_what_it_found(index: Index, origin: Path, tmp_path: Path) -> None:
    """With the key it was made with, readable by its owner only."""
    path = tmp_path / "index"
    store.save(index, path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert sampled(store.load(path)[0], origin) == [("llama", 1.0)]
    assert [entry.name for entry in tmp_path.glob(".index*")] == []
    store.save(index, path, only=set())
    assert len(store.load(path)[0]) == 0


def test_a_foreign_index_names_no_inode_of_this_host(index: Index, origin: Path, tmp_path: Path) -> None:
    """Its numbers are another host's."""
    store.save(index, tmp_path / "index")
    (file,), _ = store.load(tmp_path / "index", foreign=True)
    assert file.target.device == -1
    assert file.target.path == str(origin)


@pytest.mark.parametrize("broken", [b"", b"\xff" * 100, b"\x91" * 50_000, msgspec.msgpack.encode({"version": 1})])
def test_a_broken_index_is_an_error_that_names_it(tmp_path: Path, broken: bytes) -> None:
    """And says what to do."""
    path = tmp_path / "index"
    path.write_bytes(broken)
    with pytest.raises(StoreError, match=f"{path}: is no index.*scan"):
        store.load(path)


def test_an_index_that_does_not_fit_is_refused(index: Index, tmp_path: Path) -> None:
    """Of another version, or with parts that do not fit together."""
    path = tmp_path / "index"
    store.save(index, path)
    good = msgspec.msgpack.decode(path.read_bytes())
    for change in ({"version": 9}, {"version": 1}, {"key": b"short"}):
        path.write_bytes(msgspec.msgpack.encode({**good, **change}))
        with pytest.raises(StoreError, match="another version"):
            store.load(path)
    stream = good["files"][0]["streams"][0]
    steps, checks = msgspec.msgpack.decode(stream["keys"])
    bomb = zstandard.ZstdCompressor().compress(bytes(2**30))
    parts = [(steps, checks + b"x"), (steps[:-9], checks), (bomb, checks), (b"", checks), (steps, b"")]
    broken = [{"keys": msgspec.msgpack.encode(pair)} for pair in parts]
    for change in (*broken, {"keys": b"x"}, {"count": 3}, {"kind": "f64"}, {"spacing": 5}, {"every": 0}):
        changed = {**good, "files": [{**good["files"][0], "streams": [{**stream, **change}]}]}
        path.write_bytes(msgspec.msgpack.encode(changed))
        with pytest.raises(StoreError, match="damaged"):
            store.load(path)
    with pytest.raises(StoreError, match="No such file"):
        store.load(tmp_path / "absent")


def test_the_cache_is_kept_for_thirty_days_after_a_file_is_gone(index: Index, tmp_path: Path) -> None:
    """So that a move to another filesystem is still known for what it is."""
    index.key = store.key(tmp_path)
    for file in index:
        file.seen = NOW
    store.save(index, tmp_path / store.CACHE)
    (kept,), _ = store.cached(tmp_path, NOW + 29 * 86400)
    assert not kept.current
    assert len(store.cached(tmp_path, NOW + 31 * 86400)[0]) == 0


def test_a_cache_that_is_broken_or_of_another_key_is_made_again(index: Index, tmp_path: Path) -> None:
    """It costs time and nothing else."""
    store.save(index, tmp_path / store.CACHE)
    assert store.cached(tmp_path, NOW)[0].key != KEY
    (tmp_path / store.CACHE).write_bytes(b"broken")
    assert len(store.cached(tmp_path, NOW)[0]) == 0


def test_a_folder_that_cannot_be_written_is_an_error_that_names_it(index: Index, tmp_path: Path) -> None:
    """Where a file stands in the folder's place, not even root can."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match=f"{tmp_path}/file/sub/weights.key"):
        store.key(tmp_path / "file" / "sub")
    with pytest.raises(StoreError, match="cannot be written"):
        store.save(index, tmp_path / "file" / "index")


def test_the_cache_is_small(index: Index, tmp_path: Path) -> None:
    """10 GB of bf16 in two files with their casts: what the budget has for each anchor in 96 KiB is 8.7 bytes."""
    (made,) = index.whole()
    entries = 5 * 10**9 // 98304
    chance = np.random.default_rng(1)
    known = Index(KEY)
    for number in range(2):
        streams = [
            Stream(kind, every, spacing, count, np.sort(chance.integers(0, 2**64, count, np.uint64) & ENTRY).tobytes())
            for kind, every, spacing, count in (
                ("raw", 1, 98304, entries),
                ("f16", 128, 6144, entries // 8),
                ("f32", 128, 6144, entries // 4),
            )
        ]
        target = msgspec.structs.replace(made.target, inode=number)
        known.add(msgspec.structs.replace(made, target=target, streams=streams))
    store.save(known, tmp_path / "index")
    assert (tmp_path / "index").stat().st_size <= 0.85 * MIB
    assert store.load(tmp_path / "index")[0].whole() == known.whole()


def test_what_is_unfinished_is_kept_with_how_far_it_came(index: Index, tmp_path: Path) -> None:
    """And its entries, also those that stand there twice."""
    (begun,) = index.whole()
    begun.read = MIB
    begun.streams[0].keys += begun.streams[0].keys[-8:]
    begun.streams[0].count += 1
    store.save(index, tmp_path / "index", unfinished=[begun])
    assert store.load(tmp_path / "index")[1] == [begun]
    assert store.load(tmp_path / "index", foreign=True)[1] == []
