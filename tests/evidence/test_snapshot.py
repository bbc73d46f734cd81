"""A look at one process: whole, in time, and of no other process."""

import ctypes
import hashlib
import mmap
import os
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.host import FakeHost
from support.targets import looked, start, target

from replguard.events import wire
from replguard.events.event import Meta
from replguard.events.evidence import Descriptor, Mapping, Snapshot, Taken
from replguard.events.process import Process
from replguard.evidence import descriptors, snapshot
from replguard.evidence.snapshot import MOST, fit, lean, take

NASTY = b"a\n\x1b[31m\xff\xe2\x80\xae"
"""A newline, an escape sequence, what is no UTF-8, and what turns the direction of text."""
FDS = """
import os, resource
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
kept = [os.open("/dev/null", os.O_RDONLY) for _ in range(min(10_000, hard - 50))]
"""
MAPS = """
import ctypes, tempfile
f = tempfile.TemporaryFile(); f.truncate(4096)
mmap = ctypes.CDLL(None).mmap
for i in range(20_000): mmap(None, ctypes.c_size_t(4096), 1 + 2 * (i % 2), 2, f.fileno(), ctypes.c_long(0))
"""
SERVER = """
import mmap, os, tempfile, threading
f = tempfile.TemporaryFile(); os.truncate(f.fileno(), 300 << 30)
kept = mmap.mmap(f.fileno(), 300 << 30, prot=1)
for _ in range(200): threading.Thread(target=threading.Event().wait, daemon=True).start()
"""
MOUNTS = """
import ctypes, socket
mount = ctypes.CDLL(None).mount
for i in range(2000): assert not mount(b"x" * 1000, b"/mnt", b"tmpfs", 0, None)
s = socket.create_server(("127.0.0.1", 0)); f = open("/etc/passwd")
"""
HEADLESS = """
import ctypes, os, threading, time
def go():
    while open("/proc/self/stat").read().rpartition(")")[2].split()[0] != "Z": time.sleep(0.01)
    os.write(1, b"ready\\n"); time.sleep(60)
threading.Thread(target=go).start()
ctypes.CDLL(None).syscall(60 if os.uname().machine == "x86_64" else 93, 0)
"""
"""Ends its first thread alone, by exit(2)."""
FILES = ("maps", "environ", "cgroup", "mountinfo", "exe", "fd", "fdinfo", "task", "ns", "root")
LINES = (b"00400000-00401000 r-xp 0 08:01 99999999999999999999999999 /x\n", b"1 1 0:1 / / rw - fuse x rw\n", b"0::/x\n")


def shown(look: Any) -> Snapshot:
    found = look.snapshot("a", "i")
    assert isinstance(found, Snapshot)
    return found


def record(found: Snapshot) -> Taken:
    return Taken(timestamp=datetime(2026, 1, 1, tzinfo=UTC), event=Meta(action="x"), process=Process(), snapshot=found)


def test_a_look_tells_all_of_a_process(tmp_path: Path) -> None:
    """Image, memory, descriptors, sockets, the names in the environment and where it stands; nothing is missing."""
    code = (
        "import socket; s = socket.create_server(('127.0.0.1', 0)); f = open('file', 'w+'); f.write('abc'); f.flush()"
    )
    with target(code, env={b"TOKEN": b"hunter2", b"HOME": b"/"}, cwd=tmp_path) as process:
        found = shown(looked(process.pid))
    assert found.missing == ()
    image = Path(sys.executable).resolve()
    assert found.image is not None
    assert (found.image.path, found.image.size) == (str(image), image.stat().st_size)
    assert found.image.sha256 == hashlib.sha256(image.read_bytes()).hexdigest()
    assert {"TOKEN", "HOME"} <= set(found.environment)
    assert any("libc" in (each.path or "") and each.executable for each in found.maps)
    assert {(each.path, each.access, each.position) for each in found.descriptors} >= {(f"{tmp_path}/file", "rw", 3)}
    assert [(each.transport, each.state) for each in found.sockets] == [("tcp", "LISTEN")]
    assert (found.root, found.working_directory) == ("/", str(tmp_path))
    assert found.cgroup
    assert b"hunter2" not in wire.encode(found)


@pytest.mark.root
def test_very_many_mounts_hide_nothing() -> None:
    """Two thousand with long names in a namespace of their own, as any user may make: each part has its own time."""
    with target(MOUNTS, by=("unshare", "-m")) as process:
        look = looked(process.pid)
    found = shown(look)
    assert look.seconds is not None
    assert look.seconds < 1.0
    assert found.missing == ()
    assert found.image is not None
    assert found.image.sha256 is not None
    assert "/etc/passwd" in {each.path for each in found.descriptors}
    assert [each.transport for each in found.sockets] == ["tcp"]
    assert found.maps
    assert found.environment


