"""Who a process is: everything that a sensor binds to an event, read once from ``/proc``.

Names of users come from /etc/passwd only: asking LDAP could block a sensor for as long as the network is down.
"""

# ruff: noqa: PTH116, PTH120 - pathlib costs more than the calls it wraps, and knows no bytes

import os
from collections import OrderedDict
from datetime import datetime, timedelta

from replguard import hostroot
from replguard.events import clock
from replguard.events.identity import TICK, entity_ids
from replguard.events.process import Parent, Process, User
from replguard.kernel import machine, procfs
from replguard.kernel.procfs import PROC, Stat
from replguard.sensors.processes import argv

_DRIFT = timedelta(seconds=0.5)
"""The wall clock was set when the computed time of boot moves by more."""
_INVOKED_CACHE = 2048
_TRIES = 3
_DIGITS = 10
"""Of a uid, at the most."""
_FOLDERS = ("/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin", "/sbin", "/usr/local/sbin")


class Describer:
    """Describes processes of one machine. One for each sensor: it is not shared between threads."""

    def __init__(self, root: str = PROC, users: str | None = None) -> None:
        self.root = root
        self.machine = machine.machine_id()
        self.boot = machine.boot_id(root)
        self._entity = entity_ids(self.machine, self.boot)
        self._booted = clock.now() - timedelta(seconds=clock.since_boot())
        self._users = _Users(users or hostroot.path("/etc/passwd"))
        self._invoked: OrderedDict[tuple[str, str], str | None] = OrderedDict()

    def entity(self, pid: int, start_ticks: int) -> str:
        """Return the entity id of a process."""
        return self._entity(pid, start_ticks)

    def started(self, start_ticks: int) -> datetime:
        """Return when a process started, to the 10 ms that the kernel tells."""
        booted = clock.now() - timedelta(seconds=clock.since_boot())
        if abs(booted - self._booted) > _DRIFT:
            self._booted = booted
        return self._booted + timedelta(seconds=start_ticks * TICK)

    def brief(self, pid: int) -> Process | None:
        """Return pid and entity id only."""
        stat = procfs.stat(pid, self.root)
        return None if stat is None else Process(pid=pid, entity_id=self.entity(pid, stat.start_ticks))

    def describe(self, pid: int, stat: Stat | None = None, parent: Parent | None = None) -> Process | None:
        """Return all that can be known of a process, None if it is gone.

        The stat line is read again at the end: what was read in between belongs to this process and no later one,
        and to one image. A process in the middle of exec has no arguments for a moment.
        """
        stat = stat or procfs.stat(pid, self.root)
        for _ in range(_TRIES):
            if stat is None:
                return None
            described = self._describe(pid, stat, parent)
            again = procfs.stat(pid, self.root)
            if again is None or again.start_ticks != stat.start_ticks:
                return None
            if (again.image, again.comm) == (stat.image, stat.comm):
                return described
            stat = again
        return described

    def _describe(self, pid: int, stat: Stat, parent: Parent | None) -> Process:
        root = self.root
        args, cut = argv.read(pid, root)
        image = procfs.exe(pid, root)
        folder = procfs.cwd(pid, root)
        path = image[0] if image else None
        pipes_in, pipes_out = procfs.pipes(pid, root) or (None, None)
        invocation, trigger = procfs.unit_run(pid, root)
        return Process(
            pid=pid,
            entity_id=self.entity(pid, stat.start_ticks),
            start=self.started(stat.start_ticks),
            executable=path,
            invoked=self._asked_for(pid, args, path, folder),
            name=stat.comm,
            args=args,
            args_truncated=cut,
            command_line=" ".join(args) if args else None,
            working_directory=folder,
            interactive=stat.tty != 0 and stat.foreground == stat.pgrp,
            tty=stat.tty or None,
            session_id=stat.session,
            group_id=stat.pgrp,
            audit_session=procfs.sessionid(pid, root),
            cgroup=procfs.cgroup(pid, root),
            invocation_id=invocation,
            trigger=trigger,
            pipes_in=pipes_in,
            pipes_out=pipes_out,
            parent=parent or self.parent(stat),
        )

    def parent(self, child: Stat) -> Parent | None:
        """Return the parent of a process; one younger than its child took over the pid of the real one."""
        if child.ppid == 0:
            return None
        stat = procfs.stat(child.ppid, self.root)
        if stat is None or stat.start_ticks > child.start_ticks:
            return Parent(pid=child.ppid)
        args, _ = argv.read(child.ppid, self.root)
        image = procfs.exe(child.ppid, self.root)
        return Parent(
            pid=child.ppid,
            entity_id=self.entity(child.ppid, stat.start_ticks),
            executable=image[0] if image else None,
            command_line=" ".join(args) if args else None,
            name=stat.comm,
        )

    def user(self, pid: int) -> User | None:
        """Return who a process runs as (its effective user), and who logged in."""
        status = procfs.status(pid, self.root)
        if status is None:
            return None
        return self.named(status.effective_uid, procfs.loginuid(pid, self.root))

    def named(self, uid: int, audit: int | None) -> User:
        """Return a user by id, and who logged in."""
        return User(id=uid, name=self._users.name(uid), audit=audit)

    def _asked_for(self, pid: int, args: tuple[str, ...], path: str | None, folder: str | None) -> str | None:
        """Return the path that was executed, where argv names it.

        argv[0] is the caller's free choice: it counts only when it leads to the image that runs. Where the image is
        hidden from us, an absolute argv[0] is all there is.
        """
        if not args or not args[0]:
            return None
        asked = args[0].removeprefix("-")
        if path is None:
            return asked if asked.startswith("/") else None
        key = (asked if not asked.startswith(".") else f"{folder}/{asked}", path)
        if key not in self._invoked:
            self._invoked[key] = self._resolve(pid, asked, path, folder)
            while len(self._invoked) > _INVOKED_CACHE:
                self._invoked.popitem(last=False)
        return self._invoked[key]

    def _resolve(self, pid: int, asked: str, path: str, folder: str | None) -> str | None:
        if "/" in asked:
            candidates = [asked if asked.startswith("/") else os.path.normpath(f"{folder or '/'}/{asked}")]
        else:
            candidates = [f"{place}/{asked}" for place in (os.path.dirname(path), *_FOLDERS)]
        try:
            image = os.stat(f"{self.root}/{pid}/exe")
        except OSError:
            return None
        for candidate in candidates:
            try:
                found = os.stat(f"{self.root}/{pid}/root{candidate}")
            except (OSError, ValueError):
                continue
            if (found.st_dev, found.st_ino) == (image.st_dev, image.st_ino):
                return candidate
        return None


class _Users:
    """Names by uid from a passwd file, read again when it changes."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._version: tuple[int, int] | None = None
        self._names: dict[int, str] = {}

    def name(self, uid: int) -> str | None:
        try:
            found = os.stat(self._path)
        except OSError:
            return self._names.get(uid)
        version = (found.st_mtime_ns, found.st_ino)
        if version != self._version:
            self._version = version
            self._names = dict(reversed(list(self._read())))
        return self._names.get(uid)

    def _read(self) -> list[tuple[int, str]]:
        lines = (procfs.read(self._path, 1 << 22) or b"").split(b"\n")
        fields = (line.split(b":") for line in lines)
        return [
            (int(f[2]), procfs.text(f[0])) for f in fields if len(f) > 2 and f[2].isdigit() and len(f[2]) <= _DIGITS
        ]
