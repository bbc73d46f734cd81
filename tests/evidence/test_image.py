"""The file that a process runs, whatever became of its name, and no wait for a server that does not answer."""

import contextlib
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import deadmount
from support.host import until
from support.targets import held, looked, target

from replguard.events import clock
from replguard.events.evidence import Image
from replguard.evidence import image
from replguard.kernel import procfs

SLEEP = Path(shutil.which("sleep") or "/bin/sleep").resolve()
SHA256 = hashlib.sha256(SLEEP.read_bytes()).hexdigest()
FAR = 1e12


@contextlib.contextmanager
def running(program: Path | str, *, pass_fds: tuple[int, ...] = ()) -> Iterator[int]:
    """Run a copy of sleep; the block begins when it is executed."""
    with subprocess.Popen(["sleep", "60"], executable=program, pass_fds=pass_fds) as process:
        try:
            yield process.pid
        finally:
            process.kill()


def found(pid: int, by: float = FAR, by_table: float = FAR) -> tuple[Image, list[str]]:
    missing: list[str] = []
    with held(pid) as folder:
        opened = image.opened(folder, missing.append, by_table)
        try:
            return image.hashed(opened, missing.append, by), missing
        finally:
            if opened.descriptor is not None:
                os.close(opened.descriptor)


def copied(folder: Path, name: str = "program") -> Path:
    made = folder / name
    shutil.copy(SLEEP, made)
    return made


def test_a_deleted_image_is_read_all_the_same(tmp_path: Path) -> None:
    """Through its process; its path is told without what the kernel appends."""
    program = copied(tmp_path)
    with running(program) as pid:
        program.unlink()
        told, missing = found(pid)
    assert (told.path, told.deleted, told.sha256, missing) == (str(program), True, SHA256, [])


def test_what_took_the_place_of_an_image_is_not_taken_for_it(tmp_path: Path) -> None:
    """Neither another file nor a FIFO nor a symlink at its path is opened."""
    program = copied(tmp_path)
    with running(program) as pid:
        program.unlink()
        os.mkfifo(program)
        assert found(pid)[0].sha256 == SHA256
        program.unlink()
        program.symlink_to("/dev/zero")
        told, _ = found(pid)
    assert (told.size, told.sha256) == (SLEEP.stat().st_size, SHA256)


def test_an_image_in_memory_is_read() -> None:
    """What memfd_create made lies on a filesystem that is mounted nowhere, and is known by its device."""
    made = os.memfd_create("evil\n")
    try:
        os.write(made, SLEEP.read_bytes())
        copy = os.open(f"/proc/self/fd/{made}", os.O_RDONLY)
        os.close(made)
        with running(f"/proc/self/fd/{copy}", pass_fds=(copy,)) as pid:
            told, missing = found(pid)
    finally:
        os.close(copy)
    assert (told.path, told.deleted, told.sha256, missing) == ("/memfd:evil\n", True, SHA256, [])


