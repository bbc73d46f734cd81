"""The host: shutdowns that are scheduled or have begun, and filesystems that are mounted, once a second.

What it cannot see: a shutdown by a direct call to the kernel, or without systemd; one that is scheduled and cancelled
within a second; mounts in other mount namespaces; who did either.
"""

import os
from collections.abc import Iterable, Iterator
from datetime import datetime

import msgspec

from replguard import hostroot
from replguard.config import Config
from replguard.events import clock
from replguard.events.event import Event
from replguard.events.fact import Context
from replguard.events.file import File
from replguard.events.process import Process
from replguard.kernel import procfs
from replguard.kernel.mounts import PSEUDO, Mount, mounts
from replguard.kernel.procfs import PROC, text
from replguard.sensors.base import Timed
from replguard.sensors.files.sections import file_section, lstat

AREA = "host"
SCHEDULED = "/run/systemd/shutdown/scheduled"
"""Written by systemd-logind for ``shutdown -h +5``; keys USEC, WARN_WALL, MODE (poweroff, reboot, halt, kexec)."""
NOLOGIN = "/run/nologin"
"""Written by systemd when logins end: five minutes before a scheduled shutdown, or when one begins."""
AT_READ = Context(tier="portable", read_time=True)


class HostSensor(Timed):
    """Makes host_shutdown (status scheduled, cancelled or begun) and host_mount."""

    name = "host"
    area = AREA
    period = 1.0
    blind = "what schedules a shutdown without systemd, and mounts in other mount namespaces."

    def __init__(self, scheduled: str | None = None, nologin: str | None = None, root: str = PROC) -> None:
        super().__init__()
        self._scheduled, self._nologin = scheduled or hostroot.path(SCHEDULED), nologin or hostroot.path(NOLOGIN)
        self._root = root
        self._plan: bytes | None = None
        self._begun = False
        self._mounts: dict[int, Mount] | None = None

    def poll(self) -> Iterable[Event]:
        first = self._mounts is None
        yield from self._shutdowns("state" if first else "event")
        yield from self._mounted()

    def _shutdowns(self, kind: str) -> Iterator[Event]:
        before, self._plan = self._plan, procfs.read(self._scheduled, 4096)
        if self._plan is not None and self._plan != before:
            keys = dict(line.split("=", 1) for line in text(self._plan).splitlines() if "=" in line)
            when = _moment(keys.get("USEC", ""))
            at = f" for {when:%Y-%m-%d %H:%M:%S} UTC" if when else ""
            yield self._shutdown("scheduled", f"{keys.get('MODE', 'shutdown')} is scheduled{at}", kind)
        elif self._plan is None and before is not None:
            yield self._shutdown("cancelled", "a scheduled shutdown was cancelled", kind)
        begun = procfs.read(self._nologin, 256) is not None
        if begun and not self._begun:
            yield self._shutdown("begun", "logins have ended: a shutdown is near", kind)
        self._begun = begun

    def _shutdown(self, status: str, message: str, kind: str) -> Event:
        context = Context(tier="portable", status=status, read_time=True)
        return self.event("host_shutdown", clock.now(), kind=kind, message=message, replguard=context)

    def _mounted(self) -> Iterator[Event]:
        listed = mounts(hostroot.pid(), self._root)
        if listed is None:
            return
        before, self._mounts = self._mounts, {mount.id: mount for mount in listed}
        for mount in listed if before is not None else ():
            known = (before or {}).get(mount.id)
            if known is not None and (known.path, known.source, known.root) == (mount.path, mount.source, mount.root):
                continue
            if mount.kind in PSEUDO:
                self.counters.skip()
                continue
            yield self._mount(mount, listed)

    def mounter(self, mount: Mount) -> Process | None:  # noqa: ARG002 - nobody tells it on this tier
        """Return the process that mounted, where a source names it."""
        return None

    def _mount(self, mount: Mount, listed: list[Mount]) -> Event:
        path = text(mount.path)
        bind = "" if mount.root == "/" else f", of it {mount.root}"
        process = self.mounter(mount)
        about = Context(tier=self.mode, source=mount.source, technique=mount.kind, read_time=True)
        return self.event(
            "host_mount",
            clock.now(),
            message=f"{mount.kind} {mount.source}{bind} is mounted at {path}",
            file=File(path=path, name=path.rpartition("/")[2]) if mount.remote else _file(mount, listed),
            process=process,
            replguard=msgspec.structs.replace(about, attribution="kernel") if process is not None else about,
        )


def _file(mount: Mount, listed: list[Mount]) -> File:
    """Return what a mount point shows now: of a bind mount, the very inode that is bound, and its path before."""
    way = os.fsencode(hostroot.Host.root)
    found = lstat(way + mount.path)
    section = file_section(mount.path, found)
    for other in listed:
        path = _within(other, mount)
        origin = lstat(way + path) if path is not None else None
        if origin is not None and found is not None and os.path.samestat(origin, found):
            return msgspec.structs.replace(section, target_path=text(path or b""))
    return section


def _within(other: Mount, mount: Mount) -> bytes | None:
    """Return the path at which another mount of the same filesystem shows what ``mount`` shows, if it does."""
    base = other.root.rstrip("/") + "/"
    if other.id == mount.id or other.device != mount.device or not f"{mount.root}/".startswith(base):
        return None
    path = other.path.rstrip(b"/") + b"/" + os.fsencode(mount.root[len(base) :])
    return None if path == mount.path else path.rstrip(b"/") or b"/"


def _moment(microseconds: str) -> datetime | None:
    try:
        return datetime.fromtimestamp(int(microseconds) / 1e6, clock.now().tzinfo)
    except (ValueError, OverflowError, OSError):
        return None


def open(config: Config) -> HostSensor:  # noqa: A001, ARG001 - the registry calls every sensor module alike
    """Return the sensor."""
    return HostSensor()
