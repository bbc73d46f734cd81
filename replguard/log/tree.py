"""The Merkle tree of RFC 6962 over the blocks of a stream, as far as it takes to go on: its right edge.

And the ways from some of its leaves to its root, by which each is proven to be in it.
"""

import hashlib
from collections.abc import Iterable, Sequence

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


class Witness:
    """A tree that grows, and notes for some of its leaves the way to its root (RFC 6962, 2.1.1)."""

    __slots__ = ("_within", "tree")

    def __init__(self, size: int, edge: Iterable[bytes]) -> None:
        self.tree = Tree(size, edge)
        self._within: list[list[list[bytes]]] = [[] for _ in self.tree.edge]
        """The ways that are followed, by the subtree of the edge that each has come to."""

    def append(self, data: bytes, way: list[bytes] | None = None) -> None:
        """Take one more leaf. Its way is put into ``way`` as the tree grows; ``end`` puts the rest there."""
        found, mine = leaf(data), [] if way is None else [way]
        tree, size = self.tree, self.tree.size
        while size & 1:
            found, mine = self._join(tree.edge.pop(), self._within.pop(), found, mine)
            size >>= 1
        tree.edge.append(found)
        self._within.append(mine)
        tree.size += 1

    def end(self) -> bytes:
        """Return the root, with every way led up to it; nothing may be appended any more."""
        root, within = self.tree.root(), self._within
        if self.tree.edge:
            found, mine = self.tree.edge[-1], within[-1]
            for left, others in zip(reversed(self.tree.edge[:-1]), reversed(within[:-1]), strict=True):
                found, mine = self._join(left, others, found, mine)
        return root

    @staticmethod
    def _join(
        left: bytes, of_left: list[list[bytes]], right: bytes, of_right: list[list[bytes]]
    ) -> tuple[bytes, list[list[bytes]]]:
        for way in of_left:
            way.append(right)
        for way in of_right:
            way.append(left)
        return node(left, right), of_left + of_right


def root_by(data: bytes, index: int, size: int, way: Iterable[bytes]) -> bytes | None:
    """Return the root to which a way leads from a leaf (RFC 9162, 2.1.3.2), None if it is no way of such a tree."""
    found, last = leaf(data), size - 1
    if not 0 <= index <= last:
        return None
    for beside in way:
        if not last:
            return None
        if index & 1 or index == last:
            found = node(beside, found)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            found = node(found, beside)
        index, last = index >> 1, last >> 1
    return found if not last else None


def stands_in(data: bytes, index: int, way: Sequence[bytes], size: int, edge: Sequence[bytes]) -> bool:
    """Tell whether a leaf stands in an earlier tree, told by its edge, by the way that leads to a later one's root.

    The complete subtrees of a tree are complete in every later one, and so the way passes the one that has the leaf.
    """
    if not 0 <= index < size or len(edge) != size.bit_count():
        return False
    which, height = _subtree(index, size)
    found = leaf(data)
    for level, beside in enumerate(way[:height]):
        found = node(beside, found) if index >> level & 1 else node(found, beside)
    return len(way) >= height and found == edge[which]


def _subtree(index: int, size: int) -> tuple[int, int]:
    """Return in which of the complete subtrees of a tree a leaf is, the largest being 0, and how high that is."""
    above = size ^ index
    height = above.bit_length() - 1  # the highest bit in which they differ is set in the size
    return (size >> height).bit_count() - 1, height
