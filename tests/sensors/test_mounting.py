"""A mount is told with the process that made it, where the kernel names it."""

import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from support import keeping

from replguard.config import Config
from replguard.errors import Unavailable
from replguard.kernel.mounts import mounts
from replguard.kernel.mountwatch import Mounted
from replguard.sensors import mounting


@pytest.mark.root
def test_a_bind_mount_has_its_process(tmp_path: Path) -> None:
    """Found by the next look, though the program that mounted has long ended."""
    try:
        sensor = mounting.open(Config())
    except Unavailable as unavailable:
        pytest.skip(str(unavailable))
    (tmp_path / "original").mkdir()
    (tmp_path / "place").mkdir()
    sensor.start()
    try:
        assert not [e for e in sensor.poll() if e.action == "host_mount"]
        mount = subprocess.Popen(["mount", "--bind", tmp_path / "original", tmp_path / "place"])
        assert mount.wait(10) == 0
        try:
            events = list(sensor.poll())
        finally:
            subprocess.run(["umount", tmp_path / "place"], check=True)
    finally:
        sensor.stop()
    (told,) = [e for e in events if e.file is not None and e.file.path == str(tmp_path / "place")]
    assert told.process is not None
    assert told.process.pid == mount.pid
    assert told.replguard is not None
    assert told.replguard.attribution == "kernel"
    assert told.file is not None
    assert told.file.target_path == str(tmp_path / "original")


def test_what_was_mounted_while_nobody_looked_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With who did it, in the namespace that is still ours; of another one it begins anew."""
    for name in ("original", "place"):
        (tmp_path / name).mkdir()
    with keeping.between(monkeypatch) as between:
        try:
            first = mounting.open(Config())
        except Unavailable as unavailable:
            pytest.skip(str(unavailable))
        first.start()
        list(first.poll())
        first.stop()
        mount = subprocess.Popen(["mount", "--bind", tmp_path / "original", tmp_path / "place"])
        assert mount.wait(10) == 0
        second, third = mounting.MountingSensor(), mounting.MountingSensor()
        try:
            second.start()
            events = [e for e in second.poll() if e.action == "host_mount"]
            assert second.went_on is not None
            second.stop()
            monkeypatch.setattr(mounting, "_part", lambda: "ns1")
            third.start()
            assert third.went_on is None
            assert [e for e in third.poll() if e.action == "host_mount"] == []
            third.stop()
        finally:
            subprocess.run(["umount", tmp_path / "place"], check=True)
        assert between.unfit == {}
    (told,) = [e for e in events if e.file is not None and e.file.path == str(tmp_path / "place")]
    assert told.process is not None
    assert told.process.pid == mount.pid


def test_an_older_kernel_leaves_the_portable_sensor(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason says from which kernel on, and who may."""

    def refused() -> None:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(mounting, "MountGroup", refused)
    with pytest.raises(Unavailable, match=r"Linux 6\.14"):
        mounting.open(Config())


def test_a_full_queue_is_told() -> None:
    """The mounts are found all the same; who made them is lost."""
    sensor = mounting.MountingSensor()
    full = Mounted(attached=False, pid=0, mount=0, lost=True)
    sensor._group = SimpleNamespace(read=lambda: [full])  # type: ignore[assignment]
    list(sensor.poll())
    assert sensor.mounter(mounts()[0]) is None  # type: ignore[index]
    (told,) = [event.health for event in sensor.poll() if event.health is not None]
    assert (told.state, told.reason, told.lost) == ("loss", "who mounts: fanotify overflow", 1)
