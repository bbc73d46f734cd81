"""While one user floods the host, a replication by another is told at its level, soon; memory and losses are bounded.

`make floods` does the same in full and writes docs/floods.md.
"""

from collections.abc import Iterator
from dataclasses import asdict

import pytest
from floods.scene import Found, Scene
from support import others

pytestmark = [
    pytest.mark.root,
    pytest.mark.timeout(300),
    pytest.mark.skipif(others.PYTHON is None, reason="needs a Python that any user can run"),
]

FLOODS = {
    "execs": 600,
    "forks": 1_000,
    "sparse": 4_000,
    "listeners": 2_000,
    "connects": 4_000,
    "unix": 3_000,
    "renames": 6_000,
    "names": 1_000,
    "opens": 4_000,
    "copies": 30,
    "page": 400,
    "watches": 1_000,
}
SOON = 60.0
"""Seconds; the page of floods has what it takes where nothing else runs."""
MEMORY = 512.0
"""MiB, what the unit lets it have before it is slowed."""


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    """A daemon that has told of a replication in peace."""
    with Scene(["calm", *FLOODS]) as made:
        calm = Found("calm", 0)
        made.replicate("calm", calm)
        assert made.expected, "nothing was told in peace"
        yield made


@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_hides_nobody_else(scene: Scene, flood: str) -> None:
    """Whatever was told of a replication in peace is told of this one too; what was lost meanwhile is on record."""
    found = scene.flood(flood, FLOODS[flood], flood)
    assert scene.expected <= found.alerts.items(), asdict(found)
    assert found.copy is not None
    assert found.copy < SOON
    assert found.live is not None
    assert found.live < SOON
    assert found.memory < MEMORY, asdict(found)
    assert found.lost <= found.told, asdict(found)
