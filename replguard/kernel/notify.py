"""Tells systemd how the service is (sd_notify): one datagram to the socket that it named."""

import os
import socket
from array import array
from collections.abc import Sequence


def notify(*states: str, descriptors: Sequence[int] = ()) -> bool:
    """Send states such as ``READY=1``, with descriptors. False when no service manager asked, or cannot be reached."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))] if descriptors else []
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.settimeout(1.0)
            sender.sendmsg(["\n".join(states).encode()], rights, 0, address)
    except OSError:
        return False
    return True