def test_a_part_that_took_too_long_takes_nothing_from_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has a time of its own, counted from when it begins."""
    monkeypatch.setattr(snapshot, "HASHED_BY", 0.0)
    plain = snapshot.image.opened

    def slow(*given: Any) -> Any:
        time.sleep(0.9)
        return plain(*given)

    monkeypatch.setattr(snapshot.image, "opened", slow)
    with target("import socket; s = socket.create_server(('127.0.0.1', 0))") as process:
        found = shown(looked(process.pid))
    assert found.missing == ()
    assert found.image is not None
    assert found.image.sha256 is not None
    assert found.sockets


@pytest.mark.parametrize(
    ("code", "env"),
    [
        (FDS, {}),
        (MAPS, {}),
        (SERVER, {}),
        ("", {b"V%d" % number: b"x" * 100_000 for number in range(20)}),
        ("", {b"%d%s" % (number, NASTY): b"" for number in range(20_000)}),
    ],
    ids=["descriptors", "mappings", "server", "environment", "names"],
)
def test_a_look_at_a_giant_takes_less_than_a_second(code: str, env: dict[bytes, bytes]) -> None:
    """Ten thousand descriptors, twenty thousand mappings, 300 GB mapped by 200 threads, an environment of 2 MiB."""
    with target(code, env=env) as process:
        look = looked(process.pid)
    found = shown(look)
    assert look.seconds is not None
    assert look.seconds < 1.0
    assert found.image is not None
    assert found.image.sha256 is not None
    assert len(wire.encode(fit(record(found)))) <= MOST


def test_names_that_are_attacks_are_told_harmlessly(tmp_path: Path) -> None:
    """In the environment, of descriptors and of mapped files: a line of the log stays one line of plain characters."""
    (tmp_path / os.fsdecode(NASTY)).write_bytes(b"x")
    code = "import mmap, os; f = open(sys.argv[1], 'rb'); m = mmap.mmap(f.fileno(), 1, prot=1)"
    with target(code, os.fsencode(tmp_path) + b"/" + NASTY, env={NASTY: b"x"}) as process:
        found = shown(looked(process.pid))
    line = wire.encode(found)
    assert line.decode().isprintable()
    assert any(name.startswith("a\n\x1b[31m\\xff") for name in found.environment)
    assert any(each.path.endswith("a\n\x1b[31m\\xff\u202e") for each in found.descriptors)
    assert any((each.path or "").endswith("\x1b[31m\\xff\u202e") for each in found.maps)


def test_a_process_goes_on_while_it_is_looked_at() -> None:
    """It is neither stopped nor traced: it counts on during each look."""
    with Path("/proc/self/exe").open("rb"), mmap.mmap(-1, 8) as shared:
        pid = os.fork()
        if pid == 0:
            number = ctypes.c_uint64.from_buffer(shared)
            while True:
                number.value += 1
        try:
            states, before = set(), int.from_bytes(shared[:], "little")
            for _ in range(30):
                assert take(pid, start(pid)).seconds is not None
                status = Path(f"/proc/{pid}/status").read_text()
                states.add(status.partition("State:")[2].split()[0])
                assert "TracerPid:\t0" in status
            assert states <= {"R", "S"}
            assert int.from_bytes(shared[:], "little") > before
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def test_a_process_that_ended_is_said_to_have() -> None:
    """One that nobody waited for, and one that is gone altogether."""
    with target() as process:
        began = start(process.pid)
        os.kill(process.pid, signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert shown(take(process.pid, began)).missing == (
            "process: it had ended, and its parent did not take notice yet",
        )
    assert shown(take(process.pid, began)).missing == ("process: there is none, or it ended meanwhile",)


def test_what_was_read_before_a_process_ended_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its image is hashed all the same: it was held before."""
    with target() as process:
        plain = descriptors.descriptors

        def ends(*given: Any) -> descriptors.Open:
            found = plain(*given)
            process.kill()
            process.wait()
            return found

        monkeypatch.setattr(descriptors, "descriptors", ends)
        found = shown(looked(process.pid))
    assert len(found.descriptors) >= 3
    assert found.image is not None
    assert found.image.sha256 is not None
    assert "process: it ended meanwhile" in found.missing
    assert not found.maps
    assert not found.environment


def test_a_process_whose_first_thread_ended_is_told_by_another() -> None:
    """Else whoever ends it would show an empty process, and go on."""
    with target(HEADLESS) as process:
        found = shown(looked(process.pid))
    assert found.missing == ("process: its first thread had ended: this is told by another one",)
    assert found.image is not None
    assert found.image.sha256 is not None
    assert found.maps
    assert found.descriptors
    assert found.environment


