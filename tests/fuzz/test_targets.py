"""Parsers of bytes that an attacker chooses keep their promises; `make fuzz` asks for longer."""

import itertools
import random

import pytest
from fuzz.breed import bred
from fuzz.targets import TARGETS, judged

COUNT = 150


@pytest.mark.parametrize("name", TARGETS)
def test_bred_inputs(name: str) -> None:
    """Each target bears its seeds and some inputs bred from them, in bounded time."""
    for data in itertools.islice(bred(TARGETS[name], random.Random(7)), COUNT):
        assert not judged(TARGETS[name].check, data), data
