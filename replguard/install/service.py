"""Installs and removes the service, step by step; each step tells what it did, left alone or could not do."""

import grp
import os
import pwd
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from replguard import wholefile
from replguard.install import manager, shipped

USER = "replguard"
"""Who judges and writes the log; its group has the same name."""
CONFIG = "etc/replguard/replguard.yaml"
KEPT = ("etc/replguard", "var/lib/replguard", "var/log/replguard")
"""What stays when the service is removed, unless it is purged: what the operator wrote, and the evidence."""
_LARGEST = 2**20


@dataclass(frozen=True, slots=True)
class Step:
    """What became of one thing, in a sentence."""

    state: Literal["done", "left", "failed"]
    text: str


class Service:
    """The service below a root. A ``dry`` one changes nothing, and tells what it would do.

    With another root than ``/`` (for packages) files and folders are all: no owner is set and systemd is not asked.
    """

    def __init__(self, root: Path, *, dry: bool) -> None:
        self._root, self._dry = root, dry
        self._host = root == Path("/")
        self._changed = False

    def install(self, python: str) -> Iterator[Step]:
        """Put everything in place that is not; ``python`` is the interpreter that the service runs with."""
        for name, text in shipped.files(python).items():
            yield self._file(self._root / name, text)
        if self._host:
            yield self._user()
        for name, (mode, user, group) in shipped.folders().items():
            yield self._folder(self._root / name, mode, (user, group))
        yield self._config()
        yield from self._start()

    def uninstall(self, *, purge: bool) -> Iterator[Step]:
        """Stop the service and remove what was installed; with ``purge`` configuration, state and log too."""
        asks = self._host and manager.runs() and os.path.lexists(self._root / f"etc/systemd/system/{shipped.UNIT}")
        if asks:
            yield self._ask("stopped and disabled the service", "systemctl", "disable", "--now", shipped.UNIT)
            self._do(lambda: manager.ask(["systemctl", "stop", *shipped.OTHERS]))  # they would a moment later
        for name in shipped.files(""):
            yield self._away(self._root / name, purge=purge)
        if asks and self._changed:
            yield self._ask("told systemd that the unit is gone", "systemctl", "daemon-reload")
        for name in KEPT:
            yield self._emptied(self._root / name, purge=purge)

    # -- files and folders ---------------------------------------------------------------------------------------

    def _file(self, path: Path, text: str) -> Step:
        """Write a file, but not over what somebody else wrote there or changed."""
        try:
            there = _read(path)
            if there == text:
                self._do(lambda: _tidy(path))
                return Step("left", f"{path}: is as it should be")
            if there is not None and not shipped.sealed(there):
                self._do(lambda: _write(_beside(path), text, 0o644))
                return Step("left", f"{path}: was changed here; what would be put there is {_beside(path)}")
            self._do(lambda: _write(path, text, 0o644))
            self._do(lambda: _tidy(path))
        except OSError as error:
            return _failed(path, error)
        self._changed = True
        return Step("done", f"{path}: {'written' if there is None else 'brought up to date'}")

    def _folder(self, path: Path, mode: int, names: tuple[str, str]) -> Step:
        """Make a folder, or give it back the mode and owner that it should have."""
        try:
            there = path.lstat() if os.path.lexists(path) else None
            if there is not None and not stat.S_ISDIR(there.st_mode):
                return Step("failed", f"{path}: is no folder; move it away and try again")
            owner = _ids(*names) if self._host else None
            fine = there is not None and stat.S_IMODE(there.st_mode) == mode
            if there is not None and fine and owner in (None, (there.st_uid, there.st_gid)):
                return Step("left", f"{path}: is as it should be")
            self._do(lambda: _make(path, mode, owner))
        except OSError as error:
            return _failed(path, error)
        return Step("done", f"{path}: {'made' if there is None else 'mode and owner put right'} ({mode:04o})")

    def _config(self) -> Step:
        path = self._root / CONFIG
        if os.path.lexists(path):
            return Step("left", f"{path}: is yours")
        try:
            self._do(lambda: _write(path, shipped.configuration(), 0o600))
        except OSError as error:
            return _failed(path, error)
        return Step("done", f"{path}: written; name your model folders in it")

    def _away(self, path: Path, *, purge: bool) -> Step:
        try:
            self._do(lambda: _tidy(path))
            if not os.path.lexists(path):
                return Step("left", f"{path}: is not there")
            if not purge and not shipped.sealed(_read(path) or ""):
                return Step("left", f"{path}: was changed here; remove it, or use --purge")
            self._do(path.unlink)
        except OSError as error:
            return _failed(path, error)
        self._changed = True
        return Step("done", f"{path}: removed")

    def _emptied(self, path: Path, *, purge: bool) -> Step:
        if not os.path.lexists(path):
            return Step("left", f"{path}: is not there")
        if not purge:
            return Step("left", f"{path}: kept (--purge removes it)")
        try:
            self._do(lambda: shutil.rmtree(path))
        except OSError as error:
            return _failed(path, error)
        return Step("done", f"{path}: removed, with all that was in it")

    # -- the system ----------------------------------------------------------------------------------------------

    def _user(self) -> Step:
        if all(_ids(USER, USER)):
            return Step("left", f"user and group {USER}: are there")
        words = ["systemd-sysusers", "/etc/sysusers.d/replguard.conf"]
        if shutil.which(words[0]) is None:
            words = ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", USER]
        return self._ask(f"user and group {USER}: made; whoever is in the group may read alerts and log", *words)

    def _start(self) -> Iterator[Step]:
        if not self._host:
            return
        if not manager.runs():
            yield Step("left", "the service: systemd does not run here; start `replguard run` by what does")
            return
        if self._changed:
            yield self._ask("told systemd of the unit", "systemctl", "daemon-reload")
        running = manager.ask(["systemctl", "is-active", "--quiet", shipped.UNIT]) is None
        if not running or manager.ask(["systemctl", "is-enabled", "--quiet", shipped.UNIT]) is not None:
            yield self._ask("enabled and started the service", "systemctl", "enable", "--now", shipped.UNIT)
        elif self._changed:
            yield self._ask("started the service anew", "systemctl", "restart", shipped.UNIT)
        else:
            yield Step("left", "the service: is enabled and runs")

    def _ask(self, done: str, *words: str) -> Step:
        if not self._dry and (why := manager.ask(words)) is not None:
            return Step("failed", f"`{' '.join(words)}` failed: {why}")
        return Step("done", done)

    def _do(self, change: Callable[[], object]) -> None:
        if not self._dry:
            change()


