"""The daemon and its examiner are left out; any other child is not."""

import os
from pathlib import Path

from support.host import FakeHost

from replguard.sensors.processes.ours import Ours


def test_only_the_daemon_and_its_examiner_are_ours(tmp_path: Path) -> None:
    """A process that merely calls itself the examiner is not, nor is another child."""
    host, me = FakeHost(tmp_path), os.getpid()
    examiner = [b"python", b"-c", b"from replguard.weights.worker import main"]
    host.process(me + 1, ppid=me, args=examiner)
    host.process(me + 2, ppid=1, args=examiner)
    host.process(me + 3, ppid=me)
    ours = Ours(host.root)
    assert [ours(pid) for pid in (me, me + 1, me + 2, me + 3, me + 4)] == [True, True, False, False, False]
    host.end(me + 1)
    assert ours(me + 1)
