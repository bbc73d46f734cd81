"""Where to look for files: what is configured or usual, the weights themselves, and where persistence is planted."""

# ruff: noqa: PTH111, PTH113, PTH118, PTH120 - paths are bytes here: names need not be text

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from replguard.config import Config
from replguard.kernel import procfs
from replguard.weights.patience import Patience

USUAL = ("/home", "/root", "/tmp", "/var/tmp", "/dev/shm", "/srv", "/data", "/opt", "/mnt", "/models")  # noqa: S108
"""Watched with all below when ``watch.paths`` is empty."""
_PERSISTENCE = (
    *("/etc/systemd/system", "/etc/systemd/user", "/usr/lib/systemd/system", "/lib/systemd/system"),
    *("/run/systemd/transient", "/etc/init.d", "/etc/profile.d", "/etc/sudoers.d", "/etc/xdg/autostart"),
    *("/etc/cron.d", "/etc/cron.hourly", "/etc/cron.daily", "/etc/cron.weekly", "/etc/cron.monthly"),
    *("/var/spool/cron", "/var/spool/at", "/etc/supervisor", "/etc/supervisord.d"),
)
_PERSISTENCE_FLAT = ("/etc", "/etc/ssh")
_PERSISTENCE_HOME = (".config/systemd/user", ".config/autostart", ".ssh")
SHELL_FILES = frozenset(
    b".profile .bashrc .bash_profile .bash_login .zshrc .zprofile .zshenv .xprofile .xsessionrc".split()
)
"""Files in a home folder that run at login."""
_MOST_HOMES = 200


@dataclass(frozen=True, slots=True)
class Root:
    """A folder to watch, its path resolved. ``important``: a write there always deserves a look at who did it."""

    path: bytes
    recursive: bool = True
    important: bool = False


def roots(config: Config, passwd: str = "/etc/passwd") -> Iterator[Root]:  # noqa: S107 - a path
    """Yield the folders to watch, what matters most first. They need not exist.

    One on a disk that does not answer is left out: to watch it would hang. The inventory tells of it.
    """
    yield from _answering(config.weights.paths + config.weights.scaffolds, _around)
    manifest = _real(config.manifest)
    for folder in (os.path.dirname(manifest), os.path.join(os.path.dirname(manifest), b"manifest.d")):
        yield Root(folder, recursive=False, important=True)
    for path in config.rules.paths:
        yield Root(_real(path), important=True)
    for place in _PERSISTENCE:
        yield Root(_real(place), important=True)
    for place in _PERSISTENCE_FLAT:
        yield Root(_real(place), recursive=False, important=True)
    for home in _homes(passwd):
        yield Root(_real(home), recursive=False)
        for place in _PERSISTENCE_HOME:
            yield Root(_real(os.path.join(home, place.encode())), important=True)
    yield from _answering(config.watch.paths or USUAL, lambda path: Root(_real(path)))


def own(config: Config) -> frozenset[bytes]:
    """Return the folders and files that we write ourselves: watching them would answer each event with another."""
    sinks = (str(options["path"]) for options in config.sinks.values() if options and options.get("path"))
    return frozenset(_real(path) for path in (config.log.dir, config.state_dir, *sinks))


def _answering(paths: Iterable[str], look: Callable[[str], Root]) -> Iterator[Root]:
    patience = Patience()
    found = (patience.look(path, partial(look, path)) for path in paths)
    return (root for root in found if root is not None)


def _around(path: str) -> Root:
    """Return a folder, or the folder of a file."""
    real = _real(path)
    return Root(os.path.dirname(real), False, True) if os.path.isfile(real) else Root(real, True, True)


def _real(path: str | bytes) -> bytes:
    return os.path.realpath(os.fsencode(path))


def _homes(passwd: str) -> Iterable[bytes]:
    found: dict[bytes, None] = {os.fsencode(os.path.expanduser("~")): None}
    for line in (procfs.read(passwd, 1 << 20) or b"").split(b"\n"):
        fields = line.split(b":")
        if len(fields) > 5 and fields[5].startswith((b"/home/", b"/root", b"/var/lib/", b"/srv/", b"/opt/")):
            found[fields[5]] = None
    return [home for home in list(found)[:_MOST_HOMES] if len(home) > 1]
