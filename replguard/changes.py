"""Whether files differ from what was read last, cheaply: by what the filesystem says of them."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path


def fingerprint(files: Iterable[Path]) -> str:
    """Return a digest of names, times, sizes and inodes of those files that are there."""
    parts = [f"{file}:{seen.st_mtime_ns}:{seen.st_size}:{seen.st_ino}" for file, seen in _seen(files)]
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


def newest(files: Iterable[Path]) -> Path | None:
    """Return the file that was written to last, None where there is none."""
    return max(_seen(files), key=lambda one: one[1].st_mtime_ns, default=(None, None))[0]


def _seen(files: Iterable[Path]) -> Iterable[tuple[Path, os.stat_result]]:
    for file in files:
        try:
            yield file, file.stat()
        except OSError:
            continue
