"""The decoder of process.bpf.c: recorded bytes, and the same layout and object on both sides of the border."""

import struct
from pathlib import Path

import pytest
from support.elf import rebuilt, section

from replguard.errors import Unavailable
from replguard.kernel import bpf
from replguard.kernel.bpf import process

ROOT = Path(__file__).resolve().parents[3]
FORKED = bytes.fromhex(
    "010000005c4a0000f5ad2860210700004193286021070000f78168592107000001000000000000005b4a0000000000000000000000000000"
)
_RECORDED = bytes.fromhex(
    "000000005c4a0000e4a92b60210700004193286021070000f78168592107000001000000000000005b4a0000000000000000000000000000"
    "fffffffffffffffffc490000931f00000000000000000000000000000100000018000000180000000a0000000d0000000400000000000000"
    "0000000000000000f8ffffeffcffffeff9ffffef5c4a0000747275650000000000000000000000002f62696e2f7472756500747275650062"
    "696e0075737200746d70002f62696e2f74727565006f6e650074776f20776f72647300"
)
ENDS = process.HEAD.size + process.BODY.size
EXECUTED = _RECORDED[:ENDS] + bytes(process.ENDS.size) + _RECORDED[ENDS:]
"""``/bin/true one "two words"`` in /tmp, as Linux 6.18 told it; with no pipes."""


def test_a_recorded_fork_and_exec() -> None:
    """Every field comes out as it was; what the kernel calls unset is None."""
    fork, head, body = process.head(FORKED), process.head(EXECUTED), process.body(EXECUTED)
    assert (fork.kind, head.kind) == (process.FORK, process.EXEC)
    assert (head.pid, head.parent, head.uid) == (fork.pid, 0x4A5B, 0)
    assert head.ticks == fork.ticks == 0x072160289341 // 10_000_000
    assert body.comm == "true"
    assert body.executable == "/usr/bin/true"
    assert body.interp == "/bin/true"
    assert body.working_directory == "/tmp"
    assert body.cgroup == "/"
    assert body.args == ("/bin/true", "one", "two words")
    assert not body.truncated
    assert not body.deleted
    assert (body.loginuid, body.audit_session, body.tty) == (None, None, None)
    assert (body.group, body.session) == (0x49FC, 0x1F93)
    assert (body.mount_space, body.pid_space, body.net_space) == (0xEFFFFFF8, process.FIRST_PIDS, 0xEFFFFFF9)
    assert body.pid_inside == head.pid


def changed(**fields: int) -> bytes:
    """Return the recorded exec with some numbers of its body changed."""
    names = "loginuid sessionid group session major minor foreground links total args interp exe cwd cgroup cut tty"
    record = bytearray(EXECUTED)
    for name, value in fields.items():
        struct.pack_into("=I", record, process.HEAD.size + 4 * names.split().index(name), value)
    return bytes(record)


def test_an_act_names_who_and_whom() -> None:
    """A signal and an access are the same record; the key of who is watched is the number in a namespace."""
    record = FORKED + struct.pack("<QIIII", 0, 77, 15, 1, 0)
    assert process.act(record) == process.Act(bytes=0, target=77, what=15, kernel=True)
    with pytest.raises(struct.error):
        process.act(record[:-5])
    assert process.watch_key(process.FIRST_PIDS, 77) == struct.pack("<Q", process.FIRST_PIDS << 32 | 77)


def test_pipes_are_told_by_their_direction() -> None:
    """An end that reads, one that writes, and an end of a socket pair: what it writes arrives at the other."""
    ends = [(7, 1, 0), (8, 2, 0), (9, 3, 10), (9, 3, 10)]
    packed = b"".join(process.END.pack(*end) for end in ends)
    record = bytearray(EXECUTED)
    record[ENDS : ENDS + len(packed)] = packed
    struct.pack_into("=I", record, ENDS + process.PIPES * process.END.size, len(ends))
    body = process.body(bytes(record))
    assert (body.pipes_in, body.pipes_out) == ((7, 9), (8, 10))
    assert body.args == ("/bin/true", "one", "two words")
    assert (process.body(EXECUTED).pipes_in, process.body(EXECUTED).pipes_out) == ((), ())


