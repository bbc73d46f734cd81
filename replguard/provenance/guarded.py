"""Which files are replguard's own: its unit, its program, what the operator wrote for it, and what it keeps."""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import replguard
from replguard.config import DEFAULT_PATH, Config

CONFIGURED = frozenset({"configuration", "manifest", "rules", "unit"})
"""Parts that only an operator or a package writes; a change of one needs no known writer to be worth a word."""
_UNITS = r"/(?:etc|run|usr/lib|lib|usr/local/lib)/systemd/(?:system|system\.control|system\.attached|transient)"
_UNIT = rf"{_UNITS}/(?:[^/]+\.(?:wants|requires)/)?replguard[\w.@-]*\.(?:service|socket|timer)(?:\.d(?:/.*)?)?"
_YAML = r"/[^/]+\.ya?ml"
_CACHE = "/__pycache__/"


class Guarded:
    """Tells which part of replguard a path is. ``path`` is the configuration file that was named, None for the usual.

    Asked for each small file of the host: one compiled expression answers.
    """

    def __init__(self, path: Path | None, config: Config) -> None:
        self.match = re.compile("|".join(f"(?P<{part}>{text})" for part, text in _parts(path, config))).fullmatch

    def __call__(self, path: str) -> str | None:
        """Return the part, None for what is not ours."""
        found = self.match(path)
        return found.lastgroup if found is not None else None


def compiles(path: str, executable: str | None, own: str) -> bool:
    """Whether our interpreter keeps what it made of a source file: any use of the command line may do that."""
    return _CACHE in path and executable is not None and os.path.realpath(own) == executable


def _parts(path: Path | None, config: Config) -> Iterator[tuple[str, str]]:
    """Yield each part, the narrower one first, and what its paths look like."""
    state, log = _real(config.state_dir), _real(config.log.dir)
    sinks = [str(given["path"]) for given in config.sinks.values() if given and given.get("path")]
    settings, manifest = _real(path or DEFAULT_PATH), _real(config.manifest)
    yield "keys", rf"{state}/[^/]+\.key"
    yield "configuration", _either([settings, f"{_folder(settings)}/conf\\.d{_YAML}"])
    yield "manifest", _either([manifest, f"{_folder(manifest)}/manifest\\.d{_YAML}"])
    yield "rules", _either([f"{_real(one)}(?:/.*\\.ya?ml)?" for one in config.rules.paths] or [r"(?!)"])
    yield "unit", _UNIT
    yield "log", _either([f"{log}(?:/.*)?", *map(_real, sinks)])
    yield "state", f"{state}(?:/.*)?"
    yield "program", f"{_real(Path(replguard.__file__).parent)}/.*"


def _either(patterns: Iterable[str]) -> str:
    return "|".join(patterns)


def _real(path: str | Path) -> str:
    return re.escape(os.path.realpath(path))


def _folder(pattern: str) -> str:
    return pattern.rpartition("/")[0]