def _read(path: Path) -> str | None:
    """Return what stands in a file, None where there is none. A link or anything else is somebody's, and not read."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return ""
        with path.open("rb") as file:
            return file.read(_LARGEST).decode(errors="replace")
    except FileNotFoundError:
        return None


def _write(path: Path, text: str, mode: int) -> None:
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    wholefile.write(path, text.encode(), flush=True)
    path.chmod(mode)


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.new")


def _tidy(path: Path) -> None:
    """Remove what was written beside a file that was changed, unless that was changed too."""
    if shipped.sealed(_read(_beside(path)) or ""):
        _beside(path).unlink()


def _make(path: Path, mode: int, owner: tuple[int, int] | None) -> None:
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)
    if owner is not None and path.stat().st_uid != owner[0]:  # what an earlier version wrote goes with it
        for folder, folders, files in os.walk(path):
            for name in (*folders, *files):
                os.chown(Path(folder) / name, *owner, follow_symlinks=False)
    if owner is not None:
        os.chown(path, *owner, follow_symlinks=False)
    path.chmod(mode)


def _ids(user: str, group: str) -> tuple[int, int]:
    """Return the numbers of a user and a group; root's where there is none."""
    try:
        uid = pwd.getpwnam(user).pw_uid
    except KeyError:
        uid = 0
    try:
        return uid, grp.getgrnam(group).gr_gid
    except KeyError:
        return uid, 0


def _failed(path: Path, error: OSError) -> Step:
    return Step("failed", f"{path}: {error.strerror or error}")
