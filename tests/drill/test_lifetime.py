import os

from replguard.drill import lifetime


def test_a_forgotten_process_ends_by_itself():
    """A child that limits its life and then waits for ever is gone with exit code 1."""
    pid = os.fork()
    if pid == 0:
        lifetime.limit(0.05)
        while True:
            os.sched_yield()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1


def test_a_process_may_end_earlier():
    """The limit is a timer that can be called off and that keeps no process alive."""
    timer = lifetime.limit(60)
    timer.cancel()
    assert timer.daemon
