"""The thread that waits for the disk."""

import threading

from replguard.log.sync import Sync


def test_work_is_done_in_order_and_the_thread_ends():
    """One after the other, as asked for; nothing is left running."""
    sync, done = Sync("sync-test"), []
    for number in range(100):
        sync.soon(lambda number=number: done.append(number))
    assert sync.wait(10)
    assert (done, sync.is_busy) == (list(range(100)), False)
    assert not [thread for thread in threading.enumerate() if thread.name == "sync-test"]


def test_who_asks_does_not_wait():
    """Work that hangs is seen by how long it takes so far."""
    sync, go = Sync("sync-test"), threading.Event()
    sync.soon(lambda: go.wait(20) and None)
    assert not sync.wait(0.05)
    assert sync.is_busy
    assert sync.seconds > 0.02
    go.set()
    assert sync.wait(10)
    assert sync.seconds > 0.02


def test_trouble_is_told_once_and_stops_nothing():
    """What is asked for after work that failed is done all the same."""
    sync, done = Sync("sync-test"), []

    def fails():
        raise OSError(5, "Input/output error")

    sync.soon(fails)
    sync.soon(lambda: done.append(1))
    assert sync.wait(10)
    assert done == [1]
    assert "Input/output" in str(sync.take_trouble())
    assert sync.take_trouble() is None
