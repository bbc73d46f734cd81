"""Which filesystem a path or an open file lies on, without asking that filesystem, which may hang."""

# ruff: noqa: PTH123 - the tables of /proc are no paths that a user chose

import os
import select
from dataclasses import dataclass

NETWORK = frozenset(
    "9p afs beegfs ceph cifs coda davfs glusterfs gpfs lustre ncpfs nfs nfs4 orangefs smb3 smbfs".split()
)
"""Filesystem types whose bytes come over a network; FUSE is told by its prefix (fuseblk is a local disk)."""


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo, proc(5): its id, where it is mounted and its type."""

    id: int
    point: str
    type: str

    @property
    def remote(self) -> bool:
        """Whether reading it in bulk may hang, cost money, or be answered by a user's program."""
        return self.type in NETWORK or self.type == "fuse" or self.type.startswith("fuse.")


def parse(text: str) -> list[Mount]:
    """Return the mounts of a mountinfo file; lines that are none are left out."""
    mounts = []
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        fields = left.split(" ")
        if len(fields) > 4 and fields[0].isdigit() and right:
            mounts.append(Mount(int(fields[0]), _unescape(fields[4]), right.split(" ")[0]))
    return mounts


def _unescape(text: str) -> str:
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, char)
    return text


class Mounts:
    """The mount table, read again only when the kernel says that it changed."""

    def __init__(self, table: str = "/proc/self/mountinfo") -> None:
        self._file = open(table, encoding="utf-8", errors="surrogateescape")  # noqa: SIM115 - held to be told of changes
        self._poll = select.poll()
        self._pollable = table.startswith("/proc/")
        if self._pollable:
            self._poll.register(self._file.fileno(), select.POLLPRI | select.POLLERR)
        self._mounts: list[Mount] | None = None

    def close(self) -> None:
        """Let go of the table."""
        self._file.close()

    def all(self) -> list[Mount]:
        """Return every mount, in the kernel's order."""
        if self._mounts is None or (self._pollable and self._poll.poll(0)):
            self._file.seek(0)
            self._mounts = parse(self._file.read())
        return self._mounts

    def of_path(self, path: str) -> Mount | None:
        """Return the mount that the path's text falls under; nothing is looked up, so links are not followed."""
        best = None
        for mount in self.all():
            point = mount.point.rstrip("/") + "/"
            # The later of two mounts on one point lies on top.
            if (path + "/").startswith(point) and (best is None or len(mount.point) >= len(best.point)):
                best = mount
        return best

    def of_file(self, fd: int) -> Mount | None:
        """Return the mount that an open file was opened on, by the kernel's own word."""
        try:
            with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as file:
                ids = [line.split()[1] for line in file if line.startswith("mnt_id:")]
        except OSError:
            return None
        return next((m for m in self.all() if ids and m.id == int(ids[0])), None)


def remote_reason(mount: Mount | None, path: str = "") -> str | None:
    """Return why a file there is not read, a sentence, or None if it may be."""
    if mount is None or not mount.remote:
        return None
    where = os.fsencode(mount.point or path).decode(errors="backslashreplace")
    return f"on a network or FUSE mount ({mount.type} at {where}), which is read only with weights.scan_network: true"
