"""Files that others start something from: what a path says about who will read it, and when."""

import contextlib
import hashlib
import os
import re
import stat
from itertools import islice
from pathlib import Path

from replguard import hostroot
from replguard.masking.mask import mask

LONGEST = 64 * 1024
"""Bytes of a file of commands that are read; none of the kind is longer."""
MOST_LISTS = 256
"""Files of commands of one folder that are read at the start."""
SHORTEST = 4
"""Characters from which a command is told from others."""
_UNIT = re.compile(
    r"/systemd/(?:system|user)(?:\.control)?/([^/]+)\.(?:service|timer|path|socket)(?:\.d/[^/]+\.conf)?$"
)
_COMMANDS = re.compile(
    r"^/etc/(?:cron(?:tab$|\.d/)|anacrontab$|supervisor|tmux\.conf$)|^/var/spool/(?:cron|at|atjobs)/"
)
_SHELL = re.compile(
    r"^(.*)/\.(?:bashrc|bash_profile|bash_login|profile|zshrc|zprofile|zshenv|zlogin|config/fish/config\.fish|ssh/rc)$"
)
_SHELLS_OF_ALL = re.compile(r"^/etc/(?:profile(?:\.d/[^/]+)?|bash\.bashrc|bashrc|zsh/[^/]+|zshrc|ssh/sshrc)$")
_INSTANCE = re.compile(r"@.*$")


def unit(path: str) -> str | None:
    """Return the unit, without its ending, of a unit file or a part of one; links that enable one are none."""
    found = _UNIT.search(path)
    return found[1] if found else None


def templates(name: str) -> tuple[str, ...]:
    """Return the names of the unit files that a unit may come from: its own, and its template's."""
    return (name, _INSTANCE.sub("@", name)) if "@" in name else (name,)


def shell_of(path: str) -> str | None:
    """Return whose shells read a file when they start: a home folder, '' for everybody's."""
    if _SHELLS_OF_ALL.match(path):
        return ""
    found = _SHELL.match(path)
    return found[1] if found else None


def has_commands(path: str) -> bool:
    """Whether this is a file of commands that a daemon reads, in a place that is root's: also a job of at."""
    return bool(_COMMANDS.match(path))


def is_table(path: str) -> bool:
    """Whether a file of commands is cron's."""
    return has_commands(path) and "cron" in path and "/at" not in path


def lists() -> dict[str, str]:
    """Return the files of commands that are there now, each with our way to it."""
    found = [Path("/etc/crontab"), Path("/etc/anacrontab"), Path("/etc/tmux.conf")]
    for folder in (
        "/etc/cron.d",
        "/var/spool/cron",
        "/var/spool/cron/crontabs",
        "/etc/supervisor",
        "/etc/supervisor/conf.d",
    ):
        with contextlib.suppress(OSError):
            inside = islice(Path(hostroot.path(folder)).iterdir(), MOST_LISTS)
            found += [Path(folder, path.name) for path in inside]
    there = [(path, Path(hostroot.path(str(path)))) for path in found]
    return {str(path): str(way) for path, way in there if has_commands(str(path)) and way.is_file()}


def lines(path: str) -> tuple[str, ...]:
    """Return the lines of a small regular file, () where it cannot be read: never waits, follows no link."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except (OSError, ValueError):
        return ()
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return ()
        text = os.read(descriptor, LONGEST).decode(errors="replace")
    except OSError:
        return ()
    finally:
        os.close(descriptor)
    said = (plain(line) for line in text.splitlines() if not line.lstrip().startswith("#"))
    return tuple(mask(line) for line in said if line)  # as the arguments are with which they will be compared


def plain(text: str) -> str:
    """Return a text with single blanks only."""
    return " ".join(text.split())


def mark(line: str) -> bytes:
    """Return what a line is remembered by."""
    return hashlib.blake2b(line.encode(errors="replace"), digest_size=8).digest()


def names(text: str, command: str, *, alone: bool = False) -> bool:
    """Whether a text contains a command as words of its own; one short word only at its end, if ``alone``."""
    if not command:
        return False
    telling = len(command) >= SHORTEST and (" " in command or "/" in command)
    at = text.find(command)
    while at >= 0:
        end = at + len(command)
        if (
            not _joins(text[at - 1 : at])
            and not _joins(text[end : end + 1])
            and (telling or (alone and end == len(text)))
        ):
            return True
        at = text.find(command, at + 1)
    return False


def _joins(sign: str) -> bool:
    return bool(sign) and (sign.isalnum() or sign in "_-./")
