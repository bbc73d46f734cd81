"""When queues were read last, for the next who reads them."""

import os
from datetime import timedelta

from replguard.events import clock
from replguard.kernel.beat import Beat


def test_the_next_knows_when_it_was_set() -> None:
    """As often as it asks: a trial asks as well."""
    first = Beat()
    assert first.last() is None
    first.set()
    first.set()
    kept = os.dup(first.descriptor)
    first.close()
    second = Beat(kept)
    for _ in range(2):
        last = second.last()
        assert last is not None
        assert timedelta(0) <= clock.now() - last < timedelta(seconds=30)
    second.close()


def test_it_can_be_another_time() -> None:
    """To some milliseconds."""
    beat, when = Beat(), clock.now() - timedelta(seconds=5)
    beat.set(when)
    last = beat.last()
    assert last is not None
    assert abs(last - when) < timedelta(seconds=1)
    beat.close()


def test_a_time_to_come_is_none() -> None:
    """Whoever wrote it: what waits did not happen then."""
    beat = Beat()
    os.eventfd_write(beat.descriptor, 2**62)
    assert beat.last() is None
    beat.close()
