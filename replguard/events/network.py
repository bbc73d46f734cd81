"""Sockets, as ECS names their parts."""

from collections.abc import Iterable

import msgspec


class Endpoint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One end of a connection, or a listener. ``path`` instead of ip and port for a Unix socket."""

    ip: str | None = None
    port: int | None = None
    domain: str | None = None
    path: str | None = None


class Network(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """``transport`` is tcp, udp or unix; ``initiated`` is true when the process opened the connection.

    ``bytes`` of a connection were received on it (0: nothing so far, where replies are told), of a volume sent since
    it was told last. ``inode`` is the socket's, ``namespace`` that of its network namespace, as ``/proc/PID/ns/net``
    shows it.
    """

    transport: str | None = None
    initiated: bool | None = None
    bytes: int | None = None
    inode: int | None = None
    namespace: int | None = None


def ports(listen: Iterable[str]) -> set[int]:
    """Return the ports of addresses as ``ip:port``; a socket's path, whatever it is called, has none."""
    found = (address.rpartition(":")[2] for address in listen)
    return {int(port) for port in found if port.isascii() and port.isdigit()}
