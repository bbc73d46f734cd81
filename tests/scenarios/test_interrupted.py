"""A drill that is interrupted leaves neither files nor processes, whatever it was doing."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

PARTS = ("server.log", "agent.log", "host/agent_new")
"""What appears in the drill's folder as it goes on: its server, its agent, the copy."""


def of(folder):
    """Return the processes that run in a folder or name it."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(folder) in " ".join([process.cwd(), *process.cmdline()]):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


HEEDING = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.executable, sys.argv[1:])"
"""A test run in the background of a script hands down SIGINT as ignored; a terminal never does."""


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("part", PARTS)
def test_nothing_is_left(tmp_path, number, code, part):
    """After Ctrl-C or SIGTERM in the middle of each part the folder is empty again and no process remains."""
    command = [sys.executable, "-c", HEEDING, sys.executable, "-m", "replguard", "drill", "self-replication"]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, env=environment, start_new_session=True) as drill:
        deadline = time.monotonic() + 60
        while not (list(tmp_path.glob(f"*/{part}")) and of(tmp_path)):
            assert drill.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        drill.send_signal(number)
        assert drill.wait(30) == code
    assert list(tmp_path.iterdir()) == []
    assert of(tmp_path) == []
