"""Questions to the examiner that have no answer yet: refused for want of room, or asked before the index was made."""

from collections.abc import Callable

import msgspec

from replguard.events.file import File
from replguard.weights.examiner import Examination, Request
from replguard.weights.messages import Rank
from replguard.weights.shares import Shares, place

MOST = 4096
"""Files that wait to be asked about again, of each kind, in fair shares by their owners."""


class Asking:
    """Asks the examiner, and asks again. ``evicted`` counts files that there was no room to remember."""

    def __init__(self, examine: Callable[[Request], object]) -> None:
        """``examine`` returns False for a request that it refused."""
        self._examine = examine
        self._refused = Shares(MOST)
        self._undecided = Shares(MOST)
        self._about: dict[object, frozenset[str]] = {}
        self.evicted = 0

    def ask(self, file: File, reason: str, host_path: str | None = None, rank: Rank = "other") -> None:
        """Have a file examined, now or as soon as there is room; by our own name for it where it has another one.

        ``rank`` says who made it: it waits only behind its like.
        """
        path = host_path or file.path
        self._ask(Request(path, file.device, file.inode, reason, file.uid, rank=rank))

    def undecided(self, result: Examination, models: frozenset[str] = frozenset()) -> None:
        """Keep a file whose content could not be told while the index was being made.

        ``models`` are those that it is most likely of: it is asked about again with each that is indexed, and at last
        with the whole index.
        """
        asked = result.request
        again = Request(result.path, result.device, result.inode, "index ready", asked.uid, rank=asked.rank)
        self._keep(self._undecided, again)
        self._about.setdefault(place(again), models)  # asked about once more, a model is not waited for again
        while len(self._about) > 2 * MOST:
            del self._about[next(iter(self._about))]

    def tick(self, *, index_ready: bool, indexed: Callable[[], frozenset[str]] = frozenset) -> None:
        """Ask again, once a second, what was refused; and what was undecided once a model of it is ``indexed``."""
        waiting = self._refused.drain()
        ready = indexed() if len(self._undecided) and not index_ready else frozenset()
        for request in self._undecided.drain() if index_ready or ready else ():
            models = self._about.pop(place(request), frozenset())
            if index_ready or models & ready:
                waiting.append(request)
            else:
                self._undecided.put_back(request)
            if not index_ready:
                self._about[place(request)] = models - ready
        for request in waiting:
            self._ask(request)

    def _ask(self, request: Request) -> None:
        if self._examine(request) is False:
            self._keep(self._refused, msgspec.structs.replace(request, again=True))

    def _keep(self, shares: Shares, request: Request) -> None:
        self.evicted += not shares.put(request)
