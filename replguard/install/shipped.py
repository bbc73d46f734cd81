"""The files that an installation puts in place, made for its interpreter, with a seal that tells later changes."""

import hashlib
import re
from pathlib import Path

import replguard

UNIT = "replguard.service"
"""The one that is started and stopped; the others come and go with it."""
OTHERS = ("replguard-analyser.service", "replguard-analyser.socket")
_SEAL = "# As `replguard install` wrote it: sha256 "
_PACKAGE = Path(replguard.__file__).parent
_PROGRAM = "ExecStart=/opt/replguard/bin/replguard run "


def files(python: str) -> dict[str, str]:
    """Return the text of each file by its path below the root; the service runs with this interpreter."""
    return {
        **{f"etc/systemd/system/{name}": seal(unit(python, name)) for name in (UNIT, *OTHERS)},
        "etc/sysusers.d/replguard.conf": seal(_text("sysusers.d/replguard.conf")),
        "etc/tmpfiles.d/replguard.conf": seal(_text("tmpfiles.d/replguard.conf")),
    }


def unit(python: str, name: str = UNIT) -> str:
    """Return a unit. Isolated (-I): neither the environment nor a working folder can name other code."""
    quoted = '"' + re.sub(r'["\\]', r"\\\g<0>", python).replace("%", "%%").replace("$", "$$") + '"'
    return _text(name).replace(_PROGRAM, f"ExecStart={quoted} -I -m replguard run ")


def configuration() -> str:
    """Return the first configuration: the example, with every key a comment, so that each has its default."""
    inside = _PACKAGE / "service" / "replguard.yaml"
    example = (inside if inside.exists() else _PACKAGE.parent / "docs/examples/replguard.yaml").read_text()
    return re.sub(r"(?m)^(?=[^#\n])", "#", example)


def folders() -> dict[str, tuple[int, str, str]]:
    """Return mode, user and group of each folder by its path below the root, as tmpfiles.d has it for systemd."""
    lines = (line.split() for line in _text("tmpfiles.d/replguard.conf").splitlines() if line.startswith("d "))
    return {path.lstrip("/"): (int(mode, 8), user, group) for _, path, mode, user, group, _ in lines}


def seal(text: str) -> str:
    """Return the text with a last line that tells whether anybody changed it since."""
    return f"{text}{_SEAL}{hashlib.sha256(text.encode()).hexdigest()}\n"


def sealed(text: str) -> bool:
    """Whether a text is one that an installation of whatever version wrote, and nobody changed."""
    body, _, _ = text.rpartition(_SEAL)
    return bool(body) and seal(body) == text


def _text(name: str) -> str:
    inside = _PACKAGE / "service"
    return ((inside if inside.is_dir() else _PACKAGE.parent / "systemd") / name).read_text()
