"""Parsers of bytes that an attacker chooses keep their promises; `make fuzz` asks for longer."""

import itertools
import random
import time

import pytest
from fuzz.breed import bred
from fuzz.targets import TARGETS

COUNT = 150
LONGEST = 2.0
"""Seconds that one input of 64 KiB may take: of CPU, for the machine may be busy."""


@pytest.mark.parametrize("name", TARGETS)
def test_bred_inputs(name: str) -> None:
    """Each target bears its seeds and some inputs bred from them, in bounded time."""
    for data in itertools.islice(bred(TARGETS[name], random.Random(7)), COUNT):
        began = time.thread_time()
        TARGETS[name].check(data)
        assert time.thread_time() - began < LONGEST, data
