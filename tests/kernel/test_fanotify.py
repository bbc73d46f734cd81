"""Records of fanotify, as Linux 6.18 wrote them, and the calls that make groups and open handles."""

import errno
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replguard.kernel import fanotify
from replguard.kernel.fanotify import CLOSE_WRITE, CREATE, ONDIR, RENAME, Group, Record

EXT4 = bytes.fromhex("f6a30d1203401fcd0800000001000000")
FOLDER, FILE = EXT4 + bytes.fromhex("06c0f400f6674550"), EXT4 + bytes.fromhex("07c0f400aa8c3985")
TMPFS = bytes.fromhex("80143c23bf900c460c0000000100000069aed5080300000001000000")
XFS = bytes.fromhex("00070000000000000c000000810000008400000000000000260c8992")
BTRFS = bytes.fromhex("1269ee264e12eab3140000004d0000000201000000000000050000000000000007000000")


def info(kind: int, handle: bytes, name: bytes | None = None) -> bytes:
    """Return one information record, padded to four bytes as the kernel does."""
    body = handle if name is None else handle + name + b"\0"
    body += bytes(-len(body) % 4)
    return struct.pack("=BBH", kind, 0, 4 + len(body)) + body


def event(mask: int, pid: int, *infos: bytes, fd: int = -1) -> bytes:
    """Return one event with its information records."""
    body = b"".join(infos)
    return struct.pack("=IBBHQii", 24 + len(body), 3, 0, 24, mask, fd, pid) + body


MADE = event(CREATE | CLOSE_WRITE, 9829, info(2, FOLDER, b"a"), info(1, FILE))
MOVED = event(RENAME, 9829, info(10, FOLDER, b"a"), info(12, FOLDER, b"longer name\xff"), info(1, FILE))


def test_records_are_parsed_one_after_another() -> None:
    """A file that was made, one that was renamed, and a bare event of a descriptor."""
    assert list(fanotify.parse(MADE + MOVED + event(fanotify.OPEN, 5, fd=7))) == [
        Record(CREATE | CLOSE_WRITE, 9829, -1, FOLDER, b"a", FILE),
        Record(RENAME, 9829, -1, FOLDER, b"longer name\xff", FILE, FOLDER, b"a"),
        Record(fanotify.OPEN, 5, 7),
    ]


def test_the_size_of_a_real_record_is_that_of_ours() -> None:
    """The kernel told 84 bytes for a file that was made in a folder of ext4."""
    assert len(MADE) == 84


@given(st.integers(0, len(MADE + MOVED)), st.binary(max_size=40))
def test_cut_and_foreign_bytes_end_it(at: int, more: bytes) -> None:
    """What was whole before them is kept."""
    found = list(fanotify.parse((MADE + MOVED)[:at] + more))
    assert not at >= len(MADE) or found[0].name == b"a"


@given(st.binary(max_size=200))
def test_no_bytes_break_it(data: bytes) -> None:
    """They give records or none."""
    assert all(isinstance(record, Record) for record in fanotify.parse(data))


@pytest.mark.parametrize(
    ("handle", "number"),
    [
        (FILE, 0xF4C007),
        (TMPFS, 0x1_0000_0003),
        (XFS, 0x84),
        (BTRFS, 0x102),
        (EXT4[:12] + b"\xf8\0\0\0" + bytes(8), None),
    ],
)
def test_handles_hold_inode_numbers(handle: bytes, number: int | None) -> None:
    """In the forms of ext4, tmpfs, XFS and btrfs; of others nothing is claimed."""
    assert fanotify.inode(handle) == number


def test_a_handle_of_a_subvolume_names_the_whole_filesystem() -> None:
    """As events do; statfs gave these ids for subvolume 256 and for the top."""
    top, sub = bytes.fromhex("1269ee264e12eab3"), bytes.fromhex("1269ee264b13eab3")
    body = bytes.fromhex("140000004d0000000101000000000000000100000000000007000000")
    assert fanotify._whole(sub, 0x4D, body) == top + body
    assert fanotify._whole(top, 0x4D, BTRFS[8:]) == BTRFS
    assert fanotify._whole(sub, 1, FILE[8:])[:8] == sub


