"""Files that are written whole or not at all."""

import os
from pathlib import Path


def settle(folder: Path) -> None:
    """Wait until the names in a folder are on the disk. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write(path: Path, data: bytes, *, flush: bool = False) -> None:
    """Put a file in the place of the one that stood there, readable by its owner only. Raises OSError.

    ``flush`` waits until it is on the disk, which may take long: not for whom others wait for.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            if flush:
                file.flush()
                os.fsync(file.fileno())
        draft.replace(path)
        if flush:
            settle(path.parent)
    finally:
        draft.unlink(missing_ok=True)
