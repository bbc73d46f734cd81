"""The file that a process runs, by its magic link and never by its path: deleted, replaced or nameless, it is that one.

Whoever owns a FUSE mount may let us wait for as long as he likes, so on which filesystem the file lies is found out
before it is asked for anything. Read is what is a regular file on a filesystem that answers.
"""

# ruff: noqa: PTH115 - the calls go through descriptors, which pathlib does not know

import hashlib
import os
import stat
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from replguard.events import clock
from replguard.events.evidence import Image
from replguard.events.text import shorten
from replguard.kernel import beneath, mounts
from replguard.kernel.procfs import HELD, PROC, read, text
from replguard.weights.mounts import remote_reason

PATH = 512
"""Characters of a path that are kept, from both ends of a longer one: a path has up to 4 KiB, each byte an attack."""
HASHED = 256 * 2**20
"""Bytes of the largest image that is hashed, 0.3 s where the cache has it; those of model servers have 5 to 130 MiB."""
_CHUNK = 2**20
_TABLE = 8 * 2**20
"""Bytes of a mount table that are looked at: some 50,000 mounts."""
_GONE = b" (deleted)"

Note = Callable[[str], None]
"""Takes what is missing, a few words."""


def shown(path: bytes) -> str:
    """Return a path as a record has it."""
    return shorten(text(path if len(path) <= PATH else path[:PATH] + path[-PATH:]), PATH)


class Opened(NamedTuple):
    """An image that was found. ``descriptor`` (O_PATH) keeps it when its process is gone; None: it is not read."""

    shown: Image
    descriptor: int | None


def opened(held: int, note: Note) -> Opened:
    """Return the image of the process whose folder is held; the caller closes the descriptor. Raises OSError."""
    target = os.readlink(f"{HELD}/{held}/exe".encode())
    deleted = target.endswith(_GONE)
    path = target.removesuffix(_GONE)
    found = Image(path=shown(path), deleted=deleted)
    table = read(f"{HELD}/{held}/mountinfo", _TABLE) or b""
    on = mounts.over(table, path)
    if remote_reason(on) is not None:  # not even looked at: a look at a dead NFS server hangs
        return _unread(found, on, note)
    program = os.open(f"{HELD}/{held}/exe", os.O_PATH | os.O_CLOEXEC)
    try:
        mode, device = beneath.identity(program)
        on = _mount(program, table)
        if remote_reason(on) is None and (on is not None or device == _in_memory()) and stat.S_ISREG(mode):
            kept, program = program, -1
            return Opened(found, kept)
        return _unread(found, on, note)
    finally:
        if program >= 0:
            os.close(program)


def _unread(found: Image, on: mounts.Mount | None, note: Note) -> Opened:
    where = "no filesystem that is mounted" if on is None else f"a mount of the kind {shorten(on.kind, 40)}"
    note(f"not read: it is no regular file on a filesystem that surely answers, but lies on {where}")
    return Opened(found, None)


def _mount(descriptor: int, table: bytes) -> mounts.Mount | None:
    """Return the mount that an open file was opened on, by the kernel's own word: as the process or as we have it."""
    fields = (read(f"{PROC}/self/fdinfo/{descriptor}", 4096) or b"").split()
    if b"mnt_id:" not in fields:
        return None
    number = int(fields[fields.index(b"mnt_id:") + 1])
    return mounts.numbered(table, number) or mounts.numbered(read(f"{PROC}/self/mountinfo", _TABLE) or b"", number)


def _in_memory() -> int:
    """Return the device of files that were made by memfd_create, which are mounted nowhere."""
    made = os.memfd_create("image", os.MFD_CLOEXEC)
    try:
        return os.fstat(made).st_dev
    finally:
        os.close(made)


def hashed(found: Opened, note: Note, until: float) -> Image:
    """Return the image with what is known of its file, and hashed if that is done by then. Raises OSError."""
    if found.descriptor is None:
        return found.shown
    status = os.fstat(found.descriptor)
    sha256 = None
    if status.st_size > HASHED:
        note(f"not hashed: it has {status.st_size} bytes, and at most {HASHED} are read")
    else:
        sha256 = _sha256(found.descriptor, status.st_size, until)
        if sha256 is None:
            note("not hashed: it was not read to its end in time, or it changed meanwhile")
    return msgspec.structs.replace(
        found.shown, device=status.st_dev, inode=status.st_ino, size=status.st_size, sha256=sha256
    )


def _sha256(found: int, size: int, until: float) -> str | None:
    made, had, reader = hashlib.sha256(), 0, _reader(found)
    try:
        while had <= size and clock.monotonic() < until:
            chunk = os.read(reader, _CHUNK)
            if not chunk:
                return made.hexdigest() if had == size else None
            made.update(chunk)
            had += len(chunk)
    finally:
        os.close(reader)
    return None


def _reader(found: int) -> int:
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.open(f"{HELD}/{found}", flags | os.O_NOATIME)
    except PermissionError:  # the time of access is only its owner's, or root's, to leave alone
        return os.open(f"{HELD}/{found}", flags)
