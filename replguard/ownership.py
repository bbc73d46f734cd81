"""Whether a folder is ours alone: what others can write to proves nothing, and what they put there leads us astray.

A log that somebody else can replace, or keys and a last good configuration that they can plant, are worse than none.
"""

import functools
import os
import pwd
import stat
from collections.abc import Collection
from pathlib import Path

SERVICE = "replguard"
"""The user who judges and writes the log, where the service is installed: what is its own is ours."""
_LINKS = 40
"""Links on the way at most, as the kernel has it."""
_PEOPLE = 1000
"""The first number of a group of people; those below are the system's."""


def doubt(folder: Path, trusted: Collection[int] = ()) -> str | None:
    """Return in a sentence how others could change what lies in a folder, and what to do about it, or None.

    Root, we ourselves, the service's user and the users ``trusted`` are no others, nor are their groups of the same
    number. Above the folder neither are groups of the system (/var/log is syslog's on some), nor anybody where only
    owners may rename (/tmp).
    What is not there yet, or hidden from us, is left to whoever makes or opens it.
    """
    ours = {0, os.geteuid(), *_service(), *trusted}
    at, rest, links = Path("/"), _parts(Path.cwd() / folder), 0
    while links <= _LINKS:
        try:
            status = at.lstat()
            target = at.parent / at.readlink() if stat.S_ISLNK(status.st_mode) else None
        except OSError:
            return None
        if (wrong := _wrong(at, status, ours, last=not rest)) is not None:
            return wrong
        if target is not None:
            at, rest, links = Path("/"), rest + _parts(target), links + 1
        elif rest:
            part = rest.pop()
            at = at.parent if part == ".." else at / part
        else:
            return None
    return f"{folder} lies behind more than {_LINKS} links: name the folder itself"


@functools.cache
def _service() -> tuple[int, ...]:
    try:
        return (pwd.getpwnam(SERVICE).pw_uid,)
    except KeyError:
        return ()


def _parts(path: Path) -> list[str]:
    """Return the names on the way from the root, the next one last."""
    return list(reversed(path.parts[1:]))


def _wrong(at: Path, status: os.stat_result, ours: Collection[int], *, last: bool) -> str | None:
    """Return what is wrong with one folder or link on the way."""
    link = stat.S_ISLNK(status.st_mode)
    if status.st_uid not in ours:
        kind = "is a link that belongs" if link else "belongs"
        return (
            f"{at} {kind} to user {status.st_uid}, who can change what is in it: make it root's (chown) or name another"
        )
    group = status.st_mode & stat.S_IWGRP and status.st_gid not in ours and (last or status.st_gid >= _PEOPLE)
    others = status.st_mode & stat.S_IWOTH
    if link or not (group or others) or (status.st_mode & stat.S_ISVTX and not last):
        return None
    who = "everybody" if others else f"group {status.st_gid}"
    return f"{at} can be written to by {who}, who can change what is in it: chmod go-w it, or name another"
