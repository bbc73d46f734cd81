"""Who is at the other end of a Unix socket: the process that connected, held so that its pid cannot be another's."""

import contextlib
import os
import socket
from typing import NamedTuple

from replguard.events.process import Process
from replguard.kernel import procfs
from replguard.kernel.reach import other_end
from replguard.sensors.processes.describe import Describer

_PIDFD = getattr(socket, "SO_PEERPIDFD", 77)
"""Since 6.5 (include/uapi/asm-generic/socket.h); before, the pid that it had as it connected has to do."""


class Peer(NamedTuple):
    """``process`` has pid and entity id, None where it has ended by now or is in another pid namespace."""

    uid: int
    process: Process | None


def peer(connection: socket.socket, describer: Describer) -> Peer:
    """Return who connected. Raises OSError."""
    pid, uid = other_end(connection)
    held = _held(connection, pid)
    try:
        found = describer.brief(pid) if pid > 0 and held is not None else None
        # Asked after its start time was read: while it lives no other process has its number.
        process = found if held is not None and _names(held, pid) else None
    finally:
        if held is not None:
            os.close(held)
    return Peer(uid, process)


def _held(connection: socket.socket, pid: int) -> int | None:
    """Return a descriptor of the process that connected, None if it has ended."""
    with contextlib.suppress(OSError):
        return int.from_bytes(connection.getsockopt(socket.SOL_SOCKET, _PIDFD, 4), "little")
    with contextlib.suppress(OSError):
        return os.pidfd_open(pid)
    return None


def _names(descriptor: int, pid: int) -> bool:
    """Whether a descriptor is of the living process with this pid."""
    text = procfs.read(f"/proc/self/fdinfo/{descriptor}", 4096) or b""
    return b"\nPid:\t%d\n" % pid in text