def test_another_process_with_the_pid_is_not_told_for_it(tmp_path: Path) -> None:
    """The time of start tells them apart."""
    host = FakeHost(tmp_path)
    host.process(7, start=500)
    found = shown(take(7, 400, host.root))
    assert found.missing == ("process: it had ended, and another one has its pid",)
    assert found.cgroup is None


@given(st.dictionaries(st.sampled_from(FILES), st.binary(max_size=300) | st.sampled_from(LINES)))
def test_any_files_of_a_process_give_a_record(files: dict[str, bytes]) -> None:
    """Whatever they hold, nothing is raised; a later kernel may write what we do not know."""
    with TemporaryDirectory() as folder:
        host = FakeHost(Path(folder))
        host.process(7, start=500)
        for name, data in files.items():
            host.write(f"7/{name}", data)
        look = take(7, 500, host.root)
    assert look.seconds is not None
    assert shown(look).missing


def test_a_thread_of_the_kernel_has_nothing() -> None:
    """It is said to be one."""
    if "kthreadd" not in Path("/proc/2/stat").read_text():
        pytest.skip("no threads of the kernel are seen here")
    (missing,) = shown(looked(2)).missing
    assert missing.startswith("process: it is a thread of the kernel")


@pytest.mark.root
def test_what_is_closed_to_an_ordinary_user_is_said_to_be() -> None:
    """Without root, another user's process shows its control group; no part that is closed is silently empty."""
    with target() as process:
        begun, (reads, writes) = start(process.pid), os.pipe()
        pid = os.fork()
        if pid == 0:
            os.setgroups([])
            os.setuid(65534)
            os.write(writes, wire.encode(shown(take(process.pid, begun))))
            os._exit(0)
        os.waitpid(pid, 0)
        os.close(writes)
        with os.fdopen(reads, "rb") as answer:
            line = answer.read()
    for part in ("root", "working_directory", "image", "descriptors", "maps"):
        assert f'"{part}: closed to us' in line.decode()
    assert '"environment: ' in line.decode()


def test_a_record_that_is_too_long_loses_from_its_longest_lists() -> None:
    """The first entries stay, and what is left out is counted."""
    long = Snapshot(
        alert="a",
        incident="i",
        maps=tuple(Mapping(path="\x1b" * 1000, bytes=number) for number in range(500)),
        descriptors=(Descriptor(fd=1, path="/x"),),
    )
    found = fit(record(long)).snapshot
    assert len(wire.encode(record(found))) <= MOST
    assert 20 < len(found.maps) < 100
    assert found.maps == long.maps[: len(found.maps)]
    assert found.descriptors == long.descriptors
    assert found.missing[0] == "maps: 250 more, left out for their length"
    assert fit(record(found)).snapshot == found


def test_a_lean_record_has_what_matters_most() -> None:
    """What is left out is named, and what was empty is not."""
    whole = Snapshot(alert="a", incident="i", cgroup="/x", maps=(Mapping(bytes=1),), environment=("A",), missing=("x",))
    found = lean(record(whole)).snapshot
    assert (found.cgroup, found.maps, found.environment) == ("/x", (), ())
    assert [each.partition(":")[0] for each in found.missing] == ["x", "maps", "environment"]


def test_a_program_that_was_replaced_meanwhile_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts may be of either program; they are told as such."""
    with target("import os") as process:
        before = snapshot.procfs.stat(process.pid)
        assert before is not None
        assert before.image is not None
        other, real = before._replace(image=(1, 2, 3)), snapshot.procfs.stat
        answers = iter([before, other])
        monkeypatch.setattr(snapshot.procfs, "stat", lambda *_: next(answers))
        found = shown(take(process.pid, before.start_ticks))
        monkeypatch.setattr(snapshot.procfs, "stat", real)
    assert found.missing == ("process: it executed another program meanwhile: parts may be of either",)


def test_an_image_of_no_process_is_read_from_a_folder(tmp_path: Path) -> None:
    """A folder of canned files stands for /proc; what is not there is missing."""
    host = FakeHost(tmp_path)
    host.process(7, start=500)
    host.write("7/cgroup", b"0::/system.slice/x.service\n")
    host.write("7/environ", b"A=1\0B=2\0")
    host.write("7/maps", b"00400000-00401000 r-xp 00000000 08:01 5 /bin/x\n")
    (Path(host.root) / "7/fd").mkdir()
    (Path(host.root) / "7/fd/3").symlink_to("/models/a.gguf")
    found = shown(take(7, 500, host.root))
    assert found.cgroup == "/system.slice/x.service"
    assert found.environment == ("A", "B")
    assert [(each.path, each.bytes, each.executable) for each in found.maps] == [("/bin/x", 4096, True)]
    assert [(each.fd, each.path) for each in found.descriptors] == [(3, "/models/a.gguf")]
    assert "image: there is none, or it ended meanwhile" in found.missing
