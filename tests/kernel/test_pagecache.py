"""What is cached of a file."""

import os
from pathlib import Path

import pytest
from support import pagecache as judge

from replguard.kernel import pagecache

PAGE = os.sysconf("SC_PAGE_SIZE")


def test_what_is_not_cached_is_told_and_let_go(tmp_path: Path) -> None:
    """Runs of pages, also where the range begins within one."""
    path = tmp_path / "file"
    path.write_bytes(os.urandom(64 * PAGE))
    judge.forget(path)
    if judge.cached(path):
        pytest.skip("this filesystem keeps its pages")
    with path.open("rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        os.pread(file.fileno(), 8 * PAGE, 16 * PAGE)
        before = judge.resident(path)
        assert sum(before) == 8
        parts = pagecache.absent(file.fileno(), 5, 64 * PAGE - 5)
        assert parts == [(0, 16 * PAGE), (24 * PAGE, 40 * PAGE)]
        assert pagecache.absent(file.fileno(), 17 * PAGE + 3, 100) == []
        os.pread(file.fileno(), 64 * PAGE, 0)
        assert sum(judge.resident(path)) == 64
        pagecache.drop(file.fileno(), parts)
    assert judge.resident(path) == before


def test_what_cannot_be_mapped_tells_nothing() -> None:
    """And breaks nothing."""
    reading, writing = os.pipe()
    try:
        assert pagecache.absent(reading, 0, PAGE) == []
    finally:
        os.close(reading)
        os.close(writing)
