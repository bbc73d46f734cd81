"""What the machine says of itself."""

import os
from pathlib import Path

from support.host import FakeHost

from replguard.kernel import machine


def test_the_machine_id_falls_back(tmp_path: Path) -> None:
    """The second file is asked, then the host's name stands in: there is always an id."""
    empty, other = tmp_path / "a", tmp_path / "b"
    empty.write_text("\n")
    other.write_text("0123456789abcdef0123456789abcdef\n")
    assert machine.machine_id((str(tmp_path / "none"), str(empty), str(other))) == "0123456789abcdef0123456789abcdef"
    assert machine.machine_id((str(empty),)) == f"name:{os.uname().nodename}"


def test_ids_and_pids_of_a_fake_host(tmp_path: Path) -> None:
    """Everything is read below the root that is given."""
    host = FakeHost(tmp_path)
    host.process(7)
    host.process(30)
    assert machine.boot_id(host.root).startswith("5b6c2f2e")
    assert machine.pids(host.root) == [7, 30]
    assert machine.last_pid(host.root) == 30
    host.write("loadavg", b"nonsense\n")
    assert machine.last_pid(host.root) is None
    assert machine.pid_max(host.root) == 32768
    assert machine.sysctl("fs/none", host.root) is None


def test_this_host_lists_us() -> None:
    """The real host knows this process, and handed out at least its pid."""
    assert os.getpid() in machine.pids()
    assert machine.last_pid() is not None


def test_newest_first_across_the_wrap() -> None:
    """Pids above the last one given out are from the round before."""
    assert machine.newest_first([1, 5, 900, 20], 20) == [20, 5, 1, 900]
    assert machine.newest_first([1, 5], None) == [5, 1]
