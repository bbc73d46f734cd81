"""What the kernel tells of processes, files and sockets: the numbers are its own, every text is an attacker's."""

import contextlib
import inspect
import os
import struct
from collections.abc import Callable, Iterable
from typing import Any

from fuzz.target import SCRATCH, Target, named, refusing, written
from support.scene import Scene, handle

from replguard.events import clock, wire
from replguard.evidence import descriptors, memory
from replguard.kernel import (
    containers,
    drm_fdinfo,
    fanotify,
    handles,
    inodes,
    machine,
    mounts,
    mountwatch,
    procfs,
    runtimes,
    sockdiag,
    unixdiag,
)
from replguard.kernel.bpf import decoders, network, process, volume
from replguard.kernel.fanotify import CLOSE_WRITE, CREATE, DELETE, RENAME, Record
from replguard.kernel.ringbuf import Ring
from replguard.masking.mask import mask
from replguard.provenance import entry, places
from replguard.provenance.endpoints import Endpoints
from replguard.provenance.serving import endpoint
from replguard.sensors.exec import ExecSensor
from replguard.sensors.files.shown import context, section
from replguard.sensors.processes import argv
from replguard.sensors.processes.describe import Describer
from replguard.sensors.processes.who import Who
from replguard.sensors.sockets.tables import Ledger
from replguard.sensors.tcp import TcpSensor
from replguard.sensors.volume import VolumeSensor
from replguard.weights import naming

_PROC = "stat status cmdline cgroup loginuid sessionid environ io maps mountinfo schedstat fdinfo/7".split()
_TABLE = named("proc/1/all", *(f"proc/1/{name}" for name in _PROC), "proc/loadavg", "proc/sys/kernel/pid_max")
_ROOT = str(SCRATCH / "proc")
_ID, _POD = "ab" * 32, "0123abcd-0000-4000-8000-0123456789ab"
_BELOW = (
    f"var/lib/docker/containers/{_ID}/config.v2.json",
    f"run/containerd/io.containerd.runtime.v2.task/k8s.io/{_ID}/config.json",
    f"var/lib/containers/storage/overlay-containers/{_ID}/userdata/config.json",
    "var/lib/containers/storage/overlay-containers/containers.json",
    "run/replguard-jobs/7",
)


def listed(data: bytes) -> None:
    """Whatever stands in the files of /proc/PID, each is parsed or taken for a process that is gone."""
    _TABLE.write_bytes(data)
    for one in (procfs.stat, procfs.status, procfs.cmdline, procfs.cgroup, procfs.loginuid, procfs.sessionid):
        one(1, _ROOT)
    for other in (procfs.unit_run, procfs.io, handles.maps, mounts.mounts, Describer(_ROOT).describe):
        other(1, _ROOT) if other.__name__ != "describe" else other(1)  # type: ignore[operator,call-arg]
    machine.last_pid(_ROOT), machine.pid_max(_ROOT), machine.machine_id((str(_TABLE),))
    Describer(_ROOT, str(_TABLE))._users.name(1)


def looked_into(data: bytes) -> None:
    """The same by the folder of a process that is held, as the evidence has it."""
    _TABLE.write_bytes(data)
    held = os.open(SCRATCH / "proc" / "1", os.O_PATH)
    until = clock.monotonic() + 5
    try:
        wire.encode([memory.maps(held, len, until), memory.environment(held, len, until)])
        wire.encode(descriptors._described(held, 7, b"/x"))
    finally:
        os.close(held)


def told(data: bytes) -> None:
    """What engines and prologs left of a container, whoever named its image, is known or not."""
    for name in _BELOW:
        written(f"host/{name}", data)
    for runtime in ("docker", "containerd", "cri-o", "podman", None):
        place = containers.Place(1, runtime, _ID, pod=_POD if runtime != "docker" else None, job="7")
        wire.encode(runtimes.look(place, str(SCRATCH / "host")))


