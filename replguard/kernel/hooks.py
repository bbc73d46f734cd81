"""Where probes can stand: each hook, since which kernel it is there, what stands in for it before, and what is lost.

Each probe's decoder declares its own (``HOOKS``); `doctor` and the reference read them here. Kernels of distributions
carry backports, so a version says what to expect and only loading a program says what is true.
"""

import platform
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Version = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Hook:
    """One program and the place in the kernel that it stands at.

    ``program`` is its name in C, ``point`` the section that libbpf attaches it by, ``since`` the first kernel with the
    place and all that the program calls, ``until`` the first that has no such place any more or does not need it.
    ``better`` names the program that this one stands in for: it is loaded only where that one cannot be. ``instead``
    says what stands in for it and ``lost`` what is then not seen: sentences, without their full stop.
    """

    program: str
    point: str
    since: Version
    instead: str
    lost: str
    until: Version | None = None
    better: str | None = None


def refused(hooks: Iterable[Hook], profile: str) -> dict[str, str]:
    """Return the programs that a profile (``sensors.hooks``) leaves out, each with its reason as a sentence.

    Without a profile ("auto") only those that this kernel does not need are left out.
    """
    version = parse(platform.release() if profile == "auto" else profile)
    left: dict[str, str] = {}
    for hook in hooks:
        if profile != "auto" and hook.since > version:
            left[hook.program] = f"sensors.hooks: a kernel {profile} has no {hook.point} for it ({spell(hook.since)})"
        elif hook.until is not None and version >= hook.until:
            left[hook.program] = ""
    return left


def spared(hooks: Iterable[Hook], left: Mapping[str, str]) -> dict[str, str]:
    """Return the programs that only stand in for others, as far as those are not ``left`` out."""
    return {hook.program: "" for hook in hooks if hook.better is not None and hook.better not in left}


def lost(hooks: Iterable[Hook], missing: Mapping[str, str]) -> list[str]:
    """Return a sentence for each hook that is missing: what stands in for it, what is lost, and why."""
    hooks = tuple(hooks)
    stands_in = {hook.better for hook in hooks if hook.program not in missing}
    return [
        f"without {hook.point} ({missing[hook.program]}) {hook.instead}; {hook.lost}."
        for hook in hooks
        if missing.get(hook.program) and hook.program not in stands_in
    ]


def parse(release: str) -> Version:
    """Return major and minor version of a kernel release such as ``6.8.0-45-generic``; (0, 0) for anything else."""
    found = re.match(r"(\d+)\.(\d+)", release)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def spell(version: Version) -> str:
    """Return a version as people write it."""
    return f"{version[0]}.{version[1]}"
