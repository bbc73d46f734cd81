"""What is mounted in a mount namespace, from ``/proc/PID/mountinfo``."""

import os
import re
from typing import NamedTuple

from replguard.events import clock
from replguard.kernel.procfs import PROC, read, text

PSEUDO = frozenset(
    "proc sysfs cgroup cgroup2 devpts devtmpfs mqueue debugfs tracefs securityfs pstore bpf configfs fusectl "
    "binfmt_misc autofs nsfs rpc_pipefs efivarfs selinuxfs hugetlbfs".split()
)
"""Filesystems that hold no user's files; walking them is useless or harmful."""
REMOTE = frozenset("nfs nfs4 cifs smb3 smbfs 9p ceph glusterfs lustre afs gpfs beegfs virtiofs ncpfs orangefs".split())
"""Filesystems whose server may hang every call; ``fuse.*`` counts too, see ``Mount.remote``."""

_ONE_LAYER = (b"lowerdir+", b"datadir+")
"""Options of an overlay with one folder each, since 6.8."""
_CHUNK = 64 * 2**10
_POINT = re.compile(rb"^\d+ \d+ \S+ \S+ (\S+) [^\n]*", re.MULTILINE)
"""A line of a table, and the mount point in it."""

_ID, _DEVICE = re.compile(rb"\d{1,20}"), re.compile(rb"\d{1,10}:\d{1,10}")
"""Python refuses to read a number of thousands of digits."""


class Mount(NamedTuple):
    """One mount: ``path`` is the mount point, ``device`` major:minor, ``root`` the part of its filesystem shown.

    ``options`` are those of the filesystem, which name the folders that an overlay lies over; ``top`` is ``root`` as
    the kernel has it, in bytes.
    """

    id: int
    device: str
    root: str
    path: bytes
    kind: str
    source: str
    options: bytes = b""
    top: bytes = b""

    def option(self, name: bytes) -> bytes | None:
        """Return the value of an option of the filesystem, such as an overlay's upperdir; None without it."""
        return dict(option.partition(b"=")[::2] for option in _split(self.options, b",")).get(name)

    @property
    def superblock(self) -> int:
        """The number of the filesystem as the kernel's probes tell it: s_dev, major and minor packed its own way."""
        major, _, minor = self.device.partition(":")
        return int(major) << 20 | int(minor)

    @property
    def layers(self) -> list[bytes]:
        """The folders that an overlay lies over, the one that is written to first; none for anything else."""
        if self.kind != "overlay":
            return []
        given = [option.partition(b"=")[::2] for option in _split(self.options, b",")]
        layers = [value for name, value in given if name == b"upperdir"]
        for name, value in given:
            if name == b"lowerdir":
                layers += _split(value, b":")
            elif name in _ONE_LAYER:
                layers.append(value)
        return [re.sub(rb"\\(.)", rb"\1", layer) for layer in layers if layer]

    @property
    def remote(self) -> bool:
        """Whether the files are served by something that may hang."""
        return self.kind in REMOTE or self.kind in ("fuse", "fuseblk") or self.kind.startswith(("fuse.", "fuseblk."))


def mounts(pid: int | str = "self", root: str = PROC) -> list[Mount] | None:
    """Return the mounts in order, None if they cannot be read."""
    data = read(f"{root}/{pid}/mountinfo", 1 << 23)
    return None if data is None else parsed(data)


class Table(NamedTuple):
    """Whole lines of a table, and whether they are all of its lines."""

    lines: bytes
    whole: bool


def table(pid: int | str, root: str, until: float, most: int) -> Table:
    """Return what could be read of a table by a time of the monotonic clock, ``most`` bytes or a little more at most.

    An ordinary user may have a hundred thousand mounts in a namespace of his own: to tell them takes a minute.
    """
    found = bytearray()
    try:
        descriptor = os.open(f"{root}/{pid}/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return Table(b"", whole=False)
    try:
        while len(found) < most and clock.monotonic() < until:
            chunk = os.read(descriptor, _CHUNK)
            if not chunk:
                return Table(bytes(found), whole=True)
            found += chunk
    except OSError:
        pass  # as much as there is
    finally:
        os.close(descriptor)
    return Table(bytes(found[: found.rfind(b"\n") + 1]), whole=False)


def of_superblock(number: int, pid: int, root: str = PROC) -> Mount | None:
    """Return a mount of the filesystem with this number, as the process or else as we have it mounted."""
    found = (mount for who in (pid, "self") for mount in mounts(who, root) or [] if mount.superblock == number)
    return next(found, None)


def parsed(data: bytes, most: int | None = None) -> list[Mount]:
    """Return the mounts of a table, the first ``most`` of its lines at the most."""
    lines = data.split(b"\n") if most is None else data.split(b"\n", most)[:most]
    found = (_parse(line) for line in lines)
    return [mount for mount in found if mount is not None]


def over(data: bytes, path: bytes) -> Mount | None:
    """Return the mount of a table that a path's text falls under; of two on one point the later lies on top.

    However long the table and the path are, one pass: whoever makes mounts may make a hundred thousand.
    """
    names = path.split(b"/")
    points = {_escape(b"/".join(names[:end])) or b"/" for end in range(1, len(names) + 1)}
    best: re.Match[bytes] | None = None
    for found in _POINT.finditer(data):
        if found[1] in points and (best is None or len(found[1]) >= len(best[1])):
            best = found
    return None if best is None else _parse(best[0])


def of_device(data: bytes, device: str) -> Mount | None:
    """Return a mount of a table that shows the filesystem with this device (major:minor)."""
    found = re.search(rb"^\d+ \d+ %s [^\n]*" % re.escape(device.encode()), data, re.MULTILINE)
    return None if found is None else _parse(found[0])


def numbered(data: bytes, number: int) -> Mount | None:
    """Return the mount of a table with this id."""
    found = re.search(rb"^%d [^\n]*" % number, data, re.MULTILINE)
    return None if found is None else _parse(found[0])


def _parse(line: bytes) -> Mount | None:
    fields, _, rest = line.partition(b" - ")
    left, right = fields.split(b" "), rest.split(b" ")
    if len(left) < 6 or len(right) < 2 or not _ID.fullmatch(left[0]) or not _DEVICE.fullmatch(left[2]):
        return None
    return Mount(
        id=int(left[0]),
        device=text(left[2]),
        root=text(_unescape(left[3])),
        path=_unescape(left[4]),
        kind=text(right[0]),
        source=text(_unescape(right[1])),
        options=_unescape(right[2]) if len(right) > 2 else b"",
        top=_unescape(left[3]),
    )


def _split(text: bytes, by: bytes) -> list[bytes]:
    r"""Split a list of an overlay's options, in which a backslash takes a comma's or colon's meaning away."""
    return re.split(rb"(?<!\\)" + by, text)


def _escape(raw: bytes) -> bytes:
    """Write blank, tab, newline and backslash as the kernel does."""
    return re.sub(rb"[ \t\n\\]", lambda found: b"\\%03o" % found[0][0], raw)


def _unescape(raw: bytes) -> bytes:
    """Undo the octal escapes of blank, tab, newline and backslash."""
    return re.sub(rb"\\([0-3][0-7]{2})", lambda found: bytes([int(found[1], 8)]), raw)
