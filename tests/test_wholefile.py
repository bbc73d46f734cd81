"""Files that are written whole or not at all."""

import os
from pathlib import Path

import pytest

from replguard import wholefile


def test_nothing_is_left_of_a_write_that_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk leaves the old file as it was."""
    path = tmp_path / "file"
    wholefile.write(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        wholefile.write(path, b"new", flush=True)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("flush", [True, False])
def test_only_the_owner_may_read_it(tmp_path: Path, flush: bool) -> None:
    """Whoever could read what stood there before."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o644)
    wholefile.write(path, b"new", flush=flush)
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
