"""Keeps copies of what last worked, so that a broken file never ends the watch of a running or restarted service."""

import shutil
from collections.abc import Iterable
from pathlib import Path

import msgspec
import structlog

from replguard.config import Config, dec_hook, enc_hook
from replguard.events import wire

_log = structlog.get_logger(__name__)


class LastGood:
    """A folder of copies, written whole and replaced whole. Trouble with it is logged: it must not stop anything."""

    def __init__(self, state_dir: Path) -> None:
        self._folder = state_dir / "last-good"

    def exists(self) -> bool:
        """Whether anything was ever kept: what cannot be looked at counts as a trace of it."""
        try:
            return self._folder.exists()
        except OSError:
            return True

    def keep_config(self, config: Config) -> None:
        """Keep a configuration that was free of problems."""
        try:
            self._make()
            temporary = self._folder / "config.new"
            temporary.write_bytes(msgspec.json.encode(config, enc_hook=enc_hook))
            temporary.replace(self._folder / "config.json")
        except OSError as error:
            _log.warning("cannot keep the last good configuration", reason=str(error))

    def _make(self) -> None:
        """Make the folder, for its owner only: a sink's headers may hold a password."""
        self._folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder.mkdir(exist_ok=True)
        self._folder.chmod(0o700)

    def config(self) -> Config | None:
        """Return the configuration kept last, None if there is none that can be read."""
        try:
            return msgspec.json.decode((self._folder / "config.json").read_bytes(), type=Config, dec_hook=dec_hook)
        except (OSError, *wire.UNREADABLE, ValueError):
            return None

    def keep_files(self, name: str, files: Iterable[Path]) -> None:
        """Keep copies of files (a manifest, the operator's rules) that were free of problems."""
        temporary, final = self._folder / f"{name}.new", self._folder / name
        try:
            self._make()
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()
            for number, file in enumerate(files):
                shutil.copyfile(file, temporary / f"{number:03}-{file.name}")
            shutil.rmtree(final, ignore_errors=True)
            temporary.rename(final)
        except OSError as error:
            _log.warning("cannot keep the last good files", what=name, reason=str(error))

    def has(self, name: str) -> bool:
        """Whether copies were ever kept: none is as good an answer as some."""
        return (self._folder / name).is_dir()

    def files(self, name: str) -> list[Path]:
        """Return the copies kept last, in the order of the originals."""
        return sorted((self._folder / name).glob("*")) if (self._folder / name).is_dir() else []


def in_force(*, good: bool) -> str:
    """Return what is in force in the place of what is broken, in a sentence; ``good``: a last good one was kept."""
    return "the last good one stays in force" if good else "there is no last good one, so the rest is in force"


def state_dir_of(path: Path) -> Path:
    """Return the state folder that a broken configuration file names, as well as can be told, else the default."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, colon, value = line.partition(":")
        if colon and key.strip() == "state_dir" and value.strip():
            return Path(value.split("#")[0].strip().strip("'\""))
    return Path(Config().state_dir)
