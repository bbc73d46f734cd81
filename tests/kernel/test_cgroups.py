"""The root of the control groups, opened without a place."""

import os
from pathlib import Path

import pytest

from replguard.kernel import cgroups


@pytest.mark.root
def test_the_root_is_that_of_the_control_groups() -> None:
    """Every process of the host is below it; nothing is mounted that anybody sees."""
    before = Path("/proc/self/mountinfo").read_text()
    try:
        descriptor = cgroups.root()
    except OSError as error:
        pytest.skip(f"no control groups here: {error.strerror}")
    try:
        assert {"cgroup.procs", "cgroup.controllers"} <= {
            found.name for found in Path(f"/proc/self/fd/{descriptor}").iterdir()
        }
        assert Path("/proc/self/mountinfo").read_text() == before
    finally:
        os.close(descriptor)


def test_what_the_kernel_refuses_is_an_error() -> None:
    """With its number; nothing stays open."""
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(OSError, match=r"No such device|not permitted|Operation"):
        cgroups._call(cgroups._FSOPEN, b"no such filesystem", 1)
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
