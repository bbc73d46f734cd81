"""How much the processes of one actor have read of a file together: to read it in parts is to read it."""

from collections import OrderedDict
from datetime import datetime, timedelta

from replguard.provenance import entry
from replguard.provenance.ledger import Inode
from replguard.provenance.processes import Proc

WINDOW = timedelta(days=1)
"""Parts that are read longer apart are not added up."""
LATE = timedelta(seconds=5)
"""How long after it a small part may be told: the kernel adds up, and is asked at times."""
MOST = 20_000


class Parts:
    """Sums by actor and file, of the sums that are told of each process. The oldest are forgotten first."""

    def __init__(self) -> None:
        self._told: OrderedDict[tuple[str, Inode, str], int] = OrderedDict()
        self._sums: OrderedDict[tuple[str, str, Inode], tuple[datetime, int]] = OrderedDict()

    def read(self, proc: Proc, inode: Inode, mode: str, total: int, now: datetime) -> int:
        """Take the bytes that a process has read or mapped so far; return those of its actor, in a day.

        A total that is less than the one before is of a sum that the kernel began anew.
        """
        found = entry.find(proc)
        told, who = (proc.entity, inode, mode), (found.principal, found.proc.entity, inode)
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
