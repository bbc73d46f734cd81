"""What is done to files is told by the kernel: every name, who did it, on whatever filesystem and in any namespace."""

import errno
import os
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from subprocess import DEVNULL, PIPE

import pytest
from support import keeping
from support.filesystems import Mounts
from support.host import one, python, running, until
from support.keeping import Between
from support.programs import Lacking

from replguard.config import Config, Sensors, Watch
from replguard.errors import Unavailable
from replguard.events import clock
from replguard.events.event import Event
from replguard.events.hint import Hint
from replguard.kernel import fanotify, procfs
from replguard.sensors import names
from replguard.sensors.files import memory, opens
from replguard.sensors.files.backlog import COARSE
from replguard.sensors.files.mounted import Mounted
from replguard.sensors.files.places import Root
from replguard.sensors.names import NamesSensor
from replguard.sensors.processes.who import Who
from replguard.weights.reading import open_handle

pytestmark = pytest.mark.root
MIB = 2**20
LINKAT = """
import ctypes,os
def linkat(f, p):
 return ctypes.CDLL(None).linkat(-100, b'/proc/self/fd/%d' % f, -100, p.encode(), 0x400)
"""


@dataclass
class Watched:
    """A running sensor, what it told, and a folder to act in."""

    folder: Path
    sensor: NamesSensor
    events: list[Event]

    def one(self, action: str, path: str | Path, seconds: float = 10.0) -> Event:
        """Return the event of a path below the folder."""
        path = str(self.folder / path)
        return one(self.events, action, lambda e: e.file is not None and e.file.path == path, seconds)

    def of(self, path: str | Path) -> list[str]:
        """Return the actions that were told of a path, in order."""
        return [e.action for e in list(self.events) if e.file is not None and e.file.path == str(self.folder / path)]

    def settle(self) -> None:
        """Wait until all that was done up to now was told."""
        self.act("open('settled', 'w').write('x')")
        self.one("file_close_write", "settled")
        (self.folder / "settled").unlink()

    def act(self, code: str) -> int:
        """Run Python code in the folder to its end and return its pid."""
        done = subprocess.Popen([sys.executable, "-c", code], cwd=self.folder)
        assert done.wait(30) == 0
        return done.pid


def opened(older: bool = False, **options: object) -> NamesSensor:
    try:
        names.open(Config(sensors=Sensors(hooks="5.15" if older else "auto"))).stop()
    except Unavailable as error:
        pytest.skip(str(error))
    return NamesSensor(older=older, **options)  # type: ignore[arg-type]


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    folder = tmp_path.resolve() / "watched"
    folder.mkdir()
    sensor = opened()
    with running(sensor) as events:
        yield Watched(folder, sensor, events)


@pytest.fixture
def mounts(tmp_path: Path) -> Iterator[Mounts]:
    with Mounts(tmp_path.resolve()) as made:
        yield made


def unmount(mounts: Mounts, place: Path) -> None:
    """Unmount at once; others on this host may look at it for a moment."""
    assert until(lambda: subprocess.run(["umount", str(place)], check=False, stderr=subprocess.DEVNULL).returncode == 0)
    mounts._undo.remove(["umount", str(place)])


