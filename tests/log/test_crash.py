"""A writer that is killed at any moment leaves a log that opens again, is whole, and holds what was written."""

import os
import random
import signal
import time

from support import logs

from replguard.config import Stream
from replguard.events.event import Event
from replguard.log import reader


def writing(folder, state, first, pipe):
    """Write without end, and tell each number once the writer has taken it. Never returns."""
    to = logs.writer(folder, state, limits=Stream(max_size=16 * 16384))
    for number in range(first, first + 100_000):
        to.write(logs.event(number), logs.NOW)
        if number % 3 == 0:
            to.flush(logs.NOW)
            if not to.waiting:
                os.write(pipe, number.to_bytes(4, "little"))
        if number % 40 == 0:
            to.tick(logs.NOW)


def test_two_hundred_kills_lose_nothing_that_was_flushed(tmp_path):
    """Each goes on behind the last whole line, with a new segment, in the same chain."""
    folder, state, chance = tmp_path / "log", tmp_path / "state", random.Random(6)
    first, flushed = 1, []
    for _ in range(200):
        source, sink = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                writing(folder, state, first, sink)
            finally:
                os._exit(1)
        os.close(sink)
        told = os.read(source, 4)
        time.sleep(chance.random() * 0.01)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        while more := os.read(source, 4 * 4096):
            told += more
        os.close(source)
        last = int.from_bytes(told[len(told) // 4 * 4 - 4 : len(told) // 4 * 4], "little")
        flushed.append((first, last))
        first += 100_000
    found = logs.found(folder)
    assert found.findings == []
    there = {item.event.sequence for item in reader.events([folder]) if isinstance(item, Event)}
    kept = [(begin, end) for begin, end in flushed if end >= min(there)]
    assert len(kept) > 5
    for begin, end in kept:
        assert set(range(max(begin, min(there)), end + 1)) <= there
