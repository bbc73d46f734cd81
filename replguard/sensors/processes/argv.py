"""The arguments of a process as everything here knows them: read and, before anything of them is kept, masked.

Masked here and not on the way to the log: whoever remembers a long command line keeps its two ends, and what was cut
behind ``--password`` would be a secret that no rule tells from a word.
"""

from replguard.events import clock
from replguard.kernel import procfs
from replguard.kernel.procfs import PROC
from replguard.masking.mask import masked

LONG = 2048
"""Characters above which arguments are looked through within a limit: crafted ones take 3 µs a character."""
SHARE = 0.1
"""Of a core, for long ones: who starts programs with crafted ones by the hundred would hold up all that is seen."""
_SAVED = 1.0
"""Seconds whose share may be used at once."""


class Masker:
    """Masks arguments; of long ones, while too many cost too much, all but the beginning is cut away unread."""

    def __init__(self) -> None:
        self._left, self._at = SHARE * _SAVED, clock.monotonic()

    def hide(self, args: tuple[str, ...], cut: bool) -> tuple[tuple[str, ...], bool]:  # noqa: FBT001 - both go through
        """Return the arguments without credentials, and whether they are not all of them; ``cut``: they were not."""
        if sum(map(len, args)) <= LONG:
            return masked(args), cut
        now = clock.monotonic()
        self._left = min(SHARE * _SAVED, self._left + SHARE * (now - self._at))
        self._at = now
        if self._left <= 0:
            return masked(_beginning(args)), True
        before = clock.cpu()
        found = masked(args)
        self._left -= clock.cpu() - before
        return found, cut


def _beginning(args: tuple[str, ...]) -> tuple[str, ...]:
    """Return the first arguments, the last of them up to a blank: half a credential would not be known for one."""
    found, room = list[str](), LONG
    for arg in args:
        if len(arg) > room:
            found.append(arg[:room].rpartition(" ")[0])
            break
        found.append(arg)
        room -= len(arg)
    return tuple(found)


_masker = Masker()
hide = _masker.hide


def read(pid: int, root: str = PROC) -> tuple[tuple[str, ...], bool]:
    """Return argv without credentials, and whether it was cut; empty for kernel threads, zombies and who is gone."""
    found = procfs.cmdline(pid, root)
    return ((), False) if found is None else hide(*found)
