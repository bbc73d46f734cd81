"""Questions to the examiner that have no answer yet: refused for want of room, or asked before the index was made."""

from collections.abc import Callable

import msgspec

from replguard.events.file import File
from replguard.weights.examiner import Examination, Request
from replguard.weights.messages import Rank
from replguard.weights.shares import Shares

MOST = 4096
"""Files that wait to be asked about again, of each kind, in fair shares by their owners."""


class Asking:
    """Asks the examiner, and asks again. ``evicted`` counts files that there was no room to remember."""

    def __init__(self, examine: Callable[[Request], object]) -> None:
        """``examine`` returns False for a request that it refused."""
        self._examine = examine
        self._refused = Shares(MOST)
        self._undecided = Shares(MOST)
        self.evicted = 0

    def ask(self, file: File, reason: str, host_path: str | None = None, rank: Rank = "other") -> None:
        """Have a file examined, now or as soon as there is room; by our own name for it where it has another one.

        ``rank`` says who made it: it waits only behind its like.
        """
        path = host_path or file.path
        self._ask(Request(path, file.device, file.inode, reason, file.uid, rank=rank))

    def undecided(self, result: Examination) -> None:
        """Keep a file whose content could not be told while the index was being made."""
        asked = result.request
        again = Request(result.path, result.device, result.inode, "index ready", asked.uid, rank=asked.rank)
        self._keep(self._undecided, again)

    def tick(self, *, index_ready: bool) -> None:
        """Ask again, once a second, what was refused; and what was undecided once the index is ready."""
        waiting = self._refused.drain()
        if index_ready:
            waiting += self._undecided.drain()
        for request in waiting:
            self._ask(request)

    def _ask(self, request: Request) -> None:
        if self._examine(request) is False:
            self._keep(self._refused, msgspec.structs.replace(request, again=True))

    def _keep(self, shares: Shares, request: Request) -> None:
        self.evicted += not shares.put(request)
