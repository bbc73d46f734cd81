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


def found(pid: int, by: float = FAR) -> tuple[Image, list[str]]:
    missing: list[str] = []
    with held(pid) as folder:
        opened = image.opened(folder, missing.append)
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
