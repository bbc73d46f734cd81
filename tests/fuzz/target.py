"""What the targets are made of: a check that raises nothing, and inputs made by code from which others are bred."""

import contextlib
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

LARGEST = 2**16
"""Bytes of the longest input."""
LONGEST = 2.0
"""Seconds that one input may take: of CPU, for the machine may be busy."""
_MEMORY = "/dev/shm"
_FOLDER = tempfile.TemporaryDirectory(prefix="replguard-fuzz-", dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None)
SCRATCH = Path(_FOLDER.name)


class Target(NamedTuple):
    """A parser's check, and inputs made by code from which others are bred."""

    check: Callable[[bytes], object]
    seeds: tuple[bytes, ...]


def judged(check: Callable[[bytes], object], data: bytes, longest: float = LONGEST) -> str:
    """Return what a parser did with an input that it may not do, or nothing."""
    began = time.thread_time()
    try:
        check(data)
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        return f"{type(error).__name__}: {ascii(str(error))[1:-1][:80]}"
    spent = time.thread_time() - began
    return f"an input took {spent:.1f} s" if spent > longest else ""


def refusing(check: Callable[[bytes], object], *refusals: type[Exception]) -> Callable[[bytes], None]:
    """Return a check that may refuse its input by these, as its documentation says."""

    def refuses(data: bytes) -> None:
        with contextlib.suppress(*refusals):
            check(data)

    return refuses


def written(name: str, data: bytes) -> Path:
    """Return a file with this content."""
    path = SCRATCH / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def named(name: str, *others: str) -> Path:
    """Return a file to be written, which is found by other names too."""
    path = SCRATCH / name
    path.parent.mkdir(parents=True, exist_ok=True)
    for other in others:
        link = SCRATCH / other
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path)
    return path
