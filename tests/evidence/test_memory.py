"""Mapped files once each, memory that is executed without a file, and names without their values."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import deadmount
from support.host import FakeHost
from support.targets import LONG, MAPPED_OVER, held, looked, target

from replguard.events.evidence import Mapping
from replguard.evidence import memory

FAR = 1e12


def mapped(pid: int) -> tuple[tuple[Mapping, ...], list[str]]:
    missing: list[str] = []
    with held(pid) as folder:
        return memory.maps(folder, missing.append, FAR), missing


def names(pid: int, until: float = FAR) -> tuple[tuple[str, ...], list[str]]:
    missing: list[str] = []
    with held(pid) as folder:
        return memory.environment(folder, missing.append, until), missing


def test_a_file_is_told_once_with_all_its_mappings(tmp_path: Path) -> None:
    """And whether it is executed, written to or deleted."""
    (tmp_path / "w").write_bytes(bytes(3 * 4096))
    inode = (tmp_path / "w").stat().st_ino
    code = (
        "import mmap, os; f = open(sys.argv[1], 'r+b'); kept = [mmap.mmap(f.fileno(), 4096 * n) for n in (1, 2, 3)];"
        "m = mmap.mmap(f.fileno(), 4096, prot=5, flags=2); os.unlink(sys.argv[1])"
    )
    with target(code, str(tmp_path / "w")) as process:
        found, missing = mapped(process.pid)
    assert [each for each in found if (each.path or "").endswith("/w")] == [
        Mapping(path=str(tmp_path / "w"), inode=inode, bytes=7 * 4096, executable=True, writable=True, deleted=True)
    ]
    assert not missing


def test_memory_that_is_executed_without_a_file_is_told() -> None:
    """Apart from it such that can be written as well."""
    code = "import mmap; kept = [mmap.mmap(-1, 4096 * n, prot=p, flags=34) for n, p in ((2, 5), (3, 7))]"
    with target(code) as process:
        found, _ = mapped(process.pid)
    assert set(found[:2]) == {
        Mapping(bytes=2 * 4096, executable=True),
        Mapping(bytes=3 * 4096, executable=True, writable=True),
    }


def test_of_very_many_files_the_largest_are_told(tmp_path: Path) -> None:
    """The others are counted."""
    lines = b"".join(b"%x-%x r--p 0 08:01 %d /f%d\n" % (n << 20, (n << 20) + n * 4096, n, n) for n in range(1, 701))
    host = FakeHost(tmp_path)
    host.write("7/maps", lines)
    missing: list[str] = []
    with held(tmp_path / "7") as folder:
        found = memory.maps(folder, missing.append, FAR)
    assert [each.path for each in found] == [f"/f{n}" for n in range(700, 188, -1)]
    assert missing == ["188 smaller ones more"]


def test_a_table_that_takes_too_long_is_told_in_part() -> None:
    """It is said not to be whole."""
    missing: list[str] = []
    with target() as process, held(process.pid) as folder:
        found = memory.maps(folder, missing.append, 0.0)
    assert not found
    assert missing == ["not whole: there are too many"]


def test_names_are_told_and_values_are_not() -> None:
    """In their order, whatever a name consists of; an equals sign in a value is part of the value."""
    env = {b"A": b"s3cret", b"B\n\x1b[2J": b"s3cret", b"C\xff": b"s3cret=s3cret", b"D": b""}
    with target(env=env) as process:
        found, missing = names(process.pid)
    assert found[:4] == ("A", "B\n\x1b[2J", "C\\xff", "D")
    assert not missing
    assert "s3cret" not in str(found)


def test_a_name_that_is_a_credential_is_masked(tmp_path: Path) -> None:
    """Whoever sets ``$TOKEN=1`` by mistake has it for a name."""
    FakeHost(tmp_path).write("7/environ", b"HF_TOKEN=x\0hf_" + b"abcdefgh" * 4 + b"=1\0")
    with held(tmp_path / "7") as folder:
        assert memory.environment(folder, lambda _: None, FAR) == ("HF_TOKEN", "hf_***")


def test_what_is_no_name_is_counted_and_not_told(tmp_path: Path) -> None:
    """A program may write its command line over its environment, with a password in it."""
    FakeHost(tmp_path).write("7/environ", b"A=1\0s3cret\0run --token s3cret --x=1\0" + b"s3cret" * 100 + b"=1\0B=2\0")
    missing: list[str] = []
    with held(tmp_path / "7") as folder:
        assert memory.environment(folder, missing.append, FAR) == ("A", "B")
    assert missing == ["3 entries that have no name"]


@given(
    st.lists(st.tuples(st.from_regex(rb"[A-Z_]{1,20}", fullmatch=True), st.binary(max_size=500)), max_size=9),
    st.integers(1, 700),
)
def test_any_values_are_passed_over(pairs: list[tuple[bytes, bytes]], size: int) -> None:
    """However long they are, and wherever pieces of them begin."""
    pairs = [(name, value.replace(b"\0", b"")) for name, value in pairs]
    whole = b"".join(name + b"=" + value + b"\0" for name, value in pairs)
    missing: list[str] = []
    found = memory.names([whole[at : at + size] for at in range(0, len(whole), size)], missing.append)
    assert found == tuple(name.decode() for name, _ in pairs)
    assert not missing


def test_of_very_many_names_the_first_are_told() -> None:
    """The others are counted."""
    with target(env={b"V%05d" % number: b"" for number in range(3000)}) as process:
        found, missing = names(process.pid)
        late, why = names(process.pid, until=0.0)
    assert found == tuple(f"V{number:05}" for number in range(512))
    assert missing[0].endswith(" names more")
    assert (late, why) == ((), ["not whole: it is too long"])


def test_an_environment_that_a_file_was_mapped_over_is_told_in_part(tmp_path: Path) -> None:
    """What the file holds is no environment; it is said how much is lacking."""
    (tmp_path / "f").write_bytes(b"FORGED=1\0" * 1000)
    with target(MAPPED_OVER, str(tmp_path / "f"), env=LONG) as process:
        found, missing = names(process.pid)
    assert "LAST" not in found
    assert "FORGED" not in found
    assert len(missing) == 1
    assert missing[0].startswith("not whole: ")
    assert missing[0].endswith("bytes are not there any more")


@pytest.mark.root
def test_one_that_a_dead_mount_was_mapped_over_does_not_hold_us(tmp_path: Path) -> None:
    """The kernel asks no server for it; all else is told, within a second."""
    there = deadmount.mounted(tmp_path / "m", bytes(8192), after=1)
    with there as server, target(MAPPED_OVER, str(tmp_path / "m" / deadmount.NAME), env=LONG) as process:
        server.dead.set()
        look = looked(process.pid)
    assert look.seconds is not None
    assert look.seconds < 1.0
    assert len(look.snapshot("a", "i").missing) == 1
