"""Which processes are the daemon itself: what they do is never told."""

import ctypes
import os
import signal

_SET_PDEATHSIG = 1
"""PR_SET_PDEATHSIG (linux/prctl.h)."""
SUPERVISED = "REPLGUARD_SUPERVISOR"
"""The variable that says which process started this one as a part of the daemon."""
pids: set[int] = {os.getpid()}
"""This process, whoever started it as a part of the daemon, and the part that it speaks to."""


def first() -> int:
    """Return the process that is to be told to end or to read again: the one that started us as a part, or we."""
    parent = os.getppid()
    return parent if os.environ.get(SUPERVISED) == str(parent) else os.getpid()


def know(peer: int | None = None) -> None:
    """Note who we are, once it is known; ``peer`` is the part that we speak to now, and no other."""
    now = {os.getpid(), first()} | ({peer} if peer is not None else set())
    pids.update(now)  # read by other threads meanwhile: never without those that go on
    pids.intersection_update(now)


def end_with_parent() -> None:
    """Have the kernel ask us to end when who started us is gone, also if that was a moment ago."""
    ctypes.CDLL(None).prctl(_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.environ.get(SUPERVISED) != str(os.getppid()):
        os.kill(os.getpid(), signal.SIGTERM)
