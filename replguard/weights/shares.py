"""A queue of requests in fair shares: whoever makes many files waits behind their own, and fills no other's places."""

from collections import OrderedDict
from collections.abc import Iterator
from itertools import cycle

from replguard.weights.messages import Rank, Request

Owner = int | None
Place = object
RANKS: tuple[Rank, ...] = ("other", "agent", "toucher")
TURNS: tuple[Rank, ...] = ("toucher", "agent", "toucher", "other", "toucher", "agent", "toucher")
"""Who is served in turn: who touched weights four times in seven, agents twice, others once; nobody waits for ever."""


class Shares:
    """Requests by rank and owner of the file. Each rank has its own places, and its turn comes round.

    Within a rank, a share may grow while it is smaller than what is free: two owners that want all get a third each,
    and whoever comes new finds room until about the square root of all places has been shared out. Not safe for
    threads.
    """

    def __init__(self, most: int) -> None:
        """Make room for ``most`` requests of each rank, at least 2."""
        self._ranks = {rank: _Rank(max(2, most), height) for height, rank in enumerate(RANKS)}
        self._turns: Iterator[Rank] = cycle(TURNS)

    def __len__(self) -> int:
        return sum(len(rank.owners) for rank in self._ranks.values())

    def __contains__(self, request: Request) -> bool:
        """Whether a request for the same file waits."""
        return self._waiting(request) is not None

    def put(self, request: Request) -> bool:
        """Take a request in; False if its owner's share is full. One that waits for the same file is replaced.

        It moves to another rank only upwards, and only where there is room.
        """
        here, there = self._waiting(request), self._ranks[request.rank]
        if here is not None and (here.height >= there.height or not there.has_room(request.uid)):
            here.put(request)
            return True
        if not there.has_room(request.uid):
            return False
        if here is not None:
            here.remove(place(request))
        there.put(request)
        return True

    def put_back(self, request: Request) -> None:
        """Take in what had its place already, full or not, unless a newer one waits for the same file."""
        if request not in self:
            self._ranks[request.rank].put(request)

    def take(self) -> Request:
        """Return the oldest request of the owner whose turn it is. Raises KeyError if nothing waits."""
        for _ in range(len(TURNS)):
            rank = self._ranks[next(self._turns)]
            if rank.owners:
                return rank.take()
        raise KeyError("nothing waits")

    def drain(self) -> list[Request]:
        """Return all that waits, in the order of the turns, and forget it."""
        return [self.take() for _ in range(len(self))]

    def _waiting(self, request: Request) -> "_Rank | None":
        where = place(request)
        return next((rank for rank in self._ranks.values() if where in rank.owners), None)


class _Rank:
    """The places of one rank, by owner, served in turns. One owner alone may fill half of them."""

    def __init__(self, most: int, height: int) -> None:
        self.height = height
        self._most = most
        self._shares: OrderedDict[Owner, dict[Place, Request]] = OrderedDict()
        self.owners: dict[Place, Owner] = {}

    def has_room(self, owner: Owner) -> bool:
        return len(self._shares.get(owner, ())) < self._most - len(self.owners)

    def put(self, request: Request) -> None:
        where = place(request)
        # It keeps its place, and with that its owner: nobody gets ahead by giving a file away.
        owner = self.owners.setdefault(where, request.uid)
        self._shares.setdefault(owner, {})[where] = request

    def remove(self, where: Place) -> None:
        owner = self.owners.pop(where)
        del self._shares[owner][where]
        if not self._shares[owner]:
            del self._shares[owner]

    def take(self) -> Request:
        owner, share = next(iter(self._shares.items()))
        self._shares.move_to_end(owner)
        where, request = next(iter(share.items()))
        self.remove(where)
        return request


def place(request: Request) -> Place:
    """Return what makes two requests one: the same inode, or the same path where that is unknown."""
    return request.path if request.inode is None else (request.device, request.inode)
