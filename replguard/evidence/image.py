"""The file that a process runs, by its magic link and never by its path: deleted, replaced or nameless, it is that one.

Whoever owns a FUSE mount may let us wait for as long as he likes, so on which filesystem the file lies is found out
before it is asked for anything. Read is what is a regular file on a filesystem that answers. Of an overlay that is
known of such alone as are mounted here too, where root made them: in a namespace of his own anybody lays one over his
server, and the folders that its options name are what he likes.
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
from replguard.masking.mask import mask
from replguard.weights.mounts import remote_reason

PATH = 512
"""Characters of a path that are kept, from both ends of a longer one: a path has up to 4 KiB, each byte an attack."""
HASHED = 256 * 2**20
"""Bytes of the largest image that is hashed, 0.3 s where the cache has it; those of model servers have 5 to 130 MiB."""
_CHUNK = 2**20
_TABLE = 8 * 2**20
"""Bytes of a mount table that are looked at: some 50,000 mounts."""
_OURS = 0.05
"""Seconds for our own table, where it is needed besides that of the process."""
_GONE = b" (deleted)"

Note = Callable[[str], None]
"""Takes what is missing, a few words."""


def shown(path: bytes) -> str:
    """Return a path as a record has it: without credentials, which may be names too, and not too long."""
    return shorten(mask(text(path)), PATH)


class Opened(NamedTuple):
    """An image that was found. ``descriptor`` (O_PATH) keeps it when its process is gone; None: it is not read."""

    shown: Image
    descriptor: int | None


def opened(held: int, note: Note, until: float) -> Opened:
    """Return the image of the process whose folder is held; the caller closes the descriptor. Raises OSError.

    Of a mount table that is not told by then the first lines must do: what a namespace began with stands first.
    """
    target = os.readlink(f"{HELD}/{held}/exe".encode())
    deleted = target.endswith(_GONE)
    path = target.removesuffix(_GONE)
    found = Image(path=shown(path), deleted=deleted)
    table = mounts.table(held, HELD, until, _TABLE)
    on = mounts.over(table.lines, path)
    if remote_reason(on) is not None:  # not even looked at: a look at a dead NFS server hangs
        return _unread(found, on, table, note)
    program = os.open(f"{HELD}/{held}/exe", os.O_PATH | os.O_CLOEXEC)
    try:
        on = _mount(program, table.lines)
        if _answers(on):
            mode, device = beneath.identity(program)
            if stat.S_ISREG(mode) and (on is not None or device == _in_memory()):
                kept, program = program, -1
                return Opened(found, kept)
        return _unread(found, on, table, note)
    finally:
        if program >= 0:
            os.close(program)


def _unread(found: Image, on: mounts.Mount | None, table: mounts.Table, note: Note) -> Opened:
    if on is not None:
        where = f"a mount of the kind {shorten(on.kind, 40)}"
    elif table.whole:
        where = "no filesystem that is mounted"
    else:
        where = "one of more mounts than could be looked through"
    note(f"not read: it is no regular file on a filesystem that surely answers, but lies on {where}")
    return Opened(found, None)


def _answers(on: mounts.Mount | None) -> bool:
    """Tell whether a mount, as far as it is known, is none that waits for a server, nor lies over one."""
    if on is None or on.kind != "overlay":
        return remote_reason(on) is None
    ours = mounts.table("self", PROC, clock.monotonic() + _OURS, _TABLE)
    return ours.whole and layers_answer(ours.lines, on.device)


def layers_answer(ours: bytes, device: str, above: frozenset[str] = frozenset()) -> bool:
    """Tell whether our own table of mounts has an overlay with this device, and all that it lies over answers.

    ``above`` are the devices of overlays whose layers are looked at already.
    """
    overlay = mounts.of_device(ours, device)
    if overlay is None or overlay.kind != "overlay" or not overlay.layers:
        return False
    above |= {device}
    for under in {mounts.over(ours, layer) for layer in overlay.layers}:
        if under is None or remote_reason(under) is not None:
            return False
        if under.kind == "overlay" and under.device not in above and not layers_answer(ours, under.device, above):
            return False
    return True


def _mount(descriptor: int, table: bytes) -> mounts.Mount | None:
    """Return the mount that an open file was opened on, by the kernel's own word: as the process or as we have it."""
    fields = (read(f"{PROC}/self/fdinfo/{descriptor}", 4096) or b"").split()
    if b"mnt_id:" not in fields:
        return None
    number = int(fields[fields.index(b"mnt_id:") + 1])
    found = mounts.numbered(table, number)
    if found is None:
        ours = mounts.table("self", PROC, clock.monotonic() + _OURS, _TABLE)
        found = mounts.numbered(ours.lines, number)
    return found


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
