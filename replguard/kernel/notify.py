"""Tells systemd how the service is (sd_notify): one datagram to the socket that it named."""

import os
import socket
from array import array
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from replguard.kernel.reach import reach

LONGEST = 108
"""Bytes of the path of a socket, its end included (unix(7))."""


def notify(*states: str, descriptors: Sequence[int] = (), patience: float = 1.0) -> bool:
    """Send states such as ``READY=1``, with descriptors. False when no service manager asked, or cannot be reached.

    One that does not read is waited for, ``patience`` seconds.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))] if descriptors else []
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender, _way(address) as way:
            sender.settimeout(patience)
            sender.sendmsg(["\n".join(states).encode()], rights, 0, way)
    except OSError:
        return False
    return True


def _way(address: str) -> AbstractContextManager[str]:
    if address.startswith("@"):
        return nullcontext("\0" + address[1:])
    return nullcontext(address) if len(os.fsencode(address)) < LONGEST else reach(Path(address))
