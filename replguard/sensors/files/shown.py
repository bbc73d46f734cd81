"""An act on a file as the sections of an event: the path as the process saw it, the rest from where we reach it."""

# ruff: noqa: PTH115, PTH118, PTH119, PTH120 - paths are bytes here: names need not be text

import os

import msgspec

from replguard.events.fact import Context
from replguard.events.file import File
from replguard.kernel.procfs import text
from replguard.sensors.files.sections import file_section
from replguard.sensors.files.written import Act

TOLD = Context(tier="kernel", attribution="kernel", read_time=True)
NOBODY = Context(tier="kernel", read_time=True)


def section(act: Act) -> File:
    """Return the ``file`` section of an act."""
    file = file_section(act.access, act.found, act.previous)
    if act.found is None and act.key is not None:
        file = msgspec.structs.replace(file, device=act.key[0], inode=act.key[1])
    if act.path == act.access:
        return file
    target = _target(act) if file.type == "symlink" else None
    return msgspec.structs.replace(file, path=text(act.path), name=text(os.path.basename(act.path)), target_path=target)


def context(act: Act, *, known: bool) -> Context:
    """Return the context of an act; ``known``: the kernel named the process."""
    if act.path == act.access:
        return TOLD if known else NOBODY
    return msgspec.structs.replace(TOLD if known else NOBODY, host_path=text(act.access))


def _target(act: Act) -> str | None:
    """Return where a symlink of another namespace leads there; links on the way are not followed."""
    try:
        return text(os.path.normpath(os.path.join(os.path.dirname(act.path), os.readlink(act.access))))
    except (OSError, ValueError):
        return None
