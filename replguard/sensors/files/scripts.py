"""Small files that may be run: of whose making is told, so that what runs them later is known by who wrote it.

A build or an unpacked archive makes thousands. Those of processes that a model drives matter most; of all others, and
of files that nothing marks as a program, only so many a second are told.
"""

from replguard.events import clock
from replguard.sensors.base import Drives

SUFFIXES = (b".sh", b".py", b".pl", b".rb", b".js", b".mjs", b".ts", b".lua", b".php", b".bash", b".zsh", b".ps1")
"""How scripts are called that an interpreter is given; what is executed by its own name has the mode for it."""
EXECUTABLE = 0o111


class Allowance:
    """So many at once, and so many a second after them."""

    def __init__(self, most: float, rate: float) -> None:
        self._most, self._rate, self._left = most, rate, most
        self._since = clock.monotonic()

    def take(self) -> bool:
        """Take one, if there is one."""
        now = clock.monotonic()
        self._left = min(self._most, self._left + (now - self._since) * self._rate)
        self._since = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Scripts:
    """Decides on one small file after another.

    ``drives`` tells whether a model may drive the process of a pid. None: one that is not known yet, or no more; names
    are told at once and processes some hundredths of a second later, so that is most who write a line and end.
    """

    def __init__(self) -> None:
        self.drives: Drives = lambda pid: False  # noqa: ARG005
        self._marked = {True: Allowance(4096, 100), None: Allowance(1024, 50), False: Allowance(128, 10)}
        self._unmarked = {True: Allowance(256, 20), None: Allowance(256, 20)}
        self._last: tuple[bytes, int] | None = None

    def tells(self, path: bytes, mode: int, pid: int) -> bool:
        """Whether this file is told; asked again at once of the same, the answer is the same."""
        marked = bool(mode & EXECUTABLE) or path.endswith(SUFFIXES)
        if self._last == (path, pid):
            self._last = None
            return True
        allowance = (self._marked if marked else self._unmarked).get(self.drives(pid))
        told = allowance is not None and allowance.take()
        self._last = (path, pid) if told else None
        return told
