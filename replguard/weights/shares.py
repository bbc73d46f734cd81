"""A queue of requests in fair shares: whoever makes many files waits behind their own, and fills no other's places."""

from collections import OrderedDict

from replguard.weights.messages import Request

Owner = int | None
Place = object


class Shares:
    """Requests by the owner of the file, served in turns. One owner alone may fill half of the places.

    A share may grow while it is smaller than what is free: two owners that want all get a third each, and whoever
    comes new finds room until about the square root of all places has been shared out. Not safe for threads.
    """

    def __init__(self, most: int) -> None:
        """Make room for ``most`` requests, at least 2."""
        self._most = max(2, most)
        self._shares: OrderedDict[Owner, dict[Place, Request]] = OrderedDict()
        self._owners: dict[Place, Owner] = {}

    def __len__(self) -> int:
        return len(self._owners)

    def __contains__(self, request: Request) -> bool:
        """Whether a request for the same file waits."""
        return place(request) in self._owners

    def put(self, request: Request) -> bool:
        """Take a request in; False if its owner's share is full. One that waits for the same file is replaced."""
        if request not in self and len(self._shares.get(request.uid, ())) >= self._most - len(self):
            return False
        self._put(request)
        return True

    def put_back(self, request: Request) -> None:
        """Take in what had its place already, full or not, unless a newer one waits for the same file."""
        if request not in self:
            self._put(request)

    def take(self) -> Request:
        """Return the oldest request of the owner whose turn it is. Raises KeyError if nothing waits."""
        if not self._shares:
            raise KeyError("nothing waits")
        owner, share = next(iter(self._shares.items()))
        where = next(iter(share))
        request = share.pop(where)
        del self._owners[where]
        if share:
            self._shares.move_to_end(owner)
        else:
            del self._shares[owner]
        return request

    def drain(self) -> list[Request]:
        """Return all that waits, in the order of the turns, and forget it."""
        return [self.take() for _ in range(len(self))]

    def _put(self, request: Request) -> None:
        where = place(request)
        # It keeps its place, and with that its owner: nobody gets ahead by giving a file away.
        owner = self._owners.setdefault(where, request.uid)
        self._shares.setdefault(owner, {})[where] = request


def place(request: Request) -> Place:
    """Return what makes two requests one: the same inode, or the same path where that is unknown."""
    return request.path if request.inode is None else (request.device, request.inode)
