"""The tree of RFC 6962."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replguard.log.tree import EMPTY, Tree, Witness, leaf, node, root_by, stands_in

LEAVES = [bytes.fromhex(each) for each in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
)]  # fmt: skip
ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
"""The test vectors of the Certificate Transparency project, for one leaf to eight."""


def test_roots_are_those_of_the_published_vectors():
    """Whoever has another implementation can check ours."""
    tree = Tree()
    assert tree.root() == EMPTY == hashlib.sha256(b"").digest()
    for data, root in zip(LEAVES, ROOTS, strict=True):
        tree.append(data)
        assert tree.root().hex() == root


@pytest.mark.parametrize("size", range(1, 40))
def test_the_edge_is_enough_to_go_on(size):
    """A tree that was taken up from its edge has the roots of one that saw every leaf."""
    whole = Tree()
    for number in range(size):
        whole.append(bytes([number]))
    assert len(whole.edge) == size.bit_count()
    taken_up, copy = Tree(whole.size, whole.edge), whole.copy()
    for number in range(20):
        whole.append(b"x%d" % number)
        taken_up.append(b"x%d" % number)
        assert taken_up.root() == whole.root() == _plain([bytes([n]) for n in range(size)], number + 1)
    assert copy.size == size
    assert copy.root() == _plain([bytes([n]) for n in range(size)], 0)


def _plain(first, more):
    """Return the root as RFC 6962 defines it, from all leaves."""
    hashes = [leaf(each) for each in (*first, *(b"x%d" % number for number in range(more)))]

    def root(some):
        if len(some) == 1:
            return some[0]
        half = 1 << (len(some) - 1).bit_length() - 1
        return node(root(some[:half]), root(some[half:]))

    return root(hashes)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 13, 64, 100])
def test_each_leaf_has_its_way_to_the_root(size):
    """From wherever the tree is gone on from, and no other leaf, place, size or way leads there."""
    leaves = [bytes([number]) * 32 for number in range(size)]
    whole = Tree()
    for each in leaves:
        whole.append(each)
    for begin in {0, size // 2, size - 1}:
        before = Tree()
        for each in leaves[:begin]:
            before.append(each)
        grown, ways = Witness(before.size, before.edge), {number: [] for number in range(begin, size)}
        for number in range(begin, size):
            grown.append(leaves[number], ways[number])
        root = grown.end()
        assert root == whole.root()
        for number, way in ways.items():
            assert root_by(leaves[number], number, size, way) == root
            assert root_by(leaves[number] + b"x", number, size, way) != root
            assert [n for n in range(-1, size + 2) if root_by(leaves[number], n, size, way) == root] == [number]
            assert root_by(leaves[number], number, size, [*way, root]) is None
            assert not way or root_by(leaves[number], number, size, way[:-1]) is None


@given(st.integers(1, 70), st.data())
def test_a_leaf_stands_in_every_tree_since_it_was_there(size, data):
    """Its way to the last root passes the edge of each tree between, and of no other leaf."""
    index = data.draw(st.integers(0, size - 1))
    grown, way, edges = Witness(0, ()), [], []
    for number in range(size):
        grown.append(b"%d" % number, way if number == index else None)
        edges.append(list(grown.tree.edge))
    grown.end()
    for earlier, edge in enumerate(edges, 1):
        assert stands_in(b"%d" % index, index, way, earlier, edge) is (index < earlier)
        if index < earlier:
            assert not stands_in(b"forged", index, way, earlier, edge)
            assert not stands_in(b"%d" % index, index, way, earlier, [bytes(32) for _ in edge])
