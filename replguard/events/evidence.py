"""What the evidence stream holds besides events and alerts: who an acting process was, and checkpoints of the log.

Both are documents of ``event.kind`` *state*: nothing happened, it is said how things are. Rules never see them.
"""

from typing import Literal

import msgspec

from replguard.events.clock import Time
from replguard.events.event import Meta
from replguard.events.host import Container
from replguard.events.process import Process, User

STATE = "state"
"""``event.kind`` (ECS) of what stands here."""
SNAPSHOT = "process_snapshot"
CHECKPOINT = "log_checkpoint"
LINEAGE = "process_lineage"
"""An acting process, or one of its ancestors up to the entry point: an event with ``process`` and ``user`` alone."""
RULE = "rule_text"

Transport = Literal["tcp", "udp", "unix"]


class Image(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The file that a process runs. ``sha256`` (hexadecimal) is None where it was not read to its end.

    ``deleted``: it has no name any more; it was read through the process all the same.
    """

    path: str
    device: int | None = None
    inode: int | None = None
    size: int | None = None
    sha256: str | None = None
    deleted: bool = False


class Mapping(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file that is mapped, with the bytes of all its mappings, or anonymous memory that can be executed (no path).

    ``inode`` is its number as ``/proc/PID/maps`` has it.
    ``writable``: what is written to it there goes to the file; anonymous memory can be written as well as executed.
    """

    path: str | None = None
    inode: int | None = None
    bytes: int
    executable: bool = False
    writable: bool = False
    deleted: bool = False


class Descriptor(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An open descriptor: where it points, as ``/proc/PID/fd`` says. ``access`` is how it was opened.

    ``position`` (bytes) and ``inode`` are those of files.
    """

    fd: int
    path: str
    inode: int | None = None
    access: Literal["r", "w", "rw"] | None = None
    position: int | None = None


class Socket(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A socket: ``ip:port`` of each end, or the path of a Unix socket, ``*`` without one. ``state`` as ``ss`` names it.

    An abstract name begins with "@". ``fd`` is one of the descriptors that hold it.
    """

    fd: int | None = None
    transport: Transport
    local: str
    remote: str | None = None
    state: str | None = None


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What could be read of a process within a second of an alert.

    ``environment`` holds the names alone, in their order; values are never read out. Sockets that were found are no
    ``descriptors`` besides. ``root`` and ``working_directory`` are as ``/proc/PID`` shows them. ``missing`` says which
    part is not there, or not whole, and why.
    """

    alert: str
    incident: str
    image: Image | None = None
    environment: tuple[str, ...] = ()
    maps: tuple[Mapping, ...] = ()
    descriptors: tuple[Descriptor, ...] = ()
    sockets: tuple[Socket, ...] = ()
    cgroup: str | None = None
    root: str | None = None
    working_directory: str | None = None
    missing: tuple[str, ...] = ()
    seconds: float | None = None


class Taken(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A record of the evidence stream: a snapshot of ``process``."""

    timestamp: Time = msgspec.field(name="@timestamp")
    event: Meta
    message: str | None = None
    process: Process
    user: User | None = None
    container: Container | None = None
    snapshot: Snapshot


class RuleText(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A rule file as it was in force. ``sha256`` (hexadecimal) is that of its bytes, which ``text`` holds."""

    id: str
    name: str
    path: str
    sha256: str
    text: str


class Cited(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A record of the evidence stream: the text of a rule that raised an alert of an incident, or that one names."""

    timestamp: Time = msgspec.field(name="@timestamp")
    event: Meta
    incident: str
    rule: RuleText


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is said of a stream at one time. ``note`` is a signed note (C2SP tlog-checkpoint), lines ended by newlines.

    ``key`` (base64) is the public half of what signed it; ``segment`` is the one that it was in use for.
    """

    stream: str
    segment: int
    size: int
    key: str
    note: str


class Kept(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A record of the evidence stream: a checkpoint, as it was offered to the sinks."""

    timestamp: Time = msgspec.field(name="@timestamp")
    event: Meta
    message: str | None = None
    checkpoint: Checkpoint
