"""The mount table, with names that need escapes."""

from itertools import count
from pathlib import Path

import pytest
from support.host import FakeHost

from replguard.events import clock
from replguard.kernel.mounts import mounts, numbered, of_device, of_superblock, over, parsed, table


def test_mounts_are_parsed_and_unescaped(tmp_path: Path) -> None:
    """Blanks and newlines in mount points come back; broken lines are left out."""
    host = FakeHost(tmp_path)
    host.write(
        "self/mountinfo",
        b"30 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        b"31 30 0:50 /weights /mnt/a\\040b\\012c rw - fuse.sshfs me@host:/x rw\n"
        b"broken\n32 x\n",
    )
    found = mounts(root=host.root)
    assert found is not None
    assert [(m.id, m.path, m.root, m.kind, m.remote) for m in found] == [
        (30, b"/", "/", "ext4", False),
        (31, b"/mnt/a b\nc", "/weights", "fuse.sshfs", True),
    ]
    assert mounts(root=str(tmp_path / "none")) is None


def test_a_disk_behind_a_server_is_remote_too() -> None:
    """FUSE serves disks as well; of a table only the first lines may be asked for."""
    table = b"".join(b"%d 1 0:50 / /m%d rw - fuseblk /dev/sdb1 rw\n" % (number, number) for number in range(30))
    assert all(mount.remote for mount in parsed(table))
    assert (len(parsed(table)), len(parsed(table, 7)), parsed(b"")) == (30, 7, [])


def test_a_filesystem_is_found_by_its_number(tmp_path: Path) -> None:
    """As a process has it mounted, or else as we have."""
    host = FakeHost(tmp_path)
    host.write("self/mountinfo", b"31 30 0:50 / /here rw - fuse.sshfs me@host:/x rw\n")
    host.write("7/mountinfo", b"91 30 0:50 / /there rw - fuse.sshfs me@host:/x rw\n")
    found = [of_superblock(50, 7, host.root), of_superblock(50, 8, host.root), of_superblock(51, 7, host.root)]
    assert [mount and mount.path for mount in found] == [b"/there", b"/here", None]


def test_this_host_has_a_root() -> None:
    """The real table names what is mounted at the root."""
    assert any(mount.path == b"/" for mount in mounts() or ())


def test_options_and_the_part_that_is_shown_are_kept(tmp_path: Path) -> None:
    """An overlay names its folders, with blanks and commas in them; the part shown is there as bytes."""
    host = FakeHost(tmp_path)
    host.write(
        "self/mountinfo",
        b"70 44 0:43 /\377 /m rw - overlay ov rw,lowerdir=/l,upperdir=/u\\040x,workdir=/w\n".replace(b"\377", b"\xff"),
    )
    (mount,) = mounts(root=host.root) or ()
    assert (mount.top, mount.option(b"upperdir"), mount.option(b"none")) == (b"/\xff", b"/u x", None)


TABLE = (
    b"21 1 8:1 / / rw - ext4 /dev/a rw\n22 21 0:5 / /m rw - nfs h:/ rw\n23 21 0:6 / /m\\040x rw - tmpfs t rw\n"
    b"24 22 0:7 / /m rw - fuse.sshfs s rw\n225 21 0:8 / /m/n rw - xfs /dev/b rw\n"
)


def test_the_mount_that_a_path_falls_under_is_found_in_a_table() -> None:
    """The nearest one, whole names only; of two on one point the later; of one that is not whole nothing is said."""
    paths = [b"/x", b"/m", b"/m/f", b"/m x/f", b"/mm/f", b"/m/n/o", b"/"]
    assert [one and one.id for path in paths if (one := over(TABLE, path))] == [21, 24, 24, 23, 21, 225, 21]
    assert over(b"", b"/x") is None
    assert over(TABLE, b"gone") is None
    assert over(TABLE * 2000, b"/m" * 2000) is not None


def test_a_table_is_read_for_so_long_and_no_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there by then is whole lines; it is said whether they are all."""
    host = FakeHost(tmp_path)
    host.write("7/mountinfo", TABLE * 1000)
    assert table(7, host.root, 1e12, 1 << 23) == (TABLE * 1000, True)
    assert table(7, host.root, 0.0, 1 << 23) == (b"", False)
    assert table(8, host.root, 1e12, 1 << 23) == (b"", False)
    ticks = count()
    monkeypatch.setattr(clock, "monotonic", lambda: float(next(ticks)))
    for until, most in ((2.0, 1 << 23), (1e12, 1000)):
        found = table(7, host.root, until, most)
        assert not found.whole
        assert found.lines
        assert (TABLE * 1000).startswith(found.lines)
        assert found.lines.endswith(b"\n")


def test_a_mount_is_found_by_its_device() -> None:
    """By all of it; any of several."""
    assert [one and one.id for device in ("0:6", "8:1", "0:60", "0") for one in [of_device(TABLE, device)]] == [
        23, 21, None, None,
    ]  # fmt: skip


def test_the_layers_of_an_overlay_are_told_in_both_forms() -> None:
    """As one list, or one by one as kernels since 6.8 have them; the one that is written to comes first."""
    line = b"1 0 0:9 / / rw - overlay x rw,lowerdir%s,workdir=/w\n"
    forms = [b"=/a:/b\\:c,upperdir=/u", b"+=/a,lowerdir+=/b:c,datadir+=/d"]
    assert [parsed(line % form)[0].layers for form in forms] == [[b"/u", b"/a", b"/b:c"], [b"/a", b"/b:c", b"/d"]]


def test_a_mount_is_found_by_its_id_in_a_table() -> None:
    """By all of the number."""
    found = [numbered(TABLE, number) for number in (22, 225, 25, 2)]
    assert [one and one.path for one in found] == [b"/m", b"/m/n", None, None]
