"""Tells systemd how the service is (sd_notify): one datagram to the socket that it named."""

import os
import socket


def notify(*states: str) -> bool:
    """Send states such as ``READY=1``. False when no service manager asked, or it cannot be reached."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.settimeout(1.0)
            sender.sendto("\n".join(states).encode(), address)
    except OSError:
        return False
    return True
