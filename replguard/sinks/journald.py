"""Alerts as records of the systemd journal, by its own datagram protocol; large ones go through a sealed memory file.

What it can lose: nothing that the journal takes; while its socket is away, alerts wait. The journal's own limits on
rate and size apply after that.
"""

import array
import errno
import fcntl
import os
import socket
import struct
from collections.abc import Sequence

from replguard.events import wire
from replguard.events.alert import Alert, Level
from replguard.events.evidence import Kept
from replguard.events.text import printable
from replguard.sinks.base import Common, Sink

_PRIORITY: dict[Level, int] = {"informational": 6, "low": 5, "medium": 4, "high": 3, "critical": 2}
"""Syslog priorities: info, notice, warning, err, crit; alert and emerg are left to the host itself."""
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
"""What journald asks of a memory file before it maps it (systemd.io, `Native Journal Protocol`)."""
MESSAGE_ID = "6c8f0d3a5e2b4b0c9a7d1f4e8b3c2a60"
"""The id by which `journalctl MESSAGE_ID=…` finds all alerts."""

CHECKPOINT_ID = "b1a6f3c95d0e4f7d8a52c9e07d46b813"
"""The id by which `journalctl MESSAGE_ID=…` finds the checkpoints of the log."""


class Settings(Common, frozen=True, kw_only=True):
    """``socket`` is where the journal listens. ``checkpoints``: those of the log go there too."""

    socket: str = "/run/systemd/journal/socket"
    checkpoints: bool = True


def open(settings: Settings) -> Sequence[Sink]:  # noqa: A001 - the name that the registry asks for
    """Return the sink; the socket is used with the first alert."""
    return (Journald(settings.socket, checkpoints=settings.checkpoints),)


class Journald(Sink):
    """One journal."""

    longest = 5.0

    def __init__(self, path: str, *, checkpoints: bool = True) -> None:
        self._path, self.checkpoints = path, checkpoints
        self._socket: socket.socket | None = None

    def send(self, alert: Alert) -> None:
        self._write(record(alert))

    def keep(self, checkpoint: Kept) -> None:
        self._write(kept(checkpoint))

    def _write(self, data: bytes) -> None:
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.settimeout(5)
        try:
            self._socket.sendto(data, self._path)
        except OSError as error:
            if error.errno not in (errno.EMSGSIZE, errno.ENOBUFS):
                raise
            self._send_file(self._socket, data)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send_file(self, sender: socket.socket, data: bytes) -> None:
        fd = os.memfd_create("replguard-alert", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            with os.fdopen(os.dup(fd), "wb") as file:
                file.write(data)
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))
            sender.sendmsg([], [rights], 0, self._path)
        finally:
            os.close(fd)


def record(alert: Alert) -> bytes:
    """Return an alert in the journal's native form: fields by name, values with newlines by length."""
    about = alert.replguard
    fields = {
        "MESSAGE": printable(alert.message),
        "MESSAGE_ID": MESSAGE_ID,
        "PRIORITY": str(_PRIORITY[alert.rule.level] if about.state == "firing" else 5),
        "SYSLOG_IDENTIFIER": "replguard",
        "REPLGUARD_ALERT_ID": alert.event.id,
        "REPLGUARD_RULE": alert.rule.id,
        "REPLGUARD_LEVEL": alert.rule.level,
        "REPLGUARD_STATE": about.state,
        "REPLGUARD_INCIDENT": about.incident,
        "REPLGUARD_ALERT": wire.encode(alert).decode(),
    }
    return b"".join(_field(name, value.encode("utf-8", "backslashreplace")) for name, value in fields.items())


def kept(checkpoint: Kept) -> bytes:
    """Return a checkpoint in the journal's native form."""
    fields = {
        "MESSAGE": checkpoint.message or "",
        "MESSAGE_ID": CHECKPOINT_ID,
        "PRIORITY": "6",
        "SYSLOG_IDENTIFIER": "replguard",
        "REPLGUARD_CHECKPOINT": checkpoint.checkpoint.note,
        "REPLGUARD_STREAM": checkpoint.checkpoint.stream,
    }
    return b"".join(_field(name, value.encode("utf-8", "backslashreplace")) for name, value in fields.items())


def _field(name: str, value: bytes) -> bytes:
    if b"\n" in value:
        return name.encode() + b"\n" + struct.pack("<Q", len(value)) + value + b"\n"
    return name.encode() + b"=" + value + b"\n"
