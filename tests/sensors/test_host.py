"""Shutdowns and mounts, from files that stand in for the host's."""

from pathlib import Path

from support.host import FakeHost

from replguard.config import Config
from replguard.events.event import Event
from replguard.sensors import host as module
from replguard.sensors.host import HostSensor

MOUNT = b"%d 1 8:1 %b %b rw - %b %b rw\n"


def made(tmp_path: Path) -> tuple[FakeHost, HostSensor]:
    host = FakeHost(tmp_path / "proc")
    host.write("self/mountinfo", MOUNT % (1, b"/", b"/", b"ext4", b"/dev/sda1"))
    return host, HostSensor(str(tmp_path / "scheduled"), str(tmp_path / "nologin"), host.root)


def shutdowns(events: list[Event]) -> list[tuple[str, str | None]]:
    found = [e for e in events if e.action == "host_shutdown"]
    return [(e.event.kind, e.replguard.status if e.replguard else None) for e in found]


def test_a_shutdown_is_scheduled_changed_cancelled_and_begun(tmp_path: Path) -> None:
    """Each once, with when in the message."""
    _, sensor = made(tmp_path)
    assert shutdowns(list(sensor.poll())) == []
    plan = tmp_path / "scheduled"
    plan.write_text("USEC=1767225600000000\nWARN_WALL=1\nMODE=reboot\n")
    (event,) = list(sensor.poll())
    assert event.message == "reboot is scheduled for 2026-01-01 00:00:00 UTC"
    assert list(sensor.poll()) == []
    plan.write_bytes(b"USEC=99999999999999999999999\nMODE=\xff\ngarbage")
    assert shutdowns(list(sensor.poll())) == [("event", "scheduled")]
    plan.unlink()
    assert shutdowns(list(sensor.poll())) == [("event", "cancelled")]
    (tmp_path / "nologin").write_text("going down")
    assert shutdowns(list(sensor.poll())) == [("event", "begun")]
    assert shutdowns(list(sensor.poll())) == []


def test_one_that_was_scheduled_before_us_is_state(tmp_path: Path) -> None:
    """It did not happen now."""
    _, sensor = made(tmp_path)
    (tmp_path / "scheduled").write_text("USEC=1\nMODE=poweroff\n")
    assert shutdowns(list(sensor.poll())) == [("state", "scheduled")]


def test_new_mounts_are_told_and_pseudo_ones_are_not(tmp_path: Path) -> None:
    """With filesystem and source; a bind mount says what of the filesystem it shows, and which inode that is."""
    host, sensor = made(tmp_path)
    assert list(sensor.poll()) == []
    bound = tmp_path / "bound"
    bound.write_bytes(b"x")
    host.write(
        "self/mountinfo",
        MOUNT % (1, b"/", b"/", b"ext4", b"/dev/sda1")
        + MOUNT % (2, b"/models/w", str(bound).encode(), b"ext4", b"/dev/sda1")
        + MOUNT % (3, b"/", b"/sys/fs/bpf", b"bpf", b"none")
        + MOUNT % (4, b"/", b"/mnt/a\\040b", b"nfs4", b"server:/x"),
    )
    bind, remote = list(sensor.poll())
    assert bind.file is not None
    assert bind.file.inode == bound.stat().st_ino
    assert bind.message == f"ext4 /dev/sda1, of it /models/w is mounted at {bound}"
    assert remote.file is not None
    assert (remote.file.path, remote.file.inode) == ("/mnt/a b", None)
    assert remote.replguard is not None
    assert (remote.replguard.technique, remote.replguard.source) == ("nfs4", "server:/x")
    assert sensor.counters.filtered == 1
    assert list(sensor.poll()) == []


def test_a_bind_mount_leads_to_what_it_shows(tmp_path: Path) -> None:
    """By the first mount of that filesystem that shows the same inode; a mount of its own leads nowhere."""
    host, sensor = made(tmp_path)
    list(sensor.poll())
    (tmp_path / "disk" / "models").mkdir(parents=True)
    (tmp_path / "shown").symlink_to("disk/models")  # stands in for the mount point: lstat follows a folder's own path
    shown = tmp_path / "shown" / "."
    host.write(
        "self/mountinfo",
        MOUNT % (1, b"/", b"/", b"ext4", b"/dev/sda1")
        + MOUNT % (2, b"/", str(tmp_path / "disk").encode(), b"ext4", b"/dev/sda1")
        + MOUNT % (3, b"/models", str(shown).encode() + b"/.", b"ext4", b"/dev/sda1"),
    )
    whole, bind = list(sensor.poll())
    assert whole.file is not None
    assert whole.file.target_path is None
    assert bind.file is not None
    assert bind.file.target_path == str(tmp_path / "disk" / "models")


def test_a_host_without_a_mount_table_is_no_error(tmp_path: Path) -> None:
    """Shutdowns are still seen."""
    sensor = HostSensor(str(tmp_path / "a"), str(tmp_path / "b"), str(tmp_path / "none"))
    assert list(sensor.poll()) == []
    assert module.open(Config()).name == "host"