def mounted(data: bytes) -> None:
    """Whoever makes mounts chooses their paths, sources and options."""
    table = mounts.parsed(data)
    for one in table[:8]:
        inodes.name(one.superblock, one.path, table)
        mounts.over(data, one.path), mounts.numbered(data, one.id), mounts.of_device(data, one.device)
        assert isinstance(one.remote, bool)
        assert isinstance(one.layers, tuple | list)


def grouped(data: bytes) -> None:
    """The path of a control group says what contains a process, or nothing."""
    text = procfs.text(data)
    containers.parse(text), entry._read(text)


def pathed(data: bytes) -> None:
    """What a path, an address or a name of a file says is read from its text alone."""
    text = procfs.text(data)
    for one in (places.unit, places.shell_of, places.has_commands, places.is_table, places.templates, naming.stem):
        one(text)
    naming.model_of(text, "gguf", alone=True), naming.belongs(text, {"a": "b"})
    wire.encode(endpoint(text))
    Endpoints(["10.0.0.0/8", "a:1", text])
    mask(text)


def commands(data: bytes) -> None:
    """A table of commands, which is its owner's, is read line by line."""
    for line in places.lines(str(written("crontab", data))):
        places.mark(line), places.names(line, "/bin/x y", alone=True)


def arguments(data: bytes) -> None:
    """Arguments are hidden, and the names of an environment told, whatever they are."""
    wire.encode(argv.hide(process.arguments(data), False))
    wire.encode(memory.names([data[:99], data[99:]], len))


_memory = os.memfd_create("ring", os.MFD_CLOEXEC)
_SIZE = 8192
os.ftruncate(_memory, 2 * 4096 + 2 * _SIZE)
_ring = Ring(_memory, _SIZE)


def ring(data: bytes) -> None:
    """Records are taken up to one that is being written, and never without end."""
    page = data[:_SIZE].ljust(_SIZE, b"\0")
    os.pwrite(_memory, bytes(8), 0)
    os.pwrite(_memory, (int.from_bytes(data[:2], "little") & ~7).to_bytes(8, "little"), 4096)
    os.pwrite(_memory, page + page, 8192)
    for record in _ring.read(most=_SIZE):
        assert len(record) < 2**30


