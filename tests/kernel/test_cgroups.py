"""The root of the control groups, where it is mounted or without a place."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from replguard.kernel import cgroups
from replguard.kernel.mounts import Mount


@pytest.mark.root
@pytest.mark.parametrize("way", [cgroups.root, cgroups.placeless])
def test_the_root_is_that_of_the_control_groups(way: Callable[[], int]) -> None:
    """Every process of the host is below it; nothing is mounted that anybody sees."""
    before = Path("/proc/self/mountinfo").read_text()
    try:
        descriptor = way()
    except OSError as error:
        pytest.skip(f"no control groups here: {error.strerror}")
    try:
        assert {"cgroup.procs", "cgroup.controllers"} <= {
            found.name for found in Path(f"/proc/self/fd/{descriptor}").iterdir()
        }
        assert Path("/proc/self/mountinfo").read_text() == before
    finally:
        os.close(descriptor)


def test_a_mount_is_taken_before_one_is_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The service may mount nothing: it takes the first that is whole and can be opened; below a folder is no root."""
    gone, whole = os.fsencode(tmp_path / "gone"), os.fsencode(tmp_path)
    shown = [("cgroup2", "/system.slice", b"/"), ("cgroup", "/", b"/"), ("cgroup2", "/", gone), ("cgroup2", "/", whole)]
    there = [Mount(1, "0:1", root, path, kind, "none") for kind, root, path in shown]
    monkeypatch.setattr(cgroups, "mounts", lambda *_: there)
    monkeypatch.setattr(cgroups, "placeless", lambda: pytest.fail("made one of its own"))
    descriptor = cgroups.root()
    try:
        assert Path(f"/proc/self/fd/{descriptor}").readlink() == tmp_path
    finally:
        os.close(descriptor)


def test_what_the_kernel_refuses_is_an_error() -> None:
    """With its number; nothing stays open."""
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(OSError, match=r"No such device|not permitted|Operation"):
        cgroups._call(cgroups._FSOPEN, b"no such filesystem", 1)
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
