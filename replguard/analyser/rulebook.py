"""The rules that the operator wants, and the last good ones where a file of them is broken."""

# ruff: noqa: PTH112, PTH113 - of what is hidden from us pathlib raises, these say no

import os
from collections.abc import Iterable
from pathlib import Path

from replguard import changes, sinks
from replguard.config import DEFAULT_PATH, Config
from replguard.errors import Problem
from replguard.lastgood import LastGood, in_force
from replguard.metrics import web
from replguard.rules import load
from replguard.rules.evaluable import EVERYTHING
from replguard.rules.model import RuleSet


class Rulebook:
    """Reads the rules, keeps the last good ones, and tells what changed. ``problems`` holds what is wrong now.

    ``makes`` are the kinds of events that are made here, ``path`` is the configuration that names the rules;
    in ``state`` the last good ones are kept.
    """

    def __init__(
        self, config: Config, makes: Iterable[str], path: str | None = None, state: Path | None = None
    ) -> None:
        self._config, self._makes = config, frozenset(makes)
        self._kept = LastGood(state or Path(config.state_dir))
        self.ruleset = self._read(config.rules.paths)
        sinking = _sinking(config, path)
        self.problems = self.ruleset.problems + sinking
        self._good = not sinking and self._fall_back()
        self._keep()
        self._print = self._fingerprint()

    @property
    def in_force(self) -> str:
        """What is in force in the place of what is broken, in a sentence."""
        return in_force(good=self._good)

    @property
    def judging(self) -> str:
        """How many rules are in force, in a sentence."""
        lacking = len(self.ruleset.not_evaluable)
        return f"{len(self.ruleset.every())} in force, {lacking} not evaluable here (`replguard rules list`)"

    @property
    def newest(self) -> str | None:
        """The file of the operator's rules that was written to last, by its whole name."""
        found = changes.newest(self._files())
        return None if found is None else str(found.absolute())

    def changed(self) -> bool:
        """Whether any file differs from what was read last; cheap enough to ask every few seconds."""
        return self._fingerprint() != self._print

    def reload(self) -> str:
        """Read the rules again, all or nothing. Returns what changed in a sentence, '' for nothing."""
        self._print = self._fingerprint()
        ruleset = self._read(self._config.rules.paths)
        self.problems = ruleset.problems
        if self.problems:
            return ""
        text = _difference(self.ruleset, ruleset)
        self._good = True
        self.ruleset = ruleset
        self._keep()
        return f"rules: {text}" if text else ""

    def _read(self, paths: Iterable[str]) -> RuleSet:
        return _read(self._config, paths, self._makes)

    def _fall_back(self) -> bool:
        """Take the last good rules for broken ones; False if there are none."""
        if self.ruleset.problems and self._kept.has("rules"):
            self.ruleset = self._read(map(str, self._kept.files("rules")))
            return True
        return not self.ruleset.problems

    def _keep(self) -> None:
        if not self.problems:
            self._kept.keep_files("rules", self._files())

    def _files(self) -> list[Path]:
        found: list[Path] = []
        for root in map(Path, self._config.rules.paths):
            found += sorted(root.rglob("*.y*ml")) if os.path.isdir(root) else [root]
        return [file for file in found if os.path.isfile(file)]

    def _fingerprint(self) -> str:
        return changes.fingerprint(self._files())


def faults(config: Config, path: str | None) -> list[Problem]:
    """Return what is wrong with the rules, sinks and page of a configuration, for a person who can mend it."""
    wrong = _read(config, config.rules.paths, EVERYTHING).problems + _sinking(config, path)
    # Here alone: in a service the page itself says that nobody is shown it, and tries again.
    return wrong + web.validate(config.metrics.web_config)


def _read(config: Config, paths: Iterable[str], makes: frozenset[str]) -> RuleSet:
    wanted = config.rules
    return load.load([Path(path) for path in paths], disable=wanted.disable, levels=wanted.levels, makes=makes)


def _sinking(config: Config, path: str | None) -> list[Problem]:
    return [Problem(path or str(DEFAULT_PATH), 0, fault) for fault in sinks.validate(config.sinks)]


def _difference(before: RuleSet, now: RuleSet) -> str:
    """Return which rules came and went, and the digest of all; '' where nothing changed."""
    if before.sha256 == now.sha256:
        return ""
    old, new = ({rule.name for rule in rules.known()} for rules in (before, now))
    parts = [f"{name} added" for name in sorted(new - old)] + [f"{name} removed" for name in sorted(old - new)]
    return "; ".join([*parts, f"sha256 {now.sha256[:12]}"])