class _Exec:
    """The sensor without its programs. Numbers that the kernel gives are as it gives them; the rest is the input."""

    def __init__(self) -> None:
        self.sensor = ExecSensor(root=_ROOT + "-empty")
        self.sensor._describer = Describer(_ROOT + "-empty")
        self.sensor._own_groups, self.sensor._hybrid = True, False

    def __call__(self, data: bytes) -> None:
        records = []
        for part in data.split(b"\xff\xffrecord")[:8]:
            pid = int.from_bytes(part[1:3], "little")
            head = (part[0] % 3 if part else 0, pid, 10**9, 10**8, 10**7, 1, pid // 2, 1000, 0, 0)
            records.append(process.HEAD.pack(*head) + part[3:])
        for event in self.sensor.decoded(records):
            wire.encode(event)


def connected(data: bytes) -> None:
    """Ends of connections are whatever the far end chose."""
    sensor = TcpSensor(root=_ROOT + "-empty", ledger=Ledger())
    sensor._who = Who(_ROOT + "-empty")
    given = data.ljust(64, b"\0")
    who, ports = (given[0] % 7, 2**22, 10**9, 10**8), struct.unpack("=HH", given[2:6])
    more = (given[7], given[8], 1, given[1], *ports, 1, given[9] & 1, given[6], given[10:26], given[26:42])
    for event in sensor.decoded([network._RECORD.pack(*who, *more)]):
        wire.encode(event)


def grown(data: bytes) -> None:
    """A file that grows has the path that its writer gave it, inside its filesystem."""
    sensor = VolumeSensor()
    sensor._who = Who(_ROOT + "-empty")
    head = (volume.WRITE, 2**22, 10**9, 10**8, 7, data[0] if data else 0, 0, 2**30, 2**30, 0, len(data), 0)
    for event in sensor.decoded([volume.AMOUNT.pack(*head) + data]):
        wire.encode(event)


class _Names:
    """A folder in which names are made, renamed and gone."""

    def __init__(self) -> None:
        folder = SCRATCH / "names"
        folder.mkdir()
        self.scene, self.key = Scene(folder), handle(folder.stat().st_ino)

    def __call__(self, data: bytes) -> None:
        old, _, name = data[1:].replace(b"/", b"").partition(b"\0")
        mask = (CREATE, CLOSE_WRITE, CREATE | CLOSE_WRITE, RENAME, DELETE)[data[0] % 5 if data else 0]
        names = {"old_folder": self.key, "old_name": old[:255]} if mask == RENAME else {}
        record = Record(mask, 5, -1, self.key, name.replace(b"\0", b"")[:255], handle(5), **names)  # type: ignore[arg-type]
        for act in self.scene.of(record):
            wire.encode([section(act), context(act, known=False)])


def _body(**texts: bytes) -> bytes:
    """Return a record of an exec after its head."""
    given = [texts.get(name, b"") for name in ("interp", "exe", "cwd", "cgroup", "args")]
    sizes = [len(given[4]), len(given[4]), *map(len, given[:4])]
    body = process.BODY.pack(1000, 1, 5, 5, 4, 1, 5, 1, *sizes, 0, 1, 2, 3, 4, 9, b"comm")
    return body + bytes(process.ENDS.size) + b"".join(given)


def _decoded(module: Any) -> Target:
    def check(data: bytes) -> None:
        for decode in _parsers(module):
            with contextlib.suppress(struct.error):  # counted as a loss (sensors/probed.py)
                decode(data)

    return Target(check, (bytes(512), bytes(range(256)) * 4, b"\xff" * 512))


def _parsers(module: Any) -> Iterable[Callable[[bytes], object]]:
    """Return what reads one record, or one entry of a map."""
    names = ("head", "act", "body", "record", "flow", "volume", "share", "amount", "reader")
    found = [getattr(module, name, None) for name in names]
    return [one for one in found if one is not None and len(inspect.signature(one).parameters) == 1]


def _netlink(parse: Callable[[bytes], object]) -> Callable[[bytes], None]:
    return refusing(parse, struct.error, OSError)  # a message that is cut off; one that says an error


_MOUNT = b"36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n"
_OVERLAY = b"40 1 0:33 / /o rw - overlay overlay rw,lowerdir=/a\\:b:/c,upperdir=/u\\,v,workdir=/w\n"
_STAT = b"1 (a b) S " + b"1 " * 50
_STATUS = b"Name:\ta\nTgid:\t1\nUid:\t1\t1\t1\t1\nNSpid:\t1\t2\n"
_MAPS = b"00400000-0040b000 r-xp 00000000 fe:01 1234    /usr/bin/a b (deleted)\n7f00-7f01 rwxp 0 00:00 0 [heap]\n"
_ENVIRON = b"INVOCATION_ID=ab\0TRIGGER_UNIT=a.timer\0HF_TOKEN=x\0"
_GROUPS = (
    b"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0123abcd_0000_4000_8000_0123456789ab.slice/"
    b"cri-containerd-" + b"ab" * 32 + b".scope",
    b"/a/docker/x",
    b"/system.slice/slurmstepd.scope/uid_1000/job_7/step_0/user",
    b"/slurm/uid_\xc2\xb2/job_\xc2\xb2",
    b"/user.slice/user-1000.slice/user@1000.service/app.slice/a\\x2db.service",
    b"/machine.slice/machine-a\\x2db.scope/payload",
)
_DOCKER = b'{"Name":"/a","Config":{"Image":"b"}}'
_SPEC = (
    b'{"annotations":{"io.kubernetes.cri.sandbox-namespace":"n","io.kubernetes.cri.sandbox-name":"p-0",'
    b'"io.kubernetes.cri.container-name":"c","io.kubernetes.cri-o.ContainerType":"container"}}'
)
_STORED = b'[{"id":"' + b"ab" * 32 + b'","names":["a"],"metadata":"{\\"image-name\\":\\"b\\"}"}]'
_PATHS = (
    b"/etc/systemd/system/a@b.service.d/x.conf",
    b"/home/a/.config/fish/config.fish",
    b"/var/spool/cron/crontabs/root",
    b"/models/llama-00001-of-00002.gguf",
    b"/run/a:\xc2\xb2",
    b"/run/a:" + b"9" * 99,
    b"[::1]:80",
    b"a:\xc2\xb2",
)
_EXEC = _body(
    interp=b"a\0", exe=b"b\0usr\0", cwd=b"/\0", cgroup=b"a.service\0system.slice\0", args=b"a\0--password\0x\0"
)

TARGETS = {
    "stat": Target(procfs.parse_stat, (_STAT, b"1 (a) S " + b"9" * 5000)),
    "procfs": Target(
        listed,
        (
            b"1 (a) S " + b"9" * 20 + (b" " + b"9" * 20) * 50,
            b"0-1 r-xp 0 " + b"f" * 20 + b":1 1 /a\n",
            *(_STAT, _STATUS, _MAPS, _ENVIRON, _MOUNT, b"4294967295", b"0.1 0.1 0.1 1/1 77\n"),
            b"rchar: 1\nwchar: 2\nread_bytes: 3\nwrite_bytes: 4\n",
            b"0::/a\n1:name=systemd:/b\n",
            b"root:x:0:0:r:/:/bin/sh\na:x:" + b"9" * 5000 + b":1\n",
        ),
    ),
    "held process": Target(looked_into, (_STAT, _MAPS, _ENVIRON, b"pos:\t0\nflags:\t02\nmnt_id:\t1\nino:\t7\n")),
    "runtimes": Target(told, (_DOCKER, _SPEC, _STORED, b"account=a\njob=b\n", b"[" * 3000)),
    "mounts": Target(mounted, (_MOUNT, _OVERLAY, _MOUNT.replace(b"040", b"777"), b"9" * 5000 + _MOUNT)),
    "mountwatch": Target(lambda data: list(mountwatch.parse(data)), (bytes(64), b"\x40\0\0\0" * 16)),
    "fanotify": Target(
        _netlink(lambda data: list(fanotify.parse(data))), (struct.pack("=IBBHQii", 24, 3, 0, 24, 2, -1, 9) * 2,)
    ),
    "drm": Target(
        drm_fdinfo.parse,
        (b"drm-driver:\ti915\ndrm-resident-vram0:\t12 KiB\n", b"drm-driver:a\ndrm-memory-x: " + b"9" * 5000),
    ),
    "unix": Target(lambda data: list(sockdiag.unix_listeners(data)), (b"h\n0: 2 0 00010000 0001 01 77 /run/x\n",)),
    "sockets": Target(_netlink(sockdiag.parse), (bytes(72) + b"\x08\0\1\0abcd" * 4, b"")),
    "unix sockets": Target(
        _netlink(unixdiag.parts),
        (struct.pack("=IHHII", 48, 20, 2, 1, 0) + bytes(32), struct.pack("=IHHIIi", 20, 3, 2, 1, 0, -(2**31))),
    ),
    "cgroups": Target(grouped, _GROUPS),
    "paths": Target(pathed, _PATHS),
    "commands": Target(commands, (b"# x\n* * * * * root /bin/x y\n\n@reboot a\n", b"\xff\n" * 99)),
    "arguments": Target(arguments, (b"curl\0-H\0Authorization: Bearer abcdef\0", _ENVIRON, b"a=" + b"\0" * 400)),
    "ring": Target(ring, (b"\x40\0" + bytes(100), struct.pack("=IIQIIQ", 0x18, 0, 1, 8, 0, 2) * 40)),
    **{f"ring {name}": _decoded(module) for name, module in decoders().items() if _parsers(module)},
    "exec events": Target(_Exec(), tuple(bytes([kind, 9, 0]) + _EXEC for kind in range(3))),
    "connection events": Target(connected, tuple(bytes([kind, 0, 1, 1, 2, 2, 6]) + bytes(60) for kind in range(7))),
    "volume events": Target(grown, (b"a\0tmp\0", b"\xff\0..\0\0", b"x" * 8192)),
    "name events": Target(_Names(), tuple(bytes([kind]) + b"a\0b\xff.py" for kind in range(5))),
}
