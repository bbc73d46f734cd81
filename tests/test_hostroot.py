"""The few files of the host that are read by name, from a container."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from replguard import hostroot
from replguard.kernel import machine
from replguard.provenance import places
from replguard.sensors.processes.describe import Describer


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    yield
    hostroot.use("")


def test_on_the_host_nothing_leads_there() -> None:
    """Every path is its own, and our mounts are the host's."""
    hostroot.use("")
    assert (hostroot.path("/etc/passwd"), hostroot.pid()) == ("/etc/passwd", "self")
    hostroot.use("/proc/1/root/")
    assert (hostroot.path("/etc/passwd"), hostroot.pid()) == ("/proc/1/root/etc/passwd", "1")
    hostroot.use("/host")
    assert hostroot.pid() == "self"


def test_ids_users_and_crontabs_are_the_hosts(tmp_path: Path) -> None:
    """A crontab is called as the host calls it, and read where it lies."""
    (tmp_path / "etc/cron.d").mkdir(parents=True)
    (tmp_path / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    (tmp_path / "etc/passwd").write_text("ann:x:4711:4711::/home/ann:/bin/sh\n")
    (tmp_path / "etc/cron.d/job").write_text("* * * * * root true\n")
    hostroot.use(str(tmp_path))
    assert machine.machine_id() == "0123456789abcdef0123456789abcdef"
    assert Describer().named(4711, None).name == "ann"
    assert places.lists()["/etc/cron.d/job"] == f"{tmp_path}/etc/cron.d/job"