def test_what_did_not_fit_is_said() -> None:
    """A longer argv is marked, unreadable argv and paths that were cut are None, no arguments are none."""
    assert process.body(changed(total=20_000)).truncated
    assert process.body(changed(args=0)).args is None
    assert process.body(changed(args=0, total=0)).args == ()
    assert process.body(changed(cut=1)).executable is None
    assert process.body(changed(links=0)).deleted


def test_a_terminal_has_the_number_of_proc() -> None:
    """The encoding is that of tty_nr: minor in two parts around major."""
    assert process.body(changed(tty=1, major=136, minor=3)).tty == 34819
    assert process.body(changed(tty=1, major=136, minor=300)).tty == (300 & 0xFF) | 136 << 8 | 0x100 << 12


@pytest.mark.parametrize("length", [0, 7, process.HEAD.size - 1])
def test_a_short_record_is_an_error_that_the_reader_counts(length: int) -> None:
    """No record is trusted to be whole."""
    with pytest.raises(struct.error):
        process.head(EXECUTED[:length])
    with pytest.raises(struct.error):
        process.body(EXECUTED[: process.HEAD.size + length])


@pytest.mark.parametrize(
    ("names", "path"),
    [(b"", None), (b"/\0", "/"), (b"b\0a\0", "/a/b"), (b"memfd:x\0", "/memfd:x"), (b"\xff\0a\0", "/a/\\xff")],
)
def test_paths_come_innermost_first(names: bytes, path: str | None) -> None:
    """The root, a memfd and bytes that are no UTF-8 included."""
    assert process.path(names) == path


@pytest.mark.parametrize(
    ("asked", "folder", "found"),
    [
        ("/bin/sh", None, "/bin/sh"),
        ("./a/../b", "/tmp", "/tmp/b"),
        ("../../x", "/tmp", "/x"),
        ("x", None, None),
        ("/dev/fd/3", "/", None),
        (None, "/", None),
    ],
)
def test_the_path_that_was_asked_for_is_made_absolute(asked: str | None, folder: str | None, found: str | None) -> None:
    """A descriptor is no path, and without a folder nobody knows."""
    assert process.absolute(asked, folder) == found


@pytest.mark.parametrize(("code", "told"), [(0, 0), (3 << 8, 3), (9, 137), (11 | 0x80, 139)])
def test_exit_codes_are_those_of_shells(code: int, told: int) -> None:
    """A signal is 128 and its number; that a core was dumped changes nothing."""
    assert process.head(FORKED)._replace(code=code).exit_code == told


def test_the_layout_of_the_c_structures_is_the_decoders() -> None:
    """Sizes and offsets that the compiler wrote into the object equal those of the struct formats."""
    told = struct.unpack("<14I", section(bpf.image(process.OBJECT), ".rodata.layout"))
    body = process.HEAD.size
    ends = body + process.BODY.size
    sizes = (process.ARGS, process.PATHS, process.RING)
    assert told[:11] == (body, 48, body, body + 32, body + 60, body + 80, ends, ends + process.ENDS.size, *sizes)
    assert told[11:] == (body + process.ACT.size, body + 8, process.WATCHED)


def test_the_object_is_what_its_source_gives(tmp_path: Path) -> None:
    """Built anew with the same compiler, the object is the same byte for byte; and it is small."""
    shipped = bpf.image(process.OBJECT)
    assert len(shipped) < 80 * 1024
    assert rebuilt(process.OBJECT, tmp_path) == shipped


def test_an_object_that_was_not_shipped_is_said() -> None:
    """The sentence names it."""
    with pytest.raises(Unavailable, match=r"nothing\.bpf\.o"):
        bpf.image("nothing.bpf.o")
