"""What a process has open: where each descriptor points, and both ends of its sockets. None of it is opened.

Where a descriptor points is asked of the kernel, which asks no server; a FIFO or a symlink there is a name and no more.
"""

# ruff: noqa: PTH115 - pathlib costs more than the calls it wraps, and knows no bytes

import contextlib
import os
import socket
from collections.abc import Iterator
from typing import Literal, NamedTuple

from replguard.events import clock
from replguard.events.evidence import Descriptor, Socket, Transport
from replguard.evidence.image import Note, shown
from replguard.kernel import netns, sockdiag, unixdiag
from replguard.kernel.procfs import HELD, read

DESCRIPTORS, SOCKETS = 256, 256
"""Descriptors and sockets that are kept."""
_LOOKED_AT = 4096
"""Descriptors that are looked at: each costs 5 µs, and a process may have a million."""
_STATES = (
    "?", "ESTAB", "SYN-SENT", "SYN-RECV", "FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT", "UNCONN", "CLOSE-WAIT", "LAST-ACK",
    "LISTEN", "CLOSING",
)  # fmt: skip
_ACCESS: dict[int, Literal["r", "w", "rw"]] = {0o400: "r", 0o200: "w", 0o600: "rw"}
"""How it was opened, by the permissions that the kernel shows of the link."""
_PROTOCOLS: tuple[tuple[Transport, int], ...] = (("tcp", socket.IPPROTO_TCP), ("udp", socket.IPPROTO_UDP))
_SOCKET = b"socket:["
_FIRST = (b"/", b"pipe:")
"""What is kept first, where not all can be: files, then pipes, then what has no name; each once before any again."""


class Open(NamedTuple):
    """Descriptors that are no sockets, and for each socket's inode number a descriptor that holds it."""

    descriptors: list[Descriptor]
    sockets: dict[int, int]


def descriptors(held: int, note: Note, until: float) -> Open:
    """Return what the process whose folder is held has open. Raises OSError."""
    files: list[tuple[int, int, bytes]] = []
    known: set[bytes] = set()
    sockets: dict[int, int] = {}
    for number, target in _targets(held, note, until):
        if target.startswith(_SOCKET) and target[len(_SOCKET) : -1].isdigit():
            sockets.setdefault(int(target[len(_SOCKET) : -1]), number)
        else:
            files.append((len(_FIRST) + 1 if target in known else _rank(target), number, target))
            known.add(target)
    if len(files) > DESCRIPTORS:
        note(f"{len(files) - DESCRIPTORS} more were looked at and left out")
    kept = sorted(files)[:DESCRIPTORS]
    return Open([_described(held, number, target) for _, number, target in kept], sockets)


def _targets(held: int, note: Note, until: float) -> Iterator[tuple[int, bytes]]:
    with os.scandir(f"{HELD}/{held}/fd") as entries:
        for count, entry in enumerate(entries):
            if count >= _LOOKED_AT or clock.monotonic() > until:
                note(f"only the first {count} were looked at")
                return
            with contextlib.suppress(FileNotFoundError, ProcessLookupError, ValueError):  # closed by now
                yield int(entry.name), os.readlink(os.fsencode(entry.path))


def _rank(target: bytes) -> int:
    return next((rank for rank, start in enumerate(_FIRST) if target.startswith(start)), len(_FIRST))


def _described(held: int, number: int, target: bytes) -> Descriptor:
    access = None
    with contextlib.suppress(OSError):
        access = _ACCESS.get(os.lstat(f"{HELD}/{held}/fd/{number}").st_mode & 0o600)
    told: dict[bytes, int] = {}
    if target.startswith(b"/"):  # of others the kernel may have very much to tell
        fields = (read(f"{HELD}/{held}/fdinfo/{number}", 256) or b"").split()
        told = {key: int(value) for key, value in zip(fields[::2], fields[1::2], strict=False) if value.isdigit()}
    return Descriptor(fd=number, path=shown(target), inode=told.get(b"ino:"), access=access, position=told.get(b"pos:"))


def sockets(held: int, holders: dict[int, int], note: Note, until: float) -> dict[int, Socket]:
    """Return the sockets with these inode numbers, as the process's network namespace has them. Raises OSError.

    Others, such as those of netlink, are not told there.
    """
    if not holders:
        return {}
    if len(holders) > SOCKETS:
        note(f"{len(holders) - SOCKETS} more")
        holders = dict(list(holders.items())[:SOCKETS])
    with contextlib.ExitStack() as inside:
        if netns.namespace(held, HELD) != netns.namespace("thread-self"):
            inside.enter_context(netns.inside(held, HELD))
        found = _unix(holders)
        found |= _internet(holders, found, until)
    if clock.monotonic() > until:
        note("not whole: the host has too many")
    return found


def _unix(holders: dict[int, int]) -> dict[int, Socket]:
    found = unixdiag.some(holders)
    peers = unixdiag.some({one.peer for one in found.values() if one.peer} - found.keys()) | found
    return {
        one.inode: Socket(
            fd=holders[one.inode],
            transport="unix",
            local=_name(one),
            remote=_name(peers[one.peer]) if one.peer in peers else None,
            state=_state(one.state),
        )
        for one in found.values()
        if one.inode in holders
    }


def _name(one: unixdiag.UnixSocket) -> str:
    return shown(one.name) or "*"


def _internet(holders: dict[int, int], known: dict[int, Socket], until: float) -> dict[int, Socket]:
    found: dict[int, Socket] = {}
    for transport, protocol in _PROTOCOLS:
        left = holders.keys() - known.keys() - found.keys()
        if not left or clock.monotonic() > until:
            break
        diag = sockdiag.SockDiag()
        try:
            rows = diag.held(left, len(left), until, protocol)
        finally:
            diag.close()
        found |= {
            row.inode: Socket(
                fd=holders[row.inode],
                transport=transport,
                local=_place(row.source),
                remote=_place(row.destination) if row.destination[1] else None,
                state=_state(row.state),
            )
            for row in rows
        }
    return found


def _place(end: tuple[str, int]) -> str:
    return f"[{end[0]}]:{end[1]}" if ":" in end[0] else f"{end[0]}:{end[1]}"


def _state(number: int) -> str:
    return _STATES[number] if number < len(_STATES) else _STATES[0]
