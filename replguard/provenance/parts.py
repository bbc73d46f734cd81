"""How much several processes have read of a file together: to read it in parts is to read it."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from datetime import datetime, timedelta

from replguard.provenance import entry
from replguard.provenance.ledger import Inode
from replguard.provenance.processes import Proc

WINDOW = timedelta(days=1)
"""Parts that are read longer apart are not added up."""
LATE = timedelta(seconds=5)
"""How long after it a small part may be told, for the kernel adds up, or a use that only a look at who has it finds."""
MOST = 20_000


def actor(proc: Proc) -> Hashable:
    """Return by what the processes of one actor are known."""
    found = entry.find(proc)
    return found.principal, found.proc.entity


class Parts:
    """Sums by actor and file, of the sums that are told of each process. The oldest are forgotten first."""

    def __init__(self, whose: Callable[[Proc], Hashable] = actor) -> None:
        """``whose`` returns what processes have in common that are added up."""
        self._whose = whose
        self._told: OrderedDict[tuple[str, Inode, str], int] = OrderedDict()
        self._sums: OrderedDict[tuple[Hashable, Inode], tuple[datetime, int]] = OrderedDict()

    def read(self, proc: Proc, inode: Inode, mode: str, total: int, now: datetime) -> int:
        """Take the bytes that a process has read or mapped so far; return those of all that it belongs to, in a day.

        A total that is less than the one before is of a sum that the kernel began anew.
        """
        told, who = (proc.entity, inode, mode), (self._whose(proc), inode)
        before = self._told.pop(told, 0)
        self._told[told] = total
        since, done = self._sums.pop(who, (now, 0))
        if now - since > WINDOW:
            since, done = now, 0
        done += total - before if total >= before else total
        self._sums[who] = (since, done)
        for kept in (self._told, self._sums):
            while len(kept) > MOST:
                kept.popitem(last=False)
        return max(done, total)