@pytest.mark.root
def test_a_group_tells_and_a_handle_opens(tmp_path: Path) -> None:
    """The handles of events are those that ``handle_of`` gives, and lead back to folder and file."""
    try:
        group = Group(fanotify.NAMES_AND_TARGETS)
        group.mark(os.fsencode(tmp_path), CREATE | CLOSE_WRITE | ONDIR, fanotify.FILESYSTEM)
    except OSError as error:
        pytest.skip(f"fanotify does not work here: {error}")
    try:
        subprocess.run([sys.executable, "-c", "open('f','w').write('x')"], cwd=tmp_path, check=True)
        found = [record for record in fanotify.parse(group.read()) if record.name == b"f"]
        assert found
        assert found[0].folder == fanotify.handle_of(os.fsencode(tmp_path))
        assert found[0].target == fanotify.handle_of(os.fsencode(tmp_path / "f"))
        assert fanotify.inode(found[0].target or b"") == (tmp_path / "f").stat().st_ino
        mount = os.open(tmp_path, os.O_RDONLY)
        folder = fanotify.opened(mount, found[0].folder or b"")
        assert Path(f"/proc/self/fd/{folder}").readlink() == tmp_path.resolve()
        os.close(folder)
        os.close(mount)
    finally:
        group.close()
        group.close()


@pytest.mark.root
def test_a_group_goes_on_by_its_descriptor(tmp_path: Path) -> None:
    """With what waits in it, and with its marks; one that reports otherwise, or is none, is refused and closed."""
    try:
        group = Group(fanotify.NAMES_AND_TARGETS)
        group.mark(os.fsencode(tmp_path), CREATE, fanotify.FILESYSTEM)
    except OSError as error:
        pytest.skip(f"fanotify does not work here: {error}")
    kept = [os.dup(group.fd) for _ in range(2)] + [os.eventfd(0)]
    group.close()
    (tmp_path / "meanwhile").touch()
    again = Group(fanotify.NAMES_AND_TARGETS, kept[0])
    assert b"meanwhile" in {record.name for record in fanotify.parse(again.read())}
    device = (tmp_path / "meanwhile").stat().st_dev
    assert again.marked() == {f"{os.major(device)}:{os.minor(device)}"}
    again.close()
    for report, descriptor in ((fanotify.NAMES, kept[1]), (fanotify.NAMES_AND_TARGETS, kept[2])):
        with pytest.raises(OSError, match="another kind"):
            Group(report, descriptor)
        assert not os.path.lexists(f"/proc/self/fd/{descriptor}")
    assert again.marked() == set()
    assert fanotify.reports(99_999) is None


def test_what_has_no_handle_has_none(tmp_path: Path) -> None:
    """A name that is gone is no error."""
    assert fanotify.handle_of(os.fsencode(tmp_path / "none")) is None


def test_a_group_without_rights_says_so() -> None:
    """Every error has its sentence."""
    for number in (1, 22, 24, 38, 5):
        assert fanotify.sentence(OSError(number, "x")).endswith(".")
    assert fanotify.handle(bytes(8), 1, b"abcd") == bytes(8) + b"\4\0\0\0\1\0\0\0abcd"


def test_an_event_that_cannot_be_opened_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel gives its error as that of the read: it is counted, and what comes after it is read."""
    group, waiting = Group.__new__(Group), [errno.ESRCH, errno.ENOENT, errno.EACCES, errno.EPERM, errno.EMFILE]
    group.fd, group.unreadable = 99, 0

    def read(fd: int, size: int) -> bytes:
        if waiting:
            raise OSError(waiting.pop(), "refused")
        return b"more"

    monkeypatch.setattr(os, "read", read)
    assert group.read() == b"more"
    assert group.unreadable == 5
    waiting.append(errno.EAGAIN)
    assert group.read() == b""
    waiting.append(errno.EBADF)
    with pytest.raises(OSError, match="refused"):
        group.read()
    waiting.extend([errno.ESRCH] * 5000)
    assert group.read() == b""
