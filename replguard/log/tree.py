"""The Merkle tree of RFC 6962 over the blocks of a stream, as far as it takes to go on: its right edge."""

import hashlib
from collections.abc import Iterable

EMPTY = hashlib.sha256(b"").digest()
"""The root of a tree without leaves (RFC 6962, 2.1)."""


def leaf(data: bytes) -> bytes:
    """Return the hash of a leaf."""
    return hashlib.sha256(b"\0" + data).digest()


def node(left: bytes, right: bytes) -> bytes:
    """Return the hash of two subtrees."""
    return hashlib.sha256(b"\1" + left + right).digest()


class Tree:
    """A tree that only grows. ``edge`` are the roots of its complete subtrees, the largest first (32 bytes each)."""

    __slots__ = ("edge", "size")

    def __init__(self, size: int = 0, edge: Iterable[bytes] = ()) -> None:
        self.size = size
        self.edge = list(edge)

    def append(self, data: bytes) -> None:
        """Take one more leaf."""
        found, size = leaf(data), self.size
        while size & 1:
            found = node(self.edge.pop(), found)
            size >>= 1
        self.edge.append(found)
        self.size += 1

    def root(self) -> bytes:
        """Return the root of what is there."""
        if not self.edge:
            return EMPTY
        found = self.edge[-1]
        for left in reversed(self.edge[:-1]):
            found = node(left, found)
        return found

    def copy(self) -> "Tree":
        """Return one that grows on its own."""
        return Tree(self.size, self.edge)
