"""Parsers of bytes that an attacker chooses keep their promises; `make fuzz` asks for longer."""

import itertools
import random
import time

import pytest
from fuzz.breed import bred
from fuzz.target import judged
from fuzz.targets import TARGETS

COUNT, ROOM = 150, 0.3
"""Inputs, and CPU seconds after which there are no more but the seeds: of some each takes a fifth of a second."""


@pytest.mark.parametrize("name", TARGETS)
def test_bred_inputs(name: str) -> None:
    """Each target bears its seeds and some inputs bred from them, in bounded time."""
    target, began = TARGETS[name], time.thread_time()
    for number, data in enumerate(itertools.islice(bred(target, random.Random(7)), COUNT)):
        if number >= len(target.seeds) and time.thread_time() - began > ROOM:
            break
        assert not judged(target.check, data), data
