"""Something goes wrong in the middle of an attack: each of its steps is told all the same, and it is soon as before.

`make chaos` draws five hundred faults of every kind and writes docs/chaos.md.
"""

import random
from collections.abc import Iterator
from dataclasses import asdict

import pytest
from chaos.faults import lacking
from chaos.scene import Scene
from support.programs import Lacking

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]

FAULTS = ("analyser killed", "collector killed", "disk full", "rule broken", "analyser out of descriptors")
SOON = 60.0
"""Seconds; the page has what it takes where nothing else runs."""
MEMORY = 512.0
"""MiB, what the unit lets it have before it is slowed."""


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    """A daemon whose log lies on a small disk of its own."""
    made = Scene()
    try:
        made.__enter__()
    except Lacking as reason:
        pytest.skip(str(reason))
    yield made
    made.__exit__(None, None, None)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_hides_no_step_of_an_attack(scene: Scene, fault: str) -> None:
    """What is not told is accounted for by a record of a loss."""
    if (why := lacking(fault, scene)) is not None:
        pytest.skip(why)
    found = scene.round(FAULTS.index(fault), fault, random.Random(f"short {fault}"))
    assert found.missed == [], asdict(found)
    assert found.recovery is not None, asdict(found)
    assert found.recovery < SOON
    assert found.memory < MEMORY
