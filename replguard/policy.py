"""What the operator said: configuration and manifest, and the last good ones where one is broken."""

import os
import shutil
import tempfile
import weakref
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import msgspec

from replguard import changes, ownership
from replguard.config import DEFAULT_PATH, Config, load
from replguard.errors import ConfigError, Problem
from replguard.events.event import Event, Meta
from replguard.events.fact import Context
from replguard.events.file import File
from replguard.lastgood import LastGood, in_force, state_dir_of
from replguard.provenance import manifest as manifests
from replguard.provenance.baseline import UNSEEN


class Policy:
    """Reads both, keeps the last good, and tells what changed. The rules are the analyser's (`Rulebook`).

    ``problems`` holds what is wrong now. With ``strict`` (a person at a terminal) any problem raises ConfigError; a
    service goes on with the last good one, because a broken file must not end the watch. ``unsafe`` holds which of our
    folders others can change: with ``strict`` that is such a problem, a service keeps its state in a folder that it
    makes for this run alone. ``first``: nothing good was ever kept here. ``more`` finds faults in what others read.
    """

    def __init__(
        self, path: Path | None, *, strict: bool, more: Callable[[Config], list[Problem]] = lambda _: []
    ) -> None:
        self.path = path
        self.problems: list[Problem] = []
        self.unsafe: list[Problem] = []
        self.first = False
        self.config = self._config(strict=strict)
        self._kept = LastGood(Path(self.config.state_dir))
        self.manifest, unread = manifests.load(Path(self.config.manifest))
        if strict and (wrong := unread + more(self.config)):
            raise ConfigError(wrong)
        self.problems += unread
        self._good = self._fall_back(broken=bool(unread))
        self._keep()
        self._print = self._fingerprint()

    @property
    def in_force(self) -> str:
        """What is in force in the place of what is broken, in a sentence."""
        return in_force(good=self._good)

    def changed(self) -> bool:
        """Whether any file differs from what was read last; cheap enough to ask every few seconds."""
        return self._fingerprint() != self._print

    def reload(self) -> str:
        """Read the manifest again, all or nothing. Returns what changed in a sentence, '' for nothing.

        The configuration takes effect at the next start; whether it would load is checked now.
        """
        self._print = self._fingerprint()
        problems: list[Problem] = []
        try:
            load(self.path)
        except ConfigError as error:
            problems += error.problems
        manifest, wrong = manifests.load(Path(self.config.manifest))
        self.problems = problems + wrong
        if self.problems:
            return ""
        text = manifests.difference(self.manifest, manifest)
        self._good = True
        self.manifest = manifest
        self._keep()
        return f"manifest: {text}" if text else ""

    def change(self, what: str, difference: str, now: datetime, by: str | None = None) -> Event:
        """Return the fact that what is allowed has changed, in the file ``by`` where it is not one of ours."""
        newest = changes.newest(self._files())
        path = by if by is not None or newest is None else str(newest.absolute())
        return Event(
            timestamp=now,
            event=Meta(action="authority_change", kind="enrichment", provider="replguard"),
            # The kernel tells whole paths: by them who wrote the file is found.
            file=File(path=path) if what == "policy" and path is not None else None,
            replguard=Context(actor=UNSEEN, attribution="unknown", difference=f"{what}: {difference}", source=what),
        )

    def _config(self, *, strict: bool) -> Config:
        try:
            config = load(self.path)
        except ConfigError as error:
            state = state_dir_of(self.path or DEFAULT_PATH)
            kept = None if strict or self.doubt(state) else LastGood(state).config()
            if kept is None:
                raise
            self.problems = error.problems
            return self._ours(kept, strict=strict)
        config = self._ours(config, strict=strict)
        last = LastGood(Path(config.state_dir))
        self.first = not last.exists()
        last.keep_config(config)
        return config

    def doubt(self, folder: Path) -> str | None:
        """Return how others could change what lies in a folder, None if they cannot."""
        return ownership.doubt(folder, operators(self.path))

    def look(self) -> list[Problem]:
        """Note which of the configured folders others can change now, and return those that they could not before."""
        before = self.unsafe
        self.unsafe = unsafe(self.path, msgspec.structs.replace(self.config, state_dir=self._state_dir))
        return [problem for problem in self.unsafe if problem not in before]

    def _ours(self, config: Config, *, strict: bool) -> Config:
        """Return a configuration whose state nobody else can plant."""
        self.config, self._state_dir = config, config.state_dir
        if strict and self.look():
            raise ConfigError(self.unsafe)
        if self.doubt(Path(config.state_dir)) is None:
            return config
        try:
            apart = tempfile.mkdtemp(prefix="replguard-", dir=_runtime())
        except OSError:
            apart = f"{os.devnull}/nowhere"  # each of our stores goes on without a disk
        weakref.finalize(self, shutil.rmtree, apart, ignore_errors=True)
        return msgspec.structs.replace(config, state_dir=apart)

    def _fall_back(self, *, broken: bool) -> bool:
        """Take the last good manifest for a broken one; False if there is none."""
        if broken and self._kept.has("manifest"):
            self.manifest, broken = manifests.load_files(self._kept.files("manifest"))[0], False
        return not broken

    def _keep(self) -> None:
        if not self.problems:
            self._kept.keep_files("manifest", manifests.files(Path(self.config.manifest)))

    def _files(self) -> list[Path]:
        return [self.path or DEFAULT_PATH, *manifests.files(Path(self.config.manifest))]

    def _fingerprint(self) -> str:
        return changes.fingerprint(self._files())


def unsafe(path: Path | None, config: Config) -> list[Problem]:
    """Return which of the folders that a configuration names others could change, how, and what is done meanwhile."""
    told = {
        "state_dir": (config.state_dir, "until then each start begins with a state of its own, which ends with it"),
        "log.dir": (config.log.dir, "until then no segment of the log is begun there"),
    }
    found = (
        (key, ownership.doubt(Path(folder), operators(path)), meanwhile) for key, (folder, meanwhile) in told.items()
    )
    return [Problem(str(path or DEFAULT_PATH), 0, f"{key}: {why}; {meanwhile}") for key, why, meanwhile in found if why]


def operators(path: Path | None) -> set[int]:
    """Return whose the configuration is: they say what is done here anyway."""
    try:
        return {(path or DEFAULT_PATH).stat().st_uid}
    except OSError:
        return set()


def _runtime() -> str | None:
    """Return the folder that the service manager made for this run; without one, where temporary files lie."""
    return os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0] or None