def test_an_image_that_is_too_large_is_told_without_hash(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """So is one that the disk does not give in time; both say why."""
    with running(copied(tmp_path)) as pid:
        told, missing = found(pid, by=clock.monotonic() - 1)
        assert (told.size, told.sha256) == (SLEEP.stat().st_size, None)
        assert missing == ["not hashed: it was not read to its end in time, or it changed meanwhile"]
        monkeypatch.setattr(image, "HASHED", 1000)
        told, missing = found(pid)
    assert told.sha256 is None
    assert missing == [f"not hashed: it has {SLEEP.stat().st_size} bytes, and at most 1000 are read"]


@pytest.mark.root
def test_an_image_on_a_dead_mount_is_not_waited_for(tmp_path: Path) -> None:
    """It is told by name; a look at the whole process tells the rest at once."""
    there = deadmount.mounted(tmp_path / "m", SLEEP.read_bytes(), after=2**40, mode=0o755)
    with there as server, running(tmp_path / "m" / deadmount.NAME) as pid:
        assert until(lambda: Path(f"/proc/{pid}/environ").read_bytes())  # exec is done
        server.dead.set()
        told, missing = found(pid)
        look = looked(pid)
    assert (told.path, told.sha256) == (str(tmp_path / "m" / deadmount.NAME), None)
    assert missing == [
        "not read: it is no regular file on a filesystem that surely answers, but lies on a mount of the kind fuse"
    ]
    assert look.seconds is not None
    assert look.seconds < 1.0
    assert look.snapshot("a", "i").environment


@pytest.mark.root
def test_an_image_on_a_mount_that_was_detached_is_not_waited_for(tmp_path: Path) -> None:
    """No table shows it any more, and no name can make it seem another one."""
    there = deadmount.mounted(tmp_path / "m", SLEEP.read_bytes(), after=2**40, mode=0o755)
    with there as server, running(tmp_path / "m" / deadmount.NAME) as pid:
        subprocess.run(["umount", "-l", tmp_path / "m"], check=True)
        server.dead.set()
        told, missing = found(pid)
    assert told.sha256 is None
    assert missing[0].endswith("but lies on no filesystem that is mounted")


@pytest.mark.root
@pytest.mark.parametrize("here", [True, False], ids=["here", "namespace"])
def test_an_image_on_an_overlay_over_a_dead_mount_is_not_waited_for(tmp_path: Path, *, here: bool) -> None:
    """Its kind is not that of what serves it, and what its options name may have been unmounted since."""
    for name in ("upper", "work", "all"):
        (tmp_path / name).mkdir()
    program = tmp_path / "all" / deadmount.NAME
    options = f"lowerdir={tmp_path}/m,upperdir={tmp_path}/upper,workdir={tmp_path}/work"
    script = f"mount -t overlay -o {options} x {tmp_path}/all && echo ready && exec {program} 60"
    by = [] if here else ["unshare", "-m"]
    there = deadmount.mounted(tmp_path / "m", SLEEP.read_bytes(), after=2**40, mode=0o755)
    with there as server, subprocess.Popen([*by, "sh", "-c", script], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            if process.stdout.readline() != b"ready\n":
                pytest.skip("no overlay may be mounted here")
            assert until(lambda: procfs.exe(process.pid) == (str(program), False))
            server.dead.set()
            look = looked(process.pid)
        finally:
            process.kill()
            subprocess.run(["umount", "-l", tmp_path / "all"], check=False, capture_output=True)
    snapshot = look.snapshot("a", "i")
    assert look.seconds is not None
    assert look.seconds < 1.0
    assert snapshot.image is not None
    assert (snapshot.image.path, snapshot.image.sha256) == (str(program), None)
    assert snapshot.missing[0].endswith("lies on a mount of the kind overlay")
    assert snapshot.environment


@pytest.mark.root
def test_an_image_on_an_overlay_of_this_host_is_read(tmp_path: Path) -> None:
    """As those of most containers are: its layers lie on disks, as root mounted them here."""
    for name in ("lower", "upper", "work", "all"):
        (tmp_path / name).mkdir()
    program = copied(tmp_path / "lower")
    options = f"lowerdir={program.parent},upperdir={tmp_path}/upper,workdir={tmp_path}/work"
    made = subprocess.run(["mount", "-t", "overlay", "-o", options, "x", tmp_path / "all"], check=False)
    if made.returncode:
        pytest.skip("no overlay may be mounted here")
    try:
        with running(tmp_path / "all" / "program") as pid:
            told, missing = found(pid)
    finally:
        subprocess.run(["umount", "-l", tmp_path / "all"], check=True)
    assert (told.sha256, missing) == (SHA256, [])


OVERLAY = b"2 1 0:9 / /all rw - overlay x rw,lowerdir=%s,upperdir=/u,workdir=/w\n"
DISK, SERVED = b"1 0 8:1 / / rw - ext4 /dev/a rw\n", b"3 1 0:8 / /far rw - fuse.sshfs s rw\n"


@pytest.mark.parametrize(
    ("ours", "answers"),
    [
        (DISK + OVERLAY % b"/l", True),
        (DISK + SERVED + OVERLAY % b"/l:/far/l", False),
        (DISK + OVERLAY % b"l/A:l/B", False),
        (DISK + b"2 1 0:9 / /all rw - overlay x rw\n", False),
        (DISK, False),
        (DISK + OVERLAY % b"/top" + b"4 1 0:10 / /top rw - overlay y rw,lowerdir=/l:/all\n", True),
        (DISK + SERVED + OVERLAY % b"/t" + b"4 1 0:10 / /t rw - overlay y rw,lowerdir+=/all,lowerdir+=/far\n", False),
    ],
    ids=["disk", "served", "relative", "nameless", "elsewhere", "round", "below"],
)  # fmt: skip
def test_an_overlay_answers_where_all_that_it_lies_over_is_known_to(ours: bytes, answers: bool) -> None:
    """Also through other overlays; layers that nobody can tell the place of are none that surely answer."""
    assert image.layers_answer(ours, "0:9") is answers


@pytest.mark.root
def test_a_mount_table_that_takes_too_long_costs_no_image(tmp_path: Path) -> None:
    """What is not found in the part that was told, nor in our own table, is not read, and that is said."""
    with running(copied(tmp_path)) as pid:
        assert found(pid, by_table=0.0)[0].sha256 == SHA256
    script = f"mount -t tmpfs none {tmp_path} && cp {SLEEP} {tmp_path}/p && echo ready && exec {tmp_path}/p 60"
    with subprocess.Popen(["unshare", "-m", "sh", "-c", script], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            if process.stdout.readline() != b"ready\n":
                pytest.skip("no tmpfs may be mounted here")
            assert until(lambda: procfs.exe(process.pid) == (f"{tmp_path}/p", False))
            told, missing = found(process.pid, by_table=0.0)
        finally:
            process.kill()
    assert (told.path, told.sha256) == (f"{tmp_path}/p", None)
    assert missing[0].endswith("lies on one of more mounts than could be looked through")


def test_a_path_is_shown_without_credentials() -> None:
    """Wherever in a long one they stand; any other path is shown as it is."""
    token = b"ghp_" + b"0123456789abcdef" * 2
    assert image.shown(b"/tmp/" + token + b"/x") == "/tmp/ghp_***/x"
    cut = image.shown(b"/" + b"a/" * (image.PATH // 4 - 8) + token + b"/b" * image.PATH)
    assert "0123" not in cut
    assert len(cut) <= image.PATH
    assert image.shown(b"/home/u/my secret file") == "/home/u/my secret file"


def test_an_image_in_another_mount_namespace_is_read(tmp_path: Path) -> None:
    """Its own table of mounts tells where it lies; ours does not show it."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    script = f"mount -t tmpfs none {tmp_path} && cp {SLEEP} {tmp_path}/p && echo ready && exec {tmp_path}/p 60"
    with subprocess.Popen(["unshare", "-m", "sh", "-c", script], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            if process.stdout.readline() != b"ready\n":
                pytest.skip("no tmpfs may be mounted here")
            assert until(lambda: procfs.exe(process.pid) == (f"{tmp_path}/p", False))
            told, missing = found(process.pid)
        finally:
            process.kill()
    assert (told.sha256, missing) == (SHA256, [])


def test_a_look_leaves_no_descriptor_behind() -> None:
    """Whatever is found."""
    with target() as process:
        before = len(list(Path("/proc/self/fd").iterdir()))
        found(process.pid)
        looked(process.pid)
        assert len(list(Path("/proc/self/fd").iterdir())) == before