def identity(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_dev, found.st_ino


def section(event: Event) -> tuple[int | None, int | None]:
    assert event.file is not None
    return event.file.device, event.file.inode


def test_each_act_is_told_with_who_did_it(watched: Watched) -> None:
    """Create, close, rename, hard link, symlink and delete; the process is the one that acted, though it is gone."""
    pid = watched.act(
        "import os\nopen('a','w').write('x')\nos.rename('a','b')\nos.link('b','hard')\nos.symlink('b','soft')"
    )
    renamed, link, soft = (
        watched.one("file_rename", "b"),
        watched.one("file_link", "hard"),
        watched.one("file_link", "soft"),
    )
    for event in (watched.one("file_create", "a"), watched.one("file_close_write", "b"), renamed, link, soft):
        assert event.process is not None
        assert event.process.pid == pid
        assert event.replguard is not None
        assert (event.replguard.tier, event.replguard.attribution, event.replguard.read_time) == (
            "kernel",
            "kernel",
            True,
        )
    assert renamed.file is not None
    assert renamed.file.previous == str(watched.folder / "a")
    assert section(link) == section(renamed) == identity(watched.folder / "b")
    assert soft.file is not None
    assert soft.file.target_path == str(watched.folder / "b")
    watched.act("import os\nos.unlink('b')")
    assert section(watched.one("file_delete", "b")) == identity(watched.folder / "hard")


def test_a_living_process_is_described(watched: Watched) -> None:
    """With all that the portable tier says of a writer."""
    with python(
        "import sys\nf=open(sys.argv[1],'w')\nprint(flush=True)\nsys.stdin.read()", str(watched.folder / "f")
    ) as child:
        child.stdout.readline()
        process = watched.one("file_create", "f").process
        described = Who().process(child.pid)
    assert process is not None
    assert described is not None
    assert (process.entity_id, process.args) == (described.entity_id, described.args)


def test_a_rename_over_a_file_and_of_a_folder(watched: Watched) -> None:
    """The folder as one event; what is made in it afterwards has its new path."""
    (watched.folder / "d" / "e").mkdir(parents=True)
    watched.act(
        "import os\nopen('d/e/f','w').write('x')\nopen('old','w').write('x')\nopen('new','w').write('y')\n"
        "os.rename('new','old')"
    )
    watched.one("file_close_write", "d/e/f")
    over = watched.one("file_rename", "old").file
    assert over is not None
    assert over.inode == (watched.folder / "old").stat().st_ino
    watched.act("import os\nos.rename('d','g')\nopen('g/e/h','w').write('x')")
    folder = watched.one("file_rename", "g").file
    assert folder is not None
    assert (folder.type, folder.previous) == ("dir", str(watched.folder / "d"))
    watched.one("file_close_write", "g/e/h")


def test_a_nameless_file_is_told_once_it_is_linked(watched: Watched) -> None:
    """And its close, which the kernel tells under a name that never was."""
    watched.act(
        f"{LINKAT}f=os.open('.',os.O_TMPFILE|os.O_RDWR,0o600)\nos.write(f,b'x'*100000)\nlinkat(f,'linked')\nos.close(f)"
    )
    closed = watched.one("file_close_write", "linked")
    assert section(closed) == identity(watched.folder / "linked")
    assert "file_create" in watched.of("linked")


def test_a_file_written_through_a_mapping_is_told_when_it_is_let_go(watched: Watched) -> None:
    """With its size then."""
    watched.act(
        "import mmap,os\nf=os.open('m',os.O_CREAT|os.O_RDWR)\nos.ftruncate(f,200000)\nm=mmap.mmap(f,200000)\n"
        "os.close(f)\nm[:]=b'x'*200000\nm.close()"
    )
    closed = watched.one("file_close_write", "m").file
    assert closed is not None
    assert closed.size == 200_000


def test_a_file_that_was_told_can_be_opened_whatever_its_name_is_by_then(watched: Watched) -> None:
    """By its handle, on a folder of its filesystem: what is examined is what was told, and no other file."""
    watched.act("open('a','w').write('x'*100000)")
    device, inode = section(watched.one("file_close_write", "a"))
    (watched.folder / "a").rename(watched.folder / "b")
    (watched.folder / "a").write_text("another")
    known = watched.sensor.place(device or 0, inode or 0)
    assert known is not None
    with open_handle(*known) as reader:
        assert (reader.stat.st_dev, reader.stat.st_ino, reader.size) == (device, inode, 100_000)
    assert watched.sensor.place(1, 1) is None


def test_names_that_are_no_text_are_told(watched: Watched) -> None:
    """Newlines and bytes that are not UTF-8, escaped as everywhere."""
    watched.act("open(b'a\\n\\xff','w').write('x')")
    watched.one("file_close_write", procfs.text(b"a\n\xff"))


def test_a_file_that_is_never_closed_is_told_as_it_grows(watched: Watched) -> None:
    """By whoever made it."""
    code = "import os,sys\nf=os.open(sys.argv[1],os.O_CREAT|os.O_RDWR)\nos.ftruncate(f,20<<20)\nprint(flush=True)\n"
    code += "sys.stdin.read()"
    with python(code, str(watched.folder / "g")) as child:
        child.stdout.readline()
        grown = watched.one("file_grow", "g")
    assert grown.process is not None
    assert grown.process.pid == child.pid


def test_small_files_that_nobody_asks_for_are_counted_only(watched: Watched) -> None:
    """Those that a rule names are told, as are large ones, wherever they are; nothing is lost."""
    watched.sensor._acts.files.wanted = lambda path: path.endswith((".service", "settled"))
    watched.sensor._acts.files.worth = lambda size: False
    watched.act(
        "import os\nhow=os.O_CREAT|os.O_WRONLY\n"
        "for n in range(3000):\n f=os.open(f'f{n}',how,0o644);os.write(f,b'x'*9);os.close(f)\n"
        "open('x.service','w').write('x')\nopen('large','wb').write(b'x'*70000)\nos.rename('f1','f1.new')\nos.unlink('f2')"
    )
    (watched.folder / "settled").unlink(missing_ok=True)
    watched.act("open('settled','w').write('x')")
    watched.one("file_create", "settled")
    watched.one("file_close_write", "large")
    assert watched.of("x.service") == ["file_create"]
    told = [n for n in range(3000) if watched.of(f"f{n}")]
    assert len(told) < 1500
    assert watched.of("f2") in ([], ["file_create", "file_close_write"])
    assert not watched.sensor.counters.dropped
    assert watched.sensor.counters.filtered > 1500


@pytest.mark.parametrize("kind", ["xfs", "btrfs", "ext4", "tmpfs"])
def test_filesystems_mounted_later_are_watched(watched: Watched, mounts: Mounts, kind: str) -> None:
    """With the identity that lstat gives, reflinks included; and nothing keeps them from being unmounted."""
    try:
        place = mounts.tmpfs(mounts.folder / kind) if kind == "tmpfs" else mounts.image(kind)[0]
    except Lacking as lacking:
        pytest.skip(str(lacking))
    watched.folder = place
    watched.settle()
    reflink = "cp --reflink=always w clone" if kind in ("xfs", "btrfs") else "cp w clone"
    watched.act(f"import subprocess\nopen('w','wb').write(b'x'*100000)\nsubprocess.run({reflink.split()},check=True)")
    for name in ("w", "clone"):
        assert section(watched.one("file_close_write", name)) == identity(place / name)
    assert watched.of("clone")[0] == "file_create"
    unmount(mounts, place)


def test_a_mount_is_not_held_while_we_do_not_run(mounts: Mounts) -> None:
    """Events wait unread, and the mount goes all the same."""
    sensor = opened()
    place = mounts.tmpfs(mounts.folder / "t")
    try:
        sensor.start()
        list(sensor.tick())
        subprocess.run([sys.executable, "-c", "open('f','w').write('x')"], cwd=place, check=True)
        list(sensor.tick())
        subprocess.run([sys.executable, "-c", "open('g','w').write('x')"], cwd=place, check=True)
        unmount(mounts, place)
        list(sensor.tick())
    finally:
        sensor.stop()


def test_only_a_subvolume_mounted_is_watched_all_the_same(watched: Watched, mounts: Mounts) -> None:
    """The mark sits above all subvolumes."""
    try:
        place, device = mounts.image("btrfs")
        subprocess.run(["btrfs", "subvolume", "create", str(place / "sub")], check=True, stdout=subprocess.DEVNULL)
        unmount(mounts, place)
        watched.folder = mounts.mount(mounts.folder / "sub", ["-o", "subvol=sub", device])
    except (Lacking, OSError) as lacking:
        pytest.skip(str(lacking))
    watched.settle()
    watched.act("open('w','wb').write(b'x'*100000)")
    assert section(watched.one("file_close_write", "w")) == identity(watched.folder / "w")
    (watched.folder / "small").write_bytes(b"x")
    key = identity(watched.folder / "small")
    watched.sensor._acts.files.wanted = lambda path: False
    watched.sensor._acts.files.worth = lambda size: False
    watched.sensor.watch(hinted(watched.folder / "small"))
    assert until(lambda: watched.sensor._opens.files)
    watched.act("import os\nos.rename('small','moved')\nos.unlink('moved')")
    assert section(watched.one("file_delete", "moved")) == key


def test_an_overlay_is_told_as_its_users_see_it(watched: Watched, mounts: Mounts) -> None:
    """New files, copies of lower ones and their deletion have the merged path and its identity."""
    lower = mounts.folder / "lower"
    lower.mkdir()
    (lower / "low").write_bytes(b"x" * 100_000)
    try:
        place = mounts.overlay(lower, mounts.folder / "merged")
    except Lacking as lacking:
        pytest.skip(str(lacking))
    watched.folder = place
    watched.settle()
    watched.act(
        "open('new','wb').write(b'x'*100000)\nopen('low','ab').write(b'y')\nimport os\nos.rename('new','newer')"
    )
    assert section(watched.one("file_rename", "newer")) == identity(place / "newer")
    assert section(watched.one("file_close_write", "low")) == identity(place / "low")
    watched.act("import os\nos.unlink('low')")
    watched.one("file_delete", "low")


INSIDE = {
    "tmpfs": "mount -t tmpfs none {0}/in",
    "overlay": "mount -t overlay none -o lowerdir={0}/low,upperdir={0}/up,workdir={0}/work {0}/in",
}


@pytest.mark.parametrize("kind", list(INSIDE))
def test_another_mount_namespace_is_watched(watched: Watched, kind: str) -> None:
    """The path is the one inside; the host's way to it is told beside it, and leads to the file."""
    folder = watched.folder
    for name in ("in", "low", "up", "work"):
        (folder / name).mkdir()
    (folder / "low" / "old").write_bytes(b"x")
    code = f"{INSIDE[kind].format(folder)} && cd {folder}/in && echo && read x && "
    code += "head -c 100000 /dev/zero > w; rm -f old; echo; read x"
    with subprocess.Popen(["unshare", "-m", "sh", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        try:
            assert child.stdin is not None
            assert child.stdout is not None
            if not child.stdout.readline():
                pytest.skip("no mount namespace can be made here")
            space = Path(f"/proc/{child.pid}/ns/mnt").stat().st_ino
            mounted = watched.sensor._mounted
            assert mounted is not None
            assert until(lambda: space in mounted.spaces._tables, 10)
            time.sleep(0.2)
            child.stdin.write(b"\n")
            child.stdin.flush()
            child.stdout.readline()
            closed = watched.one("file_close_write", "in/w")
            assert closed.replguard is not None
            assert closed.replguard.host_path is not None
            assert identity(Path(closed.replguard.host_path)) == section(closed)
            assert not (folder / "in" / "w").exists()
            if kind == "overlay":
                watched.one("file_delete", "in/old")
        finally:
            child.kill()


def shows(mounted: Mounted, space: int, place: Path) -> bool:
    """Tell whether something was seen to be mounted at a place in a namespace."""
    known = mounted.spaces._tables.get(space)
    return known is not None and any(mount.path == os.fsencode(place) for mount in known[2].mounts)


def test_nobody_hides_a_folder_by_an_overlay_that_claims_it(watched: Watched) -> None:
    """Nor by a mount point that leads elsewhere by now: free text of another user's is no proof."""
    folder = watched.folder
    for name in ("in", "up", "work"):
        (folder / name).mkdir()
    code = f"mount -t tmpfs none {folder}/in && cd {folder}/in && mkdir -p l m .{folder}/up .{folder}/work && "
    code += f"mount --bind .{folder} {folder} && "
    code += f"mount -t overlay o -o lowerdir=l,upperdir={folder}/up,workdir={folder}/work,userxattr m && "
    code += f"umount {folder} && echo && read x"
    with subprocess.Popen(["unshare", "-Urm", "sh", "-c", code], stdin=PIPE, stdout=PIPE, stderr=DEVNULL) as child:
        try:
            assert child.stdout is not None
            if not child.stdout.readline():
                pytest.skip("no overlay can be mounted in a user namespace here")
            space = Path(f"/proc/{child.pid}/ns/mnt").stat().st_ino
            mounted = watched.sensor._mounted
            assert mounted is not None
            assert until(lambda: shows(mounted, space, folder / "in"), 10)
            time.sleep(0.2)
            for place in ("up", "work"):
                watched.act(f"open('{place}/w','wb').write(b'x'*100000)")
                assert section(watched.one("file_close_write", f"{place}/w")) == identity(folder / place / "w")
        finally:
            child.kill()


def test_a_mount_point_that_leads_elsewhere_by_now_is_not_followed(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root would open whatever the symlink leads to on the host; here a pipe."""
    folder = watched.folder
    for name in ("m", "n"):
        (folder / name).mkdir()
    os.mkfifo(folder / "pipe")
    real, opened = os.open, set[int]()

    def recording(path: str | bytes, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        descriptor = real(path, flags, mode, dir_fd=dir_fd)
        if not flags & os.O_PATH:
            opened.add(stat.S_IFMT(os.fstat(descriptor).st_mode))
        return descriptor

    monkeypatch.setattr(os, "open", recording)
    code = f"cd {folder} && mount -t tmpfs none m && mount --bind m n && echo && read x && umount m && rmdir m && "
    code += f"ln -s {folder}/pipe m && mkdir n/d && echo x > n/d/f && head -c 100000 /dev/zero > n/d/w; echo; read x"
    with subprocess.Popen(["unshare", "-Urm", "sh", "-c", code], stdin=PIPE, stdout=PIPE, stderr=DEVNULL) as child:
        try:
            assert child.stdin is not None
            assert child.stdout is not None
            if not child.stdout.readline():
                pytest.skip("no user namespace can be made here")
            mounted = watched.sensor._mounted
            assert mounted is not None
            space = Path(f"/proc/{child.pid}/ns/mnt").stat().st_ino
            assert until(lambda: shows(mounted, space, folder / "n"), 10)
            time.sleep(0.2)
            child.stdin.write(b"\n")
            child.stdin.flush()
            child.stdout.readline()
            watched.one("file_close_write", "n/d/w")
            assert not any(stat.S_ISFIFO(mode) for mode in opened)
            assert stat.S_IFDIR in opened
        finally:
            child.kill()


def test_a_copy_of_our_mounts_beside_leaves_the_short_way(watched: Watched) -> None:
    """Almost every service has a mount namespace of its own: no process need be asked for its own then."""
    with subprocess.Popen(["unshare", "-m", "sleep", "60"]) as child:
        try:
            mounted = watched.sensor._mounted
            assert mounted is not None
            space = until(lambda: mounted.spaces._inode(child.pid) not in (None, mounted.spaces.own))
            if not space:
                pytest.skip("no mount namespace can be made here")
            space = mounted.spaces._inode(child.pid)
            assert until(lambda: space in mounted.spaces._tables, 10)
            watched.settle()
            handle = fanotify.handle_of(os.fsencode(watched.folder))
            assert until(lambda: watched.act("open('f','w').write('x')") and mounted.folders.known(handle))
        finally:
            child.kill()


def hinted(path: Path) -> Hint:
    device, inode = identity(path)
    return Hint(kind="inode", path=str(path), device=device, inode=inode)


def test_opens_of_a_hinted_file_are_told_once_in_a_while(watched: Watched) -> None:
    """Also by another name; by each process once; not after the hint was dropped."""
    (watched.folder / "w").write_bytes(b"x")
    (watched.folder / "h").hardlink_to(watched.folder / "w")
    watched.sensor.watch(hinted(watched.folder / "w"))
    files = watched.sensor._opens.files
    assert until(lambda: any(file.handle for file in list(files.values())))
    pid = watched.act("import time\nfor _ in range(3):\n open('h').read(); time.sleep(.1)")
    event = watched.one("file_open", "w")
    watched.settle()
    assert watched.of("w") == ["file_open"]
    assert event.process is not None
    assert event.process.pid == pid
    assert event.replguard is not None
    assert event.replguard.mode == "read"
    watched.act("import os\nos.rename('w','v')")
    watched.one("file_rename", "v")
    watched.act("open('h').read()")
    watched.one("file_open", "v")
    device, inode = identity(watched.folder / "v")
    watched.sensor.watch(Hint(kind="inode", path=str(watched.folder / "v"), device=device, inode=inode, drop=True))
    assert until(lambda: not files)


def test_the_disk_below_a_hinted_file_is_watched(watched: Watched, mounts: Mounts) -> None:
    """An open of its node is told as one of a device."""
    try:
        place, device = mounts.image("ext4")
    except Lacking as lacking:
        pytest.skip(str(lacking))
    (place / "w").write_bytes(b"x")
    watched.sensor.watch(hinted(place / "w"))
    assert until(lambda: os.fsencode(device) in watched.sensor._opens._nodes)
    pid = watched.act(f"open({device!r},'rb').read(512)")
    event = one(watched.events, "file_open", lambda e: e.process is not None and e.process.pid == pid)
    assert event.file is not None
    assert (event.file.path, event.file.type) == (device, "device")
    assert event.replguard is not None
    assert event.replguard.mode == "device"


@pytest.mark.parametrize("named", [True, False])
def test_opens_of_a_process_memory_are_told(watched: Watched, named: bool) -> None:
    """By name where procfs has handles, else by descriptors; the process itself and other files of it are not."""
    with python("import os,sys\nopen('/proc/self/mem','rb')\nprint(flush=True)\nsys.stdin.read()") as target:
        target.stdout.readline()
        process = Who().process(target.pid)
        assert process is not None
        if not named:
            watched.sensor._poller.unregister(watched.sensor._memory.fileno())
            watched.sensor._memory.stop()
            watched.sensor._memory.start(named=False)
            watched.sensor._poller.register(watched.sensor._memory.fileno())
        watched.sensor.watch(Hint(kind="process", pid=target.pid, entity_id=process.entity_id))
        assert until(lambda: target.pid in watched.sensor._memory._held)
        pid = watched.act(f"open('/proc/{target.pid}/stat').read()\nopen('/proc/{target.pid}/mem','rb')")
        event = one(watched.events, "process_access", lambda e: e.process is not None and e.process.pid == pid)
    assert event.target is not None
    assert (event.target.pid, event.target.entity_id) == (target.pid, process.entity_id)
    assert event.replguard is not None
    assert event.replguard.mode == "memory"
    assert [e.action for e in watched.events if e.action == "process_access"] == ["process_access"]


def test_an_overflow_is_a_loss_and_what_was_missed_is_found(tmp_path: Path) -> None:
    """The folders that matter are read again for what changed since the last good moment."""
    folder = tmp_path.resolve()
    sensor = opened(roots=[Root(os.fsencode(folder), important=True)])
    try:
        sensor.start()
        list(sensor.tick())
        subprocess.run([sys.executable, "-c", "open('f','w').write('x')"], cwd=folder, check=True)
        assert sensor._group is not None
        assert sensor._mounted is not None
        record = struct.pack("=IBBHQii", 24, 3, 0, 24, fanotify.OVERFLOW, -1, 0)

        class Overflowing:
            fd = sensor._group.fd

            def __init__(self) -> None:
                self.given = [record]

            def read(self, size: int) -> bytes:
                return self.given.pop() if self.given else b""

        told = list(sensor._names(Overflowing(), sensor._mounted))  # type: ignore[arg-type]
        assert [e.health.state for e in told if e.health is not None] == ["loss"]
        assert sensor.counters.dropped["kernel", "fanotify overflow"] == 1
        while sensor._group.read():
            pass
        found = list(sensor.tick())
        assert {e.action for e in found if e.file is not None and e.file.path == str(folder / "f")} == {
            "file_create",
            "file_close_write",
        }
    finally:
        sensor.stop()


def test_older_kernels_pair_the_halves_of_a_rename(tmp_path: Path) -> None:
    """Without FAN_RENAME and handles of targets, which 5.15 lacks: the same events."""
    with running(opened(older=True)) as events:
        watched = Watched(tmp_path.resolve(), opened(), events)
        watched.act(
            "import os\nopen('a','w').write('x')\nos.mkdir('d')\nos.rename('a','d/b')\nos.link('d/b','c')\n"
            "os.unlink('c')"
        )
        renamed = watched.one("file_rename", "d/b").file
        assert renamed is not None
        assert renamed.previous == str(tmp_path.resolve() / "a")
        watched.one("file_delete", "c")


def test_a_hint_is_not_written_to_what_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number may be that of another file by then."""
    sensor, closed, late = NamesSensor(), [], []
    sensor._eventfd = os.eventfd(0)

    def close(descriptor: int) -> None:
        late.append(sensor._eventfd)
        closed.append(descriptor)

    number = sensor._eventfd
    with monkeypatch.context() as patched:
        patched.setattr(names.os, "close", close)
        sensor.stop()
    os.close(number)
    sensor.watch(Hint(kind="inode"))
    assert (closed, late) == ([number], [-1])


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Iterator[Between]:
    """Descriptors are kept from one sensor to the next."""
    with keeping.between(monkeypatch) as one:
        yield one


def test_what_is_done_while_nobody_reads_is_told(between: Between, tmp_path: Path) -> None:
    """Names, opens and a filesystem that was mounted meanwhile; who opened the memory of one who is named later."""
    folder = tmp_path.resolve() / "watched"
    folder.mkdir()
    model = folder / "model"
    model.write_bytes(bytes(MIB))
    with python("import sys\nprint(flush=True)\nsys.stdin.read()") as target:
        target.stdout.readline()
        process = Who().process(target.pid)
        assert process is not None
        named = Hint(kind="process", pid=target.pid, entity_id=process.entity_id)
        first = opened()
        first.watch(hinted(model))
        first.watch(named)
        first.start()
        list(first.tick())
        first.stop()
        since = clock.now()
        code = f"open('copy', 'wb').write(open('model', 'rb').read())\nopen('/proc/{target.pid}/mem', 'rb')"
        pid = Watched(folder, first, []).act(code)
        until_then = clock.now()
        second = opened()
        second.watch(hinted(model))
        second.start()
        assert second.went_on is not None
        told = list(second.tick())
        assert not [event for event in told if event.action == "process_access"]
        second.watch(named)
        second._due["sizes"] = 0.0
        told += list(second.tick())
        second.stop()
    mine = {event.action: event for event in told if event.process is not None and event.process.pid == pid}
    assert set(mine) == {"file_open", "file_create", "file_close_write", "process_access"}
    assert mine["file_open"].timestamp <= mine["file_create"].timestamp <= mine["file_close_write"].timestamp
    slack = timedelta(seconds=1)
    assert since - slack <= mine["file_open"].timestamp
    assert since - COARSE <= mine["file_close_write"].timestamp <= until_then + COARSE
    assert mine["process_access"].target is not None
    assert mine["process_access"].target.pid == target.pid


def test_a_filesystem_that_was_mounted_while_nobody_read_is_read(between: Between, mounts: Mounts) -> None:
    """It had no mark: what lies there and was changed is found by its times."""
    first = opened()
    first.start()
    list(first.tick())
    first.stop()
    place = mounts.tmpfs(mounts.folder / "late")
    (place / "large").write_bytes(bytes(MIB))
    with running(names.open(Config())) as events:
        one(events, "file_create", lambda e: e.file is not None and e.file.path == str(place / "large"), 20)


def test_places_that_are_not_watched_are_silent_and_in_our_own_folders_only_others_are_told(tmp_path: Path) -> None:
    """With ``watch.paths`` only those, the usual places and our own are told; never what we do ourselves."""
    for name in ("in", "out", "in/own"):
        (tmp_path / name).mkdir()
    folder = tmp_path.resolve()
    sensor = opened(
        roots=[Root(os.fsencode(folder / "in"))], own=frozenset([os.fsencode(folder / "in/own")]), only=True
    )
    with running(sensor) as events:
        watched = Watched(folder, sensor, events)
        (folder / "in/own/ours").write_text("x")
        watched.act("for n in ('out/f','in/own/f','in/f'): open(n,'w').write('x')")
        watched.one("file_close_write", "in/f")
        watched.one("file_close_write", "in/own/f")
        assert not watched.of("out/f")
        assert not watched.of("in/own/ours")


def test_it_opens_here_and_promises_up_to_when_it_told(watched: Watched) -> None:
    """The promise moves on."""
    first = watched.sensor.told_until
    assert until(lambda: watched.sensor.told_until != first)
    assert names.open(Config(watch=Watch(paths=("/tmp",))))._only


@pytest.mark.parametrize(
    ("number", "sentence"), [(1, "root"), (22, "5.9"), (38, "CONFIG_FANOTIFY"), (24, "max_user_groups")]
)
def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, number: int, sentence: str) -> None:
    """As a sentence that says what to do."""

    def refuse(name: str, *values: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fanotify, "_call", refuse)
    with pytest.raises(Unavailable, match=sentence):
        names.open(Config())


def test_names_go_on_without_opens_and_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A group that is refused costs what it would have told; the sensor says what."""

    def refused(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    for part in (opens, memory):
        monkeypatch.setattr(part, "Group", refused)
    sensor = NamesSensor()
    try:
        sensor.start()
    except (OSError, Unavailable) as error:
        pytest.skip(f"fanotify does not work here: {error}")
    try:
        assert "opens are not told" in (sensor.why or "")
        assert "memory of a process is not told" in (sensor.why or "")
        assert all(descriptor >= 0 for descriptor, _ in sensor.descriptors())
        list(sensor.tick())
    finally:
        sensor.stop()
