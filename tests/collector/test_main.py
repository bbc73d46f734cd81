"""The collector's process keeps the rights that watching needs, and refuses what it cannot begin with."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.parts import configure, running

NEEDED = 1 << 2 | 1 << 19 | 1 << 21


@pytest.mark.root
def test_each_part_has_the_rights_that_it_needs_alone(tmp_path: Path) -> None:
    """Three for the collector, none for the analyser, and no way to more for either."""
    with running(tmp_path) as daemon:
        for name, bits in (("collector", NEEDED), ("analyser", 0)):
            status = Path(f"/proc/{daemon.part(name)}/status").read_text()
            held = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
            assert (int(held["CapEff"], 16), int(held["CapPrm"], 16)) == (bits, bits)
            assert held["NoNewPrivs"] == "1"


def test_two_do_not_watch_with_one_state(tmp_path: Path) -> None:
    """The second ends at once, with 2 and what to do."""
    with running(tmp_path) as daemon:
        command = [sys.executable, "-m", "replguard", "run", "-c", str(tmp_path / "replguard.yaml")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 2
        assert f"already running as pid {daemon.process.pid}" in done.stderr
        assert daemon.process.poll() is None


def test_one_part_alone_is_joined_by_a_socket(tmp_path: Path) -> None:
    """As a service manager runs it: what it sees waits until there is an analyser."""
    path = configure(tmp_path)
    command = [sys.executable, "-m", "replguard", "run", "-c", str(path), "--only", "collector"]
    with (tmp_path / "said").open("wb") as said:
        process = subprocess.Popen([*command, "--socket", str(tmp_path / "s")], stdout=said, stderr=said)
    try:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG)
        assert process.poll() is None
    finally:
        process.terminate()
        process.wait(60)
