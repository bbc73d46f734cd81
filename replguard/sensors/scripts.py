"""Small files that may be run: of whose making is told, so that what runs them later is known by who wrote it.

A build or an unpacked archive makes thousands. Those of processes that a model drives matter most; of all others, and
of files that nothing marks as a program, only so many a second are told.
"""

from collections.abc import Callable

from replguard.events import clock

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
    """Decides on one small file after another. ``drives`` tells whether a model may drive the process of a pid."""

    def __init__(self) -> None:
        self.drives: Callable[[int], bool] = lambda pid: False  # noqa: ARG005
        self._driven = Allowance(4096, 100)
        self._unmarked = Allowance(256, 20)
        self._others = Allowance(128, 10)
        self._last: tuple[bytes, int] | None = None

    def tells(self, path: bytes, mode: int, pid: int) -> bool:
        """Whether this file is told; asked again at once of the same, the answer is the same."""
        marked = bool(mode & EXECUTABLE) or path.endswith(SUFFIXES)
        if self._last == (path, pid):
            self._last = None
            return True
        if self.drives(pid):
            told = (self._driven if marked else self._unmarked).take()
        else:
            told = marked and self._others.take()
        self._last = (path, pid) if told else None
        return told
