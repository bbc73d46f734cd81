"""What the operator said: configuration, manifest and rules, and the last good ones where one is broken."""

# ruff: noqa: PTH112, PTH113 - of what is hidden from us pathlib raises, these say no

import hashlib
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import msgspec

from replguard import ownership, sinks
from replguard.config import DEFAULT_PATH, Config, load
from replguard.errors import ConfigError, Problem
from replguard.events.event import Event, Meta
from replguard.events.fact import Context
from replguard.events.file import File
from replguard.lastgood import LastGood, state_dir_of
from replguard.metrics import web
from replguard.provenance import manifest as manifests
from replguard.provenance.baseline import UNSEEN
from replguard.rules import load as rules
from replguard.rules.model import RuleSet


class Policy:
    """Reads it all, keeps the last good, and tells what changed.

    ``problems`` holds what is wrong now, ``newest`` is the file that was written to last. With ``strict`` (a person at
    a terminal) any problem raises ConfigError; a service goes on with the last good one, because a broken file must
    not end the watch. ``unsafe`` holds which of our folders others can change: with ``strict`` that is such a problem,
    a service keeps its state in a folder that it makes for this run alone. ``makes`` returns the kinds of events that
    are made here: what a rule may ask for. ``first``: nothing good was ever kept here.
    """

    def __init__(self, path: Path | None, makes: Callable[[Config], frozenset[str]], *, strict: bool) -> None:
        self.path = path
        self.problems: list[Problem] = []
        self.unsafe: list[Problem] = []
        self.newest: Path | None = None
        self.first = False
        self.config = self._config(strict=strict)
        self.makes = makes(self.config)
        self._kept = LastGood(Path(self.config.state_dir))
        self.manifest, unread = manifests.load(Path(self.config.manifest))
        self.ruleset = self._rules()
        sinking = [Problem(str(path or DEFAULT_PATH), 0, fault) for fault in sinks.validate(self.config.sinks)]
        wrong = unread + self.ruleset.problems + sinking
        # At a terminal alone: in a service the page itself says that nobody is shown it, and tries again.
        if strict and (wrong := wrong + web.validate(self.config.metrics.web_config)):
            raise ConfigError(wrong)
        self.problems += wrong
        self._good = not sinking and self._fall_back(manifest=bool(unread), rules=bool(self.ruleset.problems))
        self._keep()
        self._print = self._fingerprint()

    @property
    def in_force(self) -> str:
        """What is in force in the place of what is broken, in a sentence."""
        return (
            "the last good one stays in force" if self._good else "there is no last good one, so the rest is in force"
        )

    def changed(self) -> bool:
        """Whether any file differs from what was read last; cheap enough to ask every few seconds."""
        return self._fingerprint() != self._print

    def reload(self) -> str:
        """Read manifest and rules again, all or nothing. Returns what changed in a sentence, '' for nothing.

        The rest of the configuration takes effect at the next start; whether it would load is checked now.
        """
        self._print = self._fingerprint()
        problems: list[Problem] = []
        try:
            load(self.path)
        except ConfigError as error:
            problems += error.problems
        manifest, wrong = manifests.load(Path(self.config.manifest))
        ruleset = self._rules()
        self.problems = problems + wrong + ruleset.problems
        if self.problems:
            return ""
        changes = [f"manifest: {text}" for text in [manifests.difference(self.manifest, manifest)] if text]
        changes += [f"rules: {text}" for text in [_rules_changed(self.ruleset, ruleset)] if text]
        self._good = True
        self.manifest, self.ruleset = manifest, ruleset
        self._keep()
        return "; ".join(changes)

    def change(self, what: str, difference: str, now: datetime) -> Event:
        """Return the fact that what is allowed has changed."""
        return Event(
            timestamp=now,
            event=Meta(action="authority_change", kind="enrichment", provider="replguard"),
            # The kernel tells whole paths: by them who wrote the file is found.
            file=File(path=str(self.newest.absolute())) if what == "policy" and self.newest is not None else None,
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
        return ownership.doubt(folder, _operators(self.path))

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

    def _rules(self, paths: tuple[str, ...] | None = None) -> RuleSet:
        wanted = self.config.rules
        given = wanted.paths if paths is None else paths
        return rules.load([Path(p) for p in given], disable=wanted.disable, levels=wanted.levels, makes=self.makes)

    def _fall_back(self, *, manifest: bool, rules: bool) -> bool:
        """Take the last good manifest and rules for broken ones; False if there is none for one of them."""
        if manifest and self._kept.has("manifest"):
            self.manifest, manifest = manifests.load_files(self._kept.files("manifest"))[0], False
        if rules and self._kept.has("rules"):
            self.ruleset, rules = self._rules(tuple(map(str, self._kept.files("rules")))), False
        return not (manifest or rules)

    def _keep(self) -> None:
        if not self.problems:
            self._kept.keep_files("manifest", manifests.files(Path(self.config.manifest)))
            self._kept.keep_files("rules", self._rule_files())

    def _rule_files(self) -> list[Path]:
        found: list[Path] = []
        for root in map(Path, self.config.rules.paths):
            found += sorted(root.rglob("*.y*ml")) if os.path.isdir(root) else [root]
        return [file for file in found if os.path.isfile(file)]

    def _fingerprint(self) -> str:
        parts, newest = [], 0
        configs = [self.path or DEFAULT_PATH]
        for file in (*configs, *manifests.files(Path(self.config.manifest)), *self._rule_files()):
            try:
                status = file.stat()
            except OSError:
                continue
            if status.st_mtime_ns > newest:
                self.newest, newest = file, status.st_mtime_ns
            parts.append(f"{file}:{status.st_mtime_ns}:{status.st_size}:{status.st_ino}")
        return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


def unsafe(path: Path | None, config: Config) -> list[Problem]:
    """Return which of the folders that a configuration names others could change, how, and what is done meanwhile."""
    told = {
        "state_dir": (config.state_dir, "until then each start begins with a state of its own, which ends with it"),
        "log.dir": (config.log.dir, "until then no segment of the log is begun there"),
    }
    found = (
        (key, ownership.doubt(Path(folder), _operators(path)), meanwhile) for key, (folder, meanwhile) in told.items()
    )
    return [Problem(str(path or DEFAULT_PATH), 0, f"{key}: {why}; {meanwhile}") for key, why, meanwhile in found if why]


def _operators(path: Path | None) -> set[int]:
    """Return whose the configuration is: they say what is done here anyway."""
    try:
        return {(path or DEFAULT_PATH).stat().st_uid}
    except OSError:
        return set()


def _runtime() -> str | None:
    """Return the folder that the service manager made for this run; without one, where temporary files lie."""
    return os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0] or None


def _rules_changed(before: RuleSet, now: RuleSet) -> str:
    """Return which rules came and went, and the digest of all; '' where nothing changed."""
    if before.sha256 == now.sha256:
        return ""
    old, new = ({rule.name for rule in rules.known()} for rules in (before, now))
    parts = [f"{name} added" for name in sorted(new - old)] + [f"{name} removed" for name in sorted(old - new)]
    return "; ".join([*parts, f"sha256 {now.sha256[:12]}"])
