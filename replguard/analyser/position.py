"""How far the log is written, for an analyser that takes the place of one that was killed."""

import contextlib
import os
from pathlib import Path

import structlog

FILE = "position"
_SIZE = 64
_log = structlog.get_logger(__name__)


class Position:
    """Run and number of the last frame of events that is in the log, in a file that outlives the process.

    It is not forced to the disk: after a power cut the collector's run is over as well. Without a folder that can be
    written nothing is kept, and the last frames may be in the log twice.
    """

    def __init__(self, folder: Path) -> None:
        self._file = -1
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._file = os.open(folder / FILE, flags, 0o600)
        except OSError as error:
            _log.warning("how far the log is written cannot be kept", reason=str(error))

    def read(self) -> tuple[str, int]:
        """Return run and number; an empty run for none."""
        if self._file < 0:
            return "", 0
        run, _, number = os.pread(self._file, _SIZE, 0).decode("ascii", "replace").strip().partition(" ")
        return (run, int(number)) if number.isascii() and number.isdigit() else ("", 0)

    def note(self, run: str, number: int) -> None:
        """Keep them."""
        with contextlib.suppress(OSError):
            if self._file >= 0:
                os.pwrite(self._file, f"{run} {number}".ljust(_SIZE - 1).encode() + b"\n", 0)
