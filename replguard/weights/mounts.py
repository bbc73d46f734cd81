"""Which filesystem a path or an open file lies on, without asking that filesystem, which may hang."""

import os
import select

from replguard.kernel.mounts import Mount, mounts
from replguard.kernel.procfs import PROC, read

_LOCAL = ("virtiofs", "fuseblk")
"""Shares of the hypervisor, often the root of a small guest; and disks that a program serves (NTFS, exFAT)."""


class Mounts:
    """The mount table, read again only when the kernel says that it changed, proc_pid_mountinfo(5)."""

    def __init__(self, root: str = PROC) -> None:
        self._root = root
        self._mounts: list[Mount] | None = None
        self._poll = select.poll()
        self._table = -1
        if root == PROC:
            try:
                self._table = os.open(f"{root}/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                return
            self._poll.register(self._table, select.POLLPRI)

    def close(self) -> None:
        """Let go of the table; twice is once."""
        if self._table >= 0:
            os.close(self._table)
            self._table = -1

    def all(self) -> list[Mount]:
        """Return every mount, in the kernel's order; none if it does not tell."""
        if self._mounts is None or (self._table >= 0 and self._poll.poll(0)):
            self._mounts = mounts(root=self._root) or []
        return self._mounts

    def of_path(self, path: str) -> Mount | None:
        """Return the mount that the path's text falls under; nothing is looked up, so links are not followed."""
        below = os.fsencode(path) + b"/"
        fitting = [mount for mount in self.all() if below.startswith(mount.path.rstrip(b"/") + b"/")]
        # Of two mounts on one point the later lies on top.
        return max(reversed(fitting), key=lambda mount: len(mount.path), default=None)

    def away(self, path: str) -> tuple[str, str] | None:
        """Return the kind and the source of the network or FUSE mount that a path lies on, None on a local one."""
        mount = self.of_path(path)
        return None if mount is None or remote_reason(mount) is None else (mount.kind, mount.source)

    def of_file(self, fd: int) -> Mount | None:
        """Return the mount that an open file was opened on, by the kernel's own word."""
        fields = (read(f"{PROC}/self/fdinfo/{fd}", 4096) or b"").split()
        if b"mnt_id:" not in fields:
            return None
        number = int(fields[fields.index(b"mnt_id:") + 1])
        return next((mount for mount in self.all() if mount.id == number), None)


def remote_reason(mount: Mount | None) -> str | None:
    """Return why a file there is not read, a sentence, or None if it may be."""
    if mount is None or not mount.remote or mount.kind.startswith(_LOCAL):
        return None
    where = mount.path.decode(errors="backslashreplace")
    return f"on a network or FUSE mount ({mount.kind} at {where}), read only with weights.scan_network: true"
